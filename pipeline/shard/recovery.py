"""Recovery: a shard's state from its newest checkpoint and the journal behind it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.dedup.filter import DuplicateFilter
from pipeline.errors import JournalCorrupt
from pipeline.gaps.sequence_gaps import SequenceGaps
from pipeline.journal.checkpoint import Checkpoint
from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.accounts import count_accepted, count_late
from pipeline.shard.anomaly_log import AnomalyLog
from pipeline.shard.group import build_group
from pipeline.shard.ledger import Ledger
from pipeline.shard.process import Processor
from pipeline.shard.records import Intent, Rollup, Stored
from pipeline.submission import decode_accepted
from pipeline.vehicles import VehicleIndex


@dataclass(slots=True)
class Recovered:
    """Where storing goes on, and what is worth a warning.

    Attributes:
        stored_to: everything before this offset is confirmed.
        open_intent: an insert that was announced and perhaps sent; it is sent again as it was.
        rolled_to: the rollups hold everything before this offset.
        unrolled: confirmed inserts that the rollups may lack, in order.
        open_rollup: an insert into the rollups that was announced and perhaps sent.
        warnings: for the log.
    """

    stored_to: int
    rolled_to: int
    open_intent: Intent | None = None
    unrolled: list[Intent] = field(default_factory=list)
    open_rollup: Rollup | None = None
    warnings: list[str] = field(default_factory=list)


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
    now_us: int,
) -> Recovered:
    """Bring every state to the journal's end: restore the checkpoint, then take in the records behind it again.

    Marking a frame as seen twice, or finding an anomaly twice, changes nothing, so it does not matter that the
    duplicate filter of a checkpoint is a little ahead of the rest.

    Raises:
        JournalCorrupt: the journal is damaged, or it does not reach back to the checkpoint.
    """
    state = Recovered(journal.start, journal.start)
    processed_to = journal.start
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
        processed_to, state.stored_to, state.rolled_to = meta["processed_to"], meta["stored_to"], meta["rolled_to"]
    if journal.report.cut_bytes:
        state.warnings.append(f"the journal's torn end, {journal.report.cut_bytes} bytes never acknowledged, was cut")
    start = min(processed_to, state.stored_to, state.rolled_to)
    if not journal.start <= start <= journal.durable_end:
        raise JournalCorrupt(
            f"the journal holds {journal.start} to {journal.durable_end}, the checkpoint needs it from {start}"
        )
    for record in journal.read(start):
        if record.kind == records.SUBMISSION and record.offset >= processed_to:
            group = build_group(record.offset, record.next_offset, [decode_accepted(record.payload)], vehicles)
            duplicates.mark(group.frames.vehicle, group.frames, np.ones(len(group), np.bool_))
            processor.process(group, log, now_us)
            ledger.add(group.tallies)
            count_accepted(gaps, group)
        else:
            _take_control(record.kind, bytes(record.payload), state, ledger, gaps, vehicles)
    return state


def _take_control(
    kind: int, payload: bytes, state: Recovered, ledger: Ledger, gaps: SequenceGaps, vehicles: VehicleIndex
) -> None:
    """What a record about storing says; such records may be older than the checkpoint."""
    if kind == records.INTENT:
        intent = Intent.decode(payload)
        if intent.start >= state.rolled_to:
            state.unrolled.append(intent)
        state.open_intent = intent if intent.start >= state.stored_to else None
    elif kind == records.STORED:
        stored = Stored.decode(payload)
        if stored.end > state.stored_to:
            state.stored_to = stored.end
            ledger.add(stored.tallies)
            count_late(gaps, stored.late, vehicles)
        if state.open_intent is not None and state.open_intent.end <= state.stored_to:
            state.open_intent = None
    elif kind == records.ROLLUP:
        rollup = Rollup.decode(payload)
        state.open_rollup = rollup if rollup.start >= state.rolled_to else None
    elif kind == records.ROLLED_UP:
        state.rolled_to = max(state.rolled_to, Rollup.decode(payload).end)
        state.unrolled = [intent for intent in state.unrolled if intent.start >= state.rolled_to]
        state.open_rollup = None


def _part(checkpoint: Checkpoint, prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): array for key, array in checkpoint.arrays.items() if key.startswith(prefix)}
