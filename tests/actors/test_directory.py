"""The directory without Ray: what it tells replicas, and what it keeps of what they tell."""

from __future__ import annotations

from pathlib import Path

from actors.directory import DirectoryActor
from pipeline.config import CanfleetConfig


def test_uses_of_keys_are_listed_at_once_and_survive(tmp_path: Path) -> None:
    config = CanfleetConfig(data_dir=tmp_path)
    directory = DirectoryActor(config, "bootstrap")
    key = directory.create_key("north", ["ingest"], None, []).record.id
    for moment in (50, 70, 60):
        directory.note_uses({key: moment})
    [listed] = directory.list_keys("north")
    assert listed.last_used == 70
    version, _ = directory.keys(-1) or (0, [])
    directory.note_uses({key: 80, "unknown": 90})
    directory.list_keys(None)
    assert directory.keys(version) is None  # nobody's rights changed
    assert DirectoryActor(config, None).list_keys("north")[0].last_used == 80


def test_a_limit_is_divided_among_those_who_ask(tmp_path: Path) -> None:
    directory = DirectoryActor(CanfleetConfig(data_dir=tmp_path), None)
    assert directory.divide("a", {"key:x:requests": 10.0}) == (1, {"key:x:requests": 1.0})
    count, shares = directory.divide("b", {"key:x:requests": 10.0})
    assert count == 2
    assert 0 < shares["key:x:requests"] < 0.1  # a has all of it until it asks again
    assert directory.divide("a", {"key:x:requests": 10.0})[1]["key:x:requests"] < 0.7
