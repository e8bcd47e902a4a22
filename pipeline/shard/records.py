"""The kinds of record in a shard's journal, and the two small ones that steer storing."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field
from typing import Final

import numpy as np
import orjson

from pipeline.errors import JournalError
from pipeline.gaps.late_frames import LateFrames
from pipeline.journal.log import Journal
from pipeline.shard.ledger import Tallies, as_document, from_document
from pipeline.types import I64

SUBMISSION: Final = 1
"""Frames and dead letters of one request to this shard, as `pipeline.submission.encode_accepted` writes them."""
INTENT: Final = 2
"""The next insert: which offsets, less which rows. Synced before the insert is sent."""
STORED: Final = 3
"""ClickHouse confirmed the rows of a range of offsets."""
ROLLUP: Final = 4
"""The next insert into the rollups: which offsets. Synced before the insert is sent."""
ROLLED_UP: Final = 5
"""ClickHouse confirmed the rollups of those offsets."""
FORGET: Final = 6
"""What stands before this of one vehicle goes; what comes behind it is a new vehicle."""
FORGOTTEN: Final = 7
"""How many rows of it ClickHouse had, before they were deleted."""

_NO_ROWS: Final[I64] = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Intent:
    """Offsets `[start, end)` go into ClickHouse as one insert, less some rows.

    The offsets name the deduplication token: an insert that is re-sent after a crash has the same rows and the
    same token, and stores nothing twice.

    Attributes:
        start, end: journal offsets.
        late_duplicates: int64[k], frames found to be stored already, by their position among the chunk's frames.
        refused_frames: int64[k], frames that ClickHouse refused for their content.
        refused_values: int64[k], the same for values, by their position among those of all other frames.
    """

    start: int
    end: int
    late_duplicates: I64 = field(default_factory=_NO_ROWS.copy)
    refused_frames: I64 = field(default_factory=_NO_ROWS.copy)
    refused_values: I64 = field(default_factory=_NO_ROWS.copy)

    def token(self, shard: str) -> str:
        """The token of the frames, without the table's name. Another where frames were found to be refused: then the
        insert without them is another one."""
        return f"{shard}/{self.start}-{self.end}{_less('', self.refused_frames)}"

    def value_token(self, shard: str) -> str:
        """The token of the values, likewise."""
        return self.token(shard) + _less("values-", self.refused_values)

    def encode(self) -> bytes:
        """As the payload of an INTENT record."""
        parts = [self.late_duplicates, self.refused_frames, self.refused_values]
        head = orjson.dumps({"start": self.start, "end": self.end, "rows": [len(part) for part in parts]})
        return head + b"\n" + np.concatenate(parts).astype("<i8").tobytes()

    @classmethod
    def decode(cls, payload: bytes) -> Intent:
        """Read what `encode` wrote; without `rows`, as in version 0.1, all rows are late duplicates."""
        head, _, body = payload.partition(b"\n")
        document = orjson.loads(head)
        rows = np.frombuffer(body, "<i8").astype(np.int64)
        late, frames, _ = document.get("rows", [len(rows), 0, 0])
        return cls(document["start"], document["end"], rows[:late], rows[late : late + frames], rows[late + frames :])


@dataclass(frozen=True, slots=True)
class Rollup:
    """The values of some ranges of offsets, all of them stored, go into the rollups as one insert."""

    ranges: tuple[tuple[int, int], ...]

    def token(self, shard: str) -> str:
        """The insert's deduplication token: no two rollups share an offset, so the ends name one."""
        return f"{shard}/{self.ranges[0][0]}-{self.ranges[-1][1]}/minutes"

    def encode(self) -> bytes:
        """As the payload of a ROLLUP or ROLLED_UP record."""
        return orjson.dumps({"ranges": self.ranges})

    @classmethod
    def decode(cls, payload: bytes) -> Rollup:
        """Read what `encode` wrote; version 0.1 had one range."""
        document = orjson.loads(payload)
        ranges = document.get("ranges") or [(document["start"], document["end"])]
        return cls(tuple((start, end) for start, end in ranges))


@dataclass(frozen=True, slots=True)
class Stored:
    """`[start, end)` is in ClickHouse.

    Version 0.1 stored in order and gave no start: everything before `end` is stored.

    Attributes:
        start, end: journal offsets.
        tallies: what the insert added to the ledger.
        late: its frames that sequence gaps learn of only now.
    """

    start: int
    end: int
    tallies: Tallies
    late: list[LateFrames] = field(default_factory=list)

    def encode(self) -> bytes:
        """As the payload of a STORED record."""
        tallies, late = as_document(self.tallies), [list(entry) for entry in self.late]
        return orjson.dumps({"start": self.start, "end": self.end, "tallies": tallies, "late": late})

    @classmethod
    def decode(cls, payload: bytes) -> Stored:
        """Read what `encode` wrote, or what it wrote before there were hours and late frames."""
        document = orjson.loads(payload)
        late = [LateFrames(*entry) for entry in document.get("late", ())]
        return cls(document.get("start", 0), document["end"], from_document(document["tallies"]), late)


@dataclass(frozen=True, slots=True)
class Forget:
    """A vehicle is to be forgotten, as a FORGET record says it; attributes as of `Forgetting`."""

    fleet: str
    vehicle_id: str
    letters_only: bool

    def encode(self) -> bytes:
        """As the payload of a FORGET record."""
        return orjson.dumps(asdict(self))

    @classmethod
    def decode(cls, payload: bytes) -> Forget:
        """Read what `encode` wrote."""
        return cls(**orjson.loads(payload))


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What the ledger learns of a vehicle that goes.

    Attributes:
        end: the offset behind its FORGET record.
        tallies: its frames in ClickHouse, by hour of receipt.
    """

    end: int
    tallies: Tallies

    def encode(self) -> bytes:
        """As the payload of a FORGOTTEN record."""
        return orjson.dumps({"end": self.end, "tallies": as_document(self.tallies)})

    @classmethod
    def decode(cls, payload: bytes) -> Forgotten:
        """Read what `encode` wrote."""
        document = orjson.loads(payload)
        return cls(document["end"], from_document(document["tallies"]))


def _less(what: str, rows: I64) -> str:
    return f"/{what}less-{len(rows)}" if len(rows) else ""


def note(journal: Journal, lock: threading.Lock, kind: int, payload: bytes) -> None:
    """Append one small record to a journal that others write to as well, durable on return.

    Also where a lost one could be made up for: when the disk refuses a later record of somebody else, what is not
    durable is cut off, and memory would know what the journal has forgotten.

    Raises:
        JournalError: the disk refused; the journal stands where it was last durable, and the same can be tried again.
    """
    with lock:
        try:
            journal.append(kind, payload)
            journal.sync()
        except JournalError:
            journal.recover()
            raise
