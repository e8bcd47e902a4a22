"""The search finds what is planted, keeps the input that ended the process, and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import run as driver
from tests.fuzz.run import run, table


def test_a_crash_and_an_exception_are_kept_with_their_inputs(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = run("tests.fuzz.planted:Planted", 1.0, 1, tmp_path, said.append)
    kept = {path.name.split("-")[1]: path.read_bytes() for path in outcome.found}
    assert kept == {"crash": b"crash", "unexpected": b"wrong"}
    assert outcome.inputs >= 2
    assert (outcome.count("crash", "hang"), outcome.count("unexpected")) == (1, 1)
    text = "\n".join(said)
    assert "KeyError" in text
    assert "Fatal Python error: Aborted" in text
    assert "base64: Y3Jhc2g=" in text
    head, row = table([outcome]).splitlines()
    assert head.split()[:4] == ["target", "inputs", "crashes", "unexpected"]
    assert row.split()[2:7] == ["1", "1", "0", "0", "0"]
    assert outcome.broken


def test_the_end_of_a_process_that_may_end_is_told_and_breaks_no_promise(tmp_path: Path) -> None:
    outcome = run("tests.fuzz.planted:Contained", 0.5, 1, tmp_path, lambda line: None)
    assert (outcome.count("ended"), outcome.count("crash"), outcome.count("unexpected")) == (1, 0, 1)
    assert outcome.broken
    outcome.found = [path for path in outcome.found if "-ended-" in path.name]
    assert not outcome.broken


def test_an_input_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "MOST_STARTS", 1)
    outcome = run("tests.fuzz.planted:Endless", 60.0, 1, tmp_path, lambda line: None)
    assert [path.read_bytes() for path in outcome.found] == [b"for ever"]
    assert outcome.count("hang") == 1
