"""What is said to run on a data directory, and how the code that runs is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from actors import running as module
from actors.running import Running, code_here, running, say_running
from pipeline.config import CanfleetConfig, load_config

ROOT = Path(__file__).parents[2]


def said(config: CanfleetConfig, code: str = "a", *, everywhere: bool = True) -> Running:
    return Running(code=code, config=config, everywhere=everywhere)


@pytest.mark.parametrize("file", [None, ROOT / "deploy" / "local-canfleet.yaml"])
def test_what_was_said_is_read_as_it_was(tmp_path: Path, file: Path | None) -> None:
    config = load_config(file, {"data_dir": tmp_path})
    assert running(tmp_path) is None
    say_running(tmp_path, said(config))
    assert running(tmp_path) == said(config)
    assert running(tmp_path) != said(config, "b")
    assert running(tmp_path) != said(config, everywhere=False)
    assert running(tmp_path) != said(config.model_copy(update={"clickhouse_port": 1}))
    assert (tmp_path / "running.json").stat().st_mode & 0o077 == 0


def test_a_release_that_says_it_otherwise_is_another(tmp_path: Path) -> None:
    (tmp_path / "running.json").write_text('{"code": "a", "release": 7}')
    assert running(tmp_path) is None


def test_code_is_named_by_every_file_of_the_packages_but_compiled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pipeline", "actors", "serve", "canfleet"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    here = code_here()
    monkeypatch.setattr(module, "__file__", str(tmp_path / "actors" / "running.py"))
    assert code_here() == here
    (tmp_path / "serve" / "__pycache__").mkdir()
    (tmp_path / "serve" / "__pycache__" / "kernel.nbi").write_text("compiled")
    assert code_here() == here
    (tmp_path / "serve" / "page" / "app.js").write_text("")
    assert code_here() != here
