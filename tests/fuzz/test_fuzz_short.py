"""A moment of every search but `openapi`, always the same inputs. `python -m tests.fuzz` has the rest."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.run import run
from tests.fuzz.target import TARGETS, target_of

SEED = 20_260_131
LEAST = 30
MOST = {"http": 300, "arrow": 1_500, "packed": 800}
USUALLY_MOST = 3_000
SECONDS = 0.7


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"logs", "openapi"}))
def test_inputs_are_answered_as_they_must_be(name: str) -> None:
    target, random = target_of(name), Random(SEED)
    tried, end = 0, time.monotonic() + SECONDS
    try:
        while tried < LEAST or (tried < MOST.get(name, USUALLY_MOST) and time.monotonic() < end):
            body = target.make(random)
            try:
                target.attempt(body)
            except Exception as error:
                raise AssertionError(f"{name}, input {tried}: {base64.b64encode(body[:3_000]).decode()}") from error
            tried += 1
    finally:
        target.close()


def test_logs_are_answered_as_they_must_be(tmp_path: Path) -> None:
    """In a process of its own, which a damaged MF4 file may end."""
    said: list[str] = []
    outcome = run("logs", SECONDS, SEED, tmp_path, said.append)
    assert not outcome.broken, "\n".join(said)
    assert outcome.inputs > 0
