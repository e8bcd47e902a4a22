"""Recovery: a shard's state from its newest checkpoint and the journal behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.dedup.filter import DuplicateFilter
from pipeline.errors import JournalCorrupt
from pipeline.gaps.sequence_gaps import SequenceGaps
from pipeline.journal.checkpoint import Checkpoint
from pipeline.journal.log import Journal
from pipeline.ranges import RangeSet
from pipeline.shard import records
from pipeline.shard.accounts import count_accepted, count_late
from pipeline.shard.anomaly_log import AnomalyLog
from pipeline.shard.forgetting import Forgetting
from pipeline.shard.group import Group, build_group
from pipeline.shard.ledger import Ledger
from pipeline.shard.process import Processor
from pipeline.shard.records import Forget, Forgotten, Intent, Rollup, Stored
from pipeline.submission import decode_accepted
from pipeline.vehicles import VehicleIndex


@dataclass(slots=True)
class Recovered:
    """Where processing and storing go on, and what is worth a warning.

    Attributes:
        processed_to: live state is that of this offset; what follows in the journal is processed again.
        stored: offsets whose rows are confirmed.
        rolled: offsets whose values the rollups hold.
        open_intent: an insert that was announced and perhaps sent; it is sent again as it was.
        unrolled: inserts that the rollups may lack, in the order they were made.
        open_rollup: an insert into the rollups that was announced and perhaps sent.
        forgetting: vehicles to be forgotten of which the checkpoint knows, in the order of the journal.
        forgotten_to: vehicles that are forgotten by records before this offset are unknown to the checkpoint.
        warnings: for the log.
    """

    processed_to: int
    stored: RangeSet
    rolled: RangeSet
    open_intent: Intent | None = None
    unrolled: list[Intent] = field(default_factory=list)
    open_rollup: Rollup | None = None
    warnings: list[str] = field(default_factory=list)
    forgetting: list[Forgetting] = field(default_factory=list)
    forgotten_to: int = 0


def recover(
    checkpoint: Checkpoint | None,
    journal: Journal,
    duplicates: DuplicateFilter,
    vehicles: VehicleIndex,
    processor: Processor,
    log: AnomalyLog,
    ledger: Ledger,
    gaps: SequenceGaps,
    fingerprint: str,
) -> Recovered:
    """Bring what acknowledgements need to the journal's end: vehicles, seen frames, ledger, sequence gaps.

    Live state is that of the checkpoint afterwards. It takes longer, and nobody's acknowledgement waits for it: process
    `unprocessed` next. Marking a frame as seen twice changes nothing, so it does not matter that the duplicate filter
    of a checkpoint is a little ahead of the rest. O(bytes of checkpoint and journal), about a second per ten million
    frames.

    Raises:
        JournalCorrupt: the journal is damaged, or it does not reach back to the checkpoint.
    """
    state = Recovered(journal.start, RangeSet([(0, journal.start)]), RangeSet([(0, journal.start)]))
    if checkpoint is not None:
        meta = checkpoint.meta
        state.warnings += checkpoint.skipped
        vehicles.restore(_part(checkpoint, "vehicles."))
        duplicates.restore(_part(checkpoint, "duplicates."))
        gaps.restore(_part(checkpoint, "gaps."))
        if meta["fingerprint"] == fingerprint:
            processor.restore(checkpoint.arrays)
        else:
            state.warnings.append("databases or windows have changed: live values, windows and baselines start anew")
        log.restore(meta["anomalies"])
        ledger.restore(meta["ledger"])
        state.processed_to = meta["processed_to"]
        state.forgotten_to = meta.get("forgotten_to", 0)
        state.stored, state.rolled = _ranges(meta, "stored"), _ranges(meta, "rolled")
    if journal.report.cut_bytes:
        state.warnings.append(f"the journal's torn end, {journal.report.cut_bytes} bytes never acknowledged, was cut")
    behind = [ranges.first_gap(0, state.processed_to) for ranges in (state.stored, state.rolled)]
    start = min([state.processed_to] + [gap[0] for gap in behind if gap is not None])
    if not journal.start <= start <= journal.durable_end:
        raise JournalCorrupt(
            f"the journal holds {journal.start} to {journal.durable_end}, the checkpoint needs it from {start}"
        )
    for record in journal.read(start):
        if record.kind == records.FORGET and record.offset >= state.forgotten_to:
            forget = Forget.decode(bytes(record.payload))
            index = vehicles.forget(forget.fleet, forget.vehicle_id, record.next_offset)
            state.forgetting.append(
                Forgetting(forget.fleet, forget.vehicle_id, forget.letters_only, index, record.next_offset)
            )
        elif record.kind == records.FORGOTTEN:
            _take_forgotten(Forgotten.decode(bytes(record.payload)), state, ledger)
        elif record.kind != records.SUBMISSION:
            stored = _take_control(record.kind, bytes(record.payload), state)
            if stored is not None:
                ledger.add(stored.tallies)
                count_late(gaps, stored.late, vehicles, stored.start)
        elif record.offset >= state.processed_to:
            group = build_group(record.offset, record.next_offset, [decode_accepted(record.payload)], vehicles)
            duplicates.mark(group.frames.vehicle, group.frames, np.ones(len(group), np.bool_))
            ledger.add(group.tallies)
            count_accepted(gaps, group)
    return state


def unprocessed(journal: Journal, start: int, end: int, vehicles: VehicleIndex) -> Iterator[Group]:
    """The groups of `[start, end)`, which a restart must process again; read as they are asked for.

    Raises:
        JournalError: while iterating, where the journal cannot be read.
    """
    for record in journal.read(start, end):
        if record.kind == records.SUBMISSION:
            yield build_group(record.offset, record.next_offset, [decode_accepted(record.payload)], vehicles)
        elif record.kind == records.FORGET:
            yield build_group(record.offset, record.next_offset, [], vehicles)


def _take_forgotten(forgotten: Forgotten, state: Recovered, ledger: Ledger) -> None:
    for one in state.forgetting:
        if one.end == forgotten.end and not one.counted:
            ledger.add(forgotten.tallies)
            one.counted = True


def _take_control(kind: int, payload: bytes, state: Recovered) -> Stored | None:
    """What a record about storing says; the record itself where it is of an insert that the checkpoint lacks."""
    if kind == records.INTENT:
        intent = Intent.decode(payload)
        # An intent that leaves out refused rows takes the place of the one that was refused.
        state.unrolled = [other for other in state.unrolled if other.start != intent.start]
        if not state.rolled.covers(intent.start, intent.end):
            state.unrolled.append(intent)
        state.open_intent = None if state.stored.covers(intent.start, intent.end) else intent
    elif kind == records.STORED:
        stored = Stored.decode(payload)
        news = not state.stored.covers(stored.start, stored.end)
        state.stored.add(stored.start, stored.end)
        announced = state.open_intent
        if announced is not None and state.stored.covers(announced.start, announced.end):
            state.open_intent = None
        return stored if news else None
    elif kind == records.ROLLUP:
        rollup = Rollup.decode(payload)
        state.open_rollup = None if _rolled(state, rollup) else rollup
    elif kind == records.ROLLED_UP:
        for start, end in Rollup.decode(payload).ranges:
            state.rolled.add(start, end)
        state.unrolled = [i for i in state.unrolled if not state.rolled.covers(i.start, i.end)]
        state.open_rollup = None
    return None


def _rolled(state: Recovered, rollup: Rollup) -> bool:
    return all(state.rolled.covers(start, end) for start, end in rollup.ranges)


def _ranges(meta: Mapping[str, Any], name: str) -> RangeSet:
    """The ranges in a checkpoint; version 0.1 had one number, before which all was done."""
    if name in meta:
        return RangeSet((start, end) for start, end in meta[name])
    return RangeSet([(0, meta[f"{name}_to"])])


def _part(checkpoint: Checkpoint, prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): array for key, array in checkpoint.arrays.items() if key.startswith(prefix)}
