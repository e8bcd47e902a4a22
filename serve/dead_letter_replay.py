"""Replay: dead letters through the front of the pipeline again, and out of the dead letters once that is durable."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.dead_letters import DeadLetters, LetterFilter
from pipeline.frames.letters import read_letters
from pipeline.frames.limits import FrameLimits
from pipeline.frames.reasons import meaning_of
from pipeline.shard.refused_letters import STAGE as REFUSED_STAGE
from serve.intake import Intake, Origin

MAX_BYTES: Final = 16 << 20
"""Payloads in memory at a time."""


async def replay(
    letters: DeadLetters,
    intake: Intake,
    limits: FrameLimits,
    origin: Origin,
    wanted: LetterFilter,
    *,
    cursor: str,
    limit: int,
    mended: str | None,
) -> dict[str, Any]:
    """Send one page of dead letters again; the answer is `serve.dead_letter_models.Replayed`.

    A letter leaves the dead letters only after its frame is durable. Where the way from there to the mark is cut, the
    next replay finds its frame to be a duplicate and marks it then. A letter that fails again is left as it is, and no
    new one is made, so replaying never multiplies them.

    Args:
        letters: where they are.
        intake: the way to the shards.
        limits: what rows must keep.
        origin: fleet, time and name of this request.
        wanted: which of the fleet's letters.
        cursor: where the page before ended.
        limit: most letters of the page.
        mended: a payload in place of the only letter's.

    Raises:
        Overloaded, TimeoutError: see `Intake.take`; nothing was marked.
        WarehouseError, WarehouseAway: see `Warehouse`; what was accepted becomes a duplicate next time.
    """
    find = partial(letters.page, origin.fleet, wanted, limit=limit, max_bytes=MAX_BYTES, cursor=cursor)
    page = await asyncio.to_thread(find)
    ids = page.letters["id"].combine_chunks()
    payloads = page.letters["payload"].combine_chunks() if mended is None else pa.array([mended] * len(ids), pa.utf8())
    parsed = await asyncio.to_thread(read_letters, ids, payloads, limits, origin.received_at)
    # A frame that ClickHouse refused was accepted before: dropped as a duplicate it would never be stored.
    refused = pc.any(pc.equal(page.letters["stage"], REFUSED_STAGE)).as_py()
    # A mended payload may name the vehicle by its own id; the others are under pseudonyms, which stay as they are.
    frames = intake.pseudonyms.frames(origin.fleet, parsed.frames)
    lane = intake.lane(frames, origin.received_at)
    counts = await intake.take(replace(origin, verify=bool(refused)), lane, frames, None)
    failed = [
        {"id": row["payload"], "stage": row["stage"], "reason": row["reason"], "meaning": meaning_of(row["reason"])}
        for row in parsed.rejected.to_pylist()
    ]
    found = ids.to_pylist()
    stay = {failure["id"] for failure in failed}
    done = [letter for letter in found if letter not in stay]
    await asyncio.to_thread(letters.remove, origin.fleet, done, "replayed")
    # Ids belong to the page that they would stand on: newest first, from the cursor to the next one.
    here = {i for i in wanted.ids if (not cursor or i < cursor) and (page.next is None or i >= page.next)}
    return {
        "replayed": len(done),
        "accepted": counts.accepted,
        "duplicates": counts.duplicates,
        "failed": failed,
        "unknown": sorted(here.difference(found)),
        "next": page.next,
    }
