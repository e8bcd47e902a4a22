"""The kinds of record in a shard's journal, and the two small ones that steer storing."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import orjson

from pipeline.gaps.late_frames import LateFrames
from pipeline.journal.log import Journal
from pipeline.shard.ledger import Tallies, as_document, from_document
from pipeline.types import I64

SUBMISSION: Final = 1
"""Frames and dead letters of one request to this shard, as `pipeline.submission.encode_accepted` writes them."""
INTENT: Final = 2
"""The next insert: which offsets, less which late duplicates. Synced before the insert is sent."""
STORED: Final = 3
"""ClickHouse confirmed everything before an offset."""
ROLLUP: Final = 4
"""The next insert into the rollups: which offsets. Synced before the insert is sent."""
ROLLED_UP: Final = 5
"""ClickHouse confirmed the rollups of everything before an offset."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Offsets `[start, end)` go into ClickHouse as one insert, less the frames numbered in `late_duplicates`.

    The offsets name the deduplication token: an insert that is re-sent after a crash has the same rows and the
    same token, and stores nothing twice.
    """

    start: int
    end: int
    late_duplicates: I64

    def token(self, shard: str) -> str:
        """The insert's deduplication token, without the table's name."""
        return f"{shard}/{self.start}-{self.end}"

    def encode(self) -> bytes:
        """As the payload of an INTENT record."""
        head = orjson.dumps({"start": self.start, "end": self.end})
        return head + b"\n" + self.late_duplicates.astype("<i8").tobytes()

    @classmethod
    def decode(cls, payload: bytes) -> Intent:
        """Read what `encode` wrote."""
        head, _, rows = payload.partition(b"\n")
        document = orjson.loads(head)
        return cls(document["start"], document["end"], np.frombuffer(rows, "<i8").astype(np.int64))


@dataclass(frozen=True, slots=True)
class Rollup:
    """The values of offsets `[start, end)`, all of them stored, go into the rollups as one insert."""

    start: int
    end: int

    def token(self, shard: str) -> str:
        """The insert's deduplication token."""
        return f"{shard}/{self.start}-{self.end}/minutes"

    def encode(self) -> bytes:
        """As the payload of a ROLLUP or ROLLED_UP record."""
        return orjson.dumps({"start": self.start, "end": self.end})

    @classmethod
    def decode(cls, payload: bytes) -> Rollup:
        """Read what `encode` wrote."""
        return cls(**orjson.loads(payload))


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything before `end` is in ClickHouse.

    Attributes:
        end: an offset.
        tallies: what the last insert added to the ledger.
        late: its frames that sequence gaps learn of only now.
    """

    end: int
    tallies: Tallies
    late: list[LateFrames] = field(default_factory=list)

    def encode(self) -> bytes:
        """As the payload of a STORED record."""
        late = [list(entry) for entry in self.late]
        return orjson.dumps({"end": self.end, "tallies": as_document(self.tallies), "late": late})

    @classmethod
    def decode(cls, payload: bytes) -> Stored:
        """Read what `encode` wrote, or what it wrote before there were hours and late frames."""
        document = orjson.loads(payload)
        late = [LateFrames(*entry) for entry in document.get("late", ())]
        return cls(document["end"], from_document(document["tallies"]), late)


def note(journal: Journal, lock: threading.Lock, kind: int, payload: bytes, *, durable: bool) -> None:
    """Append one small record to a journal that others write to as well; sync it where the next step relies on it.

    Raises:
        JournalError: the disk refused.
    """
    with lock:
        journal.append(kind, payload)
        if durable:
            journal.sync()
