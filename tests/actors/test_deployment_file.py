"""The file that keeps a deployment's partitions: written once, and every start is held against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.layout import fixed_layout
from pipeline.config import CanfleetConfig, load_config
from pipeline.errors import ConfigError


def config(folder: Path, partitions: int) -> CanfleetConfig:
    return load_config(None, {"data_dir": str(folder / "data"), "shard.partitions": partitions, "shard.shards": 2})


def test_the_first_start_decides_and_others_are_refused(tmp_path: Path) -> None:
    assert fixed_layout(config(tmp_path, 8)).shard_of.tolist() == [0, 1] * 4
    assert fixed_layout(config(tmp_path, 8)).shards == 2
    with pytest.raises(ConfigError, match="8 partitions on 2 shards, not 4 on 2"):
        fixed_layout(config(tmp_path, 4))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"partitions": 8}', '{"partitions": "many", "shards": 2}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    fixed_layout(config(tmp_path, 8))
    (tmp_path / "data" / "deployment.json").write_text(text)
    with pytest.raises(ConfigError, match=r"deployment\.json is damaged"):
        fixed_layout(config(tmp_path, 8))
