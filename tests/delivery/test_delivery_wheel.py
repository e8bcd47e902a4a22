"""The image's steps, run as far as they run without Docker, give a wheel with everything in it, that works."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from delivery_files import ROOT, packaged_files

DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"^FROM .*$", re.sub(r"\\\n\s*", "", DOCKERFILE), flags=re.MULTILINE)[1:]


def copied(stage: str) -> list[str]:
    """What a stage copies from the repository."""
    lines = [shlex.split(line)[1:] for line in stage.splitlines() if line.startswith("COPY ") and "--from" not in line]
    return [source for line in lines for source in line[:-1]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from nothing but what the Dockerfile copies."""
    tree, built = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in copied(STAGES[0]):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", "--wheel-dir", str(built), str(tree)], check=True)
    [file] = built.glob("canfleet-*.whl")
    return file


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert packaged_files() <= names
    for needed in (
        "pipeline/clickhouse/migrations/0001_frames.sql",
        "pipeline/absent/pandas.py",
        "serve/page/index.html",
        "serve/page/vendor/uplot/uPlot.iife.min.js",
        "simulator/fleet.dbc",
    ):
        assert any(name == needed or name.startswith(needed.removesuffix(".py") + "/") for name in names), needed
    assert not [name for name in names if name.startswith(("tests/", "deploy/")) or "__pycache__" in name]


def test_it_works_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    look = (
        "import canfleet, pipeline.clickhouse.migrate as m, simulator; from canfleet.__main__ import app\n"
        "assert simulator.FLEET_DBC.exists() and len(m.known_migrations()) >= 8\n"
        "print(canfleet.__path__[0]); app(['--version'])"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", look], cwd="/", env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path / "canfleet"), wheel.name.split("-")[1]]


def test_the_image_copies_what_is_there_and_the_context_has_it() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    for name in copied(DOCKERFILE):
        assert (ROOT / name).exists()
        assert any(fnmatch.fnmatch(name, rule) for rule in let_in), name


def test_the_image_installs_by_the_lock_runs_as_nobody_in_particular_and_is_watched() -> None:
    build, final = STAGES
    flags = "--require-hashes --only-binary=:all: -r requirements.lock"
    assert flags in build
    assert flags in (ROOT / "Makefile").read_text()
    assert not re.search(r"\b(apt|apt-get|gcc|build-essential)\b", DOCKERFILE)
    instructions = [line.split(maxsplit=1) for line in final.splitlines() if line and not line.startswith("#")]
    by_name = dict(instructions)
    assert by_name["USER"] == "canfleet"
    assert "/healthz" in by_name["HEALTHCHECK"]
    assert by_name["VOLUME"] in by_name["ENTRYPOINT"]
    assert by_name["ENTRYPOINT"].startswith('["canfleet", "up"')
    assert "pip" not in final
