"""After a shard has opened, no frame waits for a compiler."""

from __future__ import annotations

from pathlib import Path

from numba.core import event
from shard_feed import batches, settle, shard, submission, uncounted

from pipeline.clickhouse.client import Warehouse


def test_nothing_is_compiled_after_opening(tmp_path: Path, warehouse: Warehouse) -> None:
    sent = batches(12, vehicles=4_000)
    one = shard(tmp_path, warehouse)
    with event.install_recorder("numba:compile") as compiled:
        for batch in sent:
            one.commit([submission(batch), submission(uncounted(batch), fleet="uncounted")])
            settle(one)
        one.commit([submission(sent[0])])
        one.commit([submission(batches(1, vehicles=10, seed=3)[0])])
        settle(one)
        one.latest("default", "veh-00001")
        one.checkpoint()
    assert {str(found.data["dispatcher"]) for _, found in compiled.buffer} == set()
    assert one.close()
