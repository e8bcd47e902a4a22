"""Commit: find duplicates, make the rest durable with one fsync, only then remember them as seen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.dedup.filter import DuplicateFilter
from pipeline.errors import JournalError
from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.group import Group, build_group, concat_columns, shard_columns
from pipeline.submission import AcceptedRecord, Counts, Submission, decode, encode_accepted
from pipeline.types import U8
from pipeline.vehicles import VehicleIndex
from pipeline.verdicts import DUPLICATE, UNVERIFIED


@dataclass(frozen=True, slots=True)
class Receipt:
    """The fate of one submission's rows."""

    accepted: int
    duplicates: int
    dead_lettered: int
    duplicate_rows: bytes = field(default=b"", compare=False, repr=False)
    """One bit a frame, set where it is a duplicate; empty where none is, or all are."""


class Committer:
    """Turns submissions into journal records. One thread commits at a time; `lock` is the journal's.

    Nothing is marked as seen before the fsync returned, so that a retry after a failed write finds its frames new;
    and because one group is checked as one batch, a frame sent twice within it is still accepted once.
    """

    def __init__(
        self, journal: Journal, lock: threading.Lock, duplicates: DuplicateFilter, vehicles: VehicleIndex
    ) -> None:
        self._journal = journal
        self._lock = lock
        self._duplicates = duplicates
        self._vehicles = vehicles
        self.state_lock = threading.Lock()
        """Guards the duplicate filter against a checkpoint that reads it."""

    def commit(self, submissions: Sequence[bytes]) -> tuple[Group, list[Receipt]]:
        """Make a group durable; returns its frames and one receipt per submission.

        Raises:
            JournalError: the write or fsync failed; nothing of the group was accepted and the journal stands where
                it stood before.
        """
        decoded = [decode(submission) for submission in submissions]
        columns = [shard_columns(item.frames, item.fleet, self._vehicles) for item in decoded]
        frames = concat_columns(columns)
        verdicts = self._duplicates.check(frames.vehicle, frames)
        doubted = np.repeat([item.verify for item in decoded], [len(part) for part in columns])
        verdicts[doubted & (verdicts == DUPLICATE)] = UNVERIFIED
        by_submission = np.split(verdicts, np.cumsum([len(part) for part in columns])[:-1])
        start, end = self._write(submissions, by_submission)
        fresh = verdicts != DUPLICATE
        with self.state_lock:
            self._duplicates.mark(frames.vehicle, frames, fresh)
        accepted = [_accepted(item, verdict) for item, verdict in zip(decoded, by_submission, strict=True)]
        group = build_group(start, end, accepted, self._vehicles, frames if fresh.all() else None)
        receipts = [_receipt(record) for record in accepted]
        return group, receipts

    def _write(self, submissions: Sequence[bytes], verdicts: Sequence[U8]) -> tuple[int, int]:
        with self._lock:
            if self._journal.poisoned:
                # The fault that an earlier commit met was still there when that one tried to recover.
                self._journal.recover()
            start = self._journal.end
            try:
                for raw, verdict in zip(submissions, verdicts, strict=True):
                    self._journal.append(records.SUBMISSION, *encode_accepted(raw, verdict))
                end = self._journal.sync()
            except JournalError:
                self._journal.recover()
                raise
        return start, end


def _receipt(record: AcceptedRecord) -> Receipt:
    counts, kept = record.counts, record.kept
    mixed = b"" if kept is None or not counts.accepted else np.packbits(~kept, bitorder="little").tobytes()
    return Receipt(counts.accepted, counts.duplicates, counts.dead_lettered, mixed)


def _accepted(submission: Submission, verdicts: U8) -> AcceptedRecord:
    """The record as a replay would read it back, without the way through its bytes."""
    duplicates = int(np.count_nonzero(verdicts == DUPLICATE))
    unverified = verdicts == UNVERIFIED
    dead_lettered = 0 if submission.dead_letters is None else submission.dead_letters.num_rows
    return AcceptedRecord(
        submission=submission,
        kept=verdicts != DUPLICATE if duplicates else None,
        unverified=unverified if unverified.any() else None,
        counts=Counts(len(verdicts) + dead_lettered, len(verdicts) - duplicates, duplicates, dead_lettered),
    )
