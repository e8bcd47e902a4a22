"""A partition actor whose shard cannot be opened says why, and opens it when it can; ClickHouse need not be there."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path

import pytest

from actors import partition
from actors.partition import PartitionActor
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.config import CanfleetConfig
from pipeline.errors import Overloaded
from pipeline.journal.log import Journal
from pipeline.lanes.lane import Lane
from simulator import FLEET_DBC


@pytest.fixture
def config(tmp_path: Path) -> CanfleetConfig:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    return CanfleetConfig(data_dir=tmp_path, dbc=(FLEET_DBC,), clickhouse=WarehouseSettings(url=url))


def test_a_journal_in_use_is_named_until_it_is_free(config: CanfleetConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "_OPEN_AGAIN_S", 0.05)
    held = Journal.open(config.data_dir / "shards" / "0" / "journal")
    actor = PartitionActor(0, config)
    with pytest.raises(Overloaded, match=r"journal.*already open"):
        asyncio.run(actor.status())
    with pytest.raises(Overloaded, match=r"journal.*already open"):
        asyncio.run(actor.submit(b"", Lane.LIVE))
    assert asyncio.run(actor.drain(1)) is False
    held.close()

    deadline = time.monotonic() + 60
    while actor._opened is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    status = asyncio.run(actor.status())
    assert (status["shard"], status["draining"]) == (0, True)
    asyncio.run(actor.drain(5))
