"""The directory without Ray: what it tells replicas, and what it keeps of what they tell."""

from __future__ import annotations

from pathlib import Path

from actors.directory import DirectoryActor
from actors.placement import Placement, place
from pipeline.config import CanfleetConfig
from pipeline.scaling import ScalingSettings


def config_in(folder: Path) -> CanfleetConfig:
    """Of a directory that never looks after partition actors: there is no Ray."""
    place(folder, Placement.dealt(4, 2))
    return CanfleetConfig(data_dir=folder, scaling=ScalingSettings(look_every_s=3600))


def test_uses_of_keys_are_listed_at_once_and_survive(tmp_path: Path) -> None:
    config = config_in(tmp_path)
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
    directory = DirectoryActor(config_in(tmp_path), None)
    assert directory.divide("a", {"key:x:requests": 10.0}) == (1, {"key:x:requests": 1.0})
    count, shares = directory.divide("b", {"key:x:requests": 10.0})
    assert count == 2
    assert 0 < shares["key:x:requests"] < 0.1  # a has all of it until it asks again
    assert directory.divide("a", {"key:x:requests": 10.0})[1]["key:x:requests"] < 0.7


def test_it_says_where_shards_are_to_those_who_do_not_know(tmp_path: Path) -> None:
    directory = DirectoryActor(config_in(tmp_path), None)
    placement = directory.placement(-1)
    assert placement == Placement(0, 2, (0, 1, 0, 1))
    assert directory.placement(0) is None
