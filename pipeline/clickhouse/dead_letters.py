"""Dead letters in ClickHouse: look at them, count them, and take them out once they are replayed or purged.

Every method is about one fleet. Values are bound by the server; no text of a caller becomes SQL. Times are integer
microseconds since the epoch, ranges are [start, end).
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.clickhouse.client import Warehouse
from pipeline.frames.schema import TIMESTAMP

State: TypeAlias = Literal["replayed", "purged"]

_LATEST: Final = 1 << 53
_INSERT: Final = {"async_insert": 0, "max_partitions_per_insert_block": 0}
# All times of receipt have 16 digits, from 2001 to 2286, so that the order of ids is that of time.
_ID: Final = re.compile(r"([1-9]\d{15})-[0-9a-f]{16}")

_MATCHING: Final = """
    WHERE fleet = {fleet:String}
        AND l.received_at >= fromUnixTimestamp64Micro({start:Int64}, 'UTC')
        AND l.received_at < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
        AND ({stage:String} = '' OR stage = {stage:String})
        AND ({reason:String} = '' OR reason = {reason:String})
        AND (empty({ids:Array(String)}) OR id IN {ids:Array(String)})
"""
# Rows that agree in every column, a line sent twice in one request, have one id and are one dead letter.
_PAGE: Final = f"""
    SELECT id, received_us AS received_at, stage, reason, payload, request_id
    FROM
    (
        SELECT *, sum(length(payload)) OVER (ORDER BY received_us DESC, id DESC ROWS UNBOUNDED PRECEDING) AS bytes
        FROM
        (
            SELECT id, toUnixTimestamp64Micro(l.received_at) AS received_us, stage, reason, payload, request_id
            FROM dead_letters AS l {_MATCHING} AND ({{cursor:String}} = '' OR id < {{cursor:String}})
            ORDER BY l.received_at DESC, id DESC
            LIMIT 1 BY id
            LIMIT {{limit:UInt64}}
        )
    )
    WHERE bytes - length(payload) < {{max_bytes:UInt64}}
    ORDER BY received_us DESC, id DESC
"""
_REASONS: Final = f"""
    SELECT stage, reason, count() AS count FROM dead_letters AS l {_MATCHING}
    GROUP BY stage, reason ORDER BY count DESC, stage, reason
"""
_MARK_ALL: Final = f"""
    INSERT INTO dead_letter_marks (fleet, received_at, id, state, marked_at)
    SELECT fleet, l.received_at, id, 'purged', fromUnixTimestamp64Micro({{marked_at:Int64}}, 'UTC')
    FROM dead_letters AS l {_MATCHING}
"""
_MARKED: Final = """
    FROM dead_letter_marks
    WHERE fleet = {fleet:String} AND marked_at = fromUnixTimestamp64Micro({marked_at:Int64}, 'UTC')
"""
_DELETE: Final = f"""
    DELETE FROM dead_letters
    WHERE fleet = {{fleet:String}}
        AND received_at >= fromUnixTimestamp64Micro({{start:Int64}}, 'UTC')
        AND received_at < fromUnixTimestamp64Micro({{end:Int64}}, 'UTC')
        AND id IN (SELECT id {_MARKED})
"""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which dead letters of a fleet are meant: those that agree in all that is given.

    Attributes:
        ids: these alone, 2,500 at most; empty for any.
        stage, reason: as in the table; empty for any.
        start, end: time of receipt.
    """

    ids: tuple[str, ...] = ()
    stage: str = ""
    reason: str = ""
    start: int = 0
    end: int = _LATEST

    def bound(self, fleet: str, cursor: str = "") -> dict[str, Any]:
        """The parameters of `_MATCHING`, the range as narrow as ids and cursor allow."""
        times = [received_at_of(letter) for letter in self.ids]
        start, end = max([self.start, *([min(times)] if times else [])]), self.end
        end = min([end, *([max(times) + 1] if times else []), *([received_at_of(cursor) + 1] if cursor else [])])
        return {
            "fleet": fleet,
            "ids": list(self.ids),
            "stage": self.stage,
            "reason": self.reason,
            "start": start,
            "end": end,
        }


@dataclass(frozen=True, slots=True)
class LetterPage:
    """Some dead letters, newest first.

    Attributes:
        letters: columns id, received_at (microseconds), stage, reason, payload, request_id.
        next: the cursor of the page behind this one; None where this is the last.
    """

    letters: pa.Table
    next: str | None


class DeadLetters:
    """The dead letters of one warehouse; may be used from several threads.

    Every method raises WarehouseError or WarehouseAway, see `Warehouse`.
    """

    def __init__(self, warehouse: Warehouse) -> None:
        """Use the tables `dead_letters` and `dead_letter_marks` of `warehouse`."""
        self._warehouse = warehouse

    def page(self, fleet: str, wanted: LetterFilter, *, limit: int, max_bytes: int, cursor: str = "") -> LetterPage:
        """Dead letters behind `cursor`: at most `limit`, and no more once their payloads reach `max_bytes`.

        Letters that come while one goes from page to page stand before the first and shift nothing.
        """
        asked = {"cursor": cursor, "limit": limit, "max_bytes": max_bytes}
        letters = self._warehouse.arrow(_PAGE, wanted.bound(fleet, cursor) | asked)
        size = pc.sum(pc.binary_length(letters["payload"])).as_py() or 0
        full = letters.num_rows == limit or size >= max_bytes
        return LetterPage(letters, letters["id"][-1].as_py() if full and letters.num_rows else None)

    def one(self, fleet: str, letter: str) -> dict[str, Any] | None:
        """The dead letter of an id, by the sort key; None where the fleet has none of it."""
        if not is_letter_id(letter):
            return None
        rows = self.page(fleet, LetterFilter(ids=(letter,)), limit=1, max_bytes=1).letters.to_pylist()
        return rows[0] if rows else None

    def reasons(self, fleet: str, wanted: LetterFilter) -> list[dict[str, Any]]:
        """How many rows there are of each stage and reason: stage, reason, count, the commonest first."""
        return self._warehouse.rows(_REASONS, wanted.bound(fleet))

    def held(self, fleet: str) -> int:
        """How many rows the fleet has."""
        sql = "SELECT count() AS n FROM dead_letters WHERE fleet = {fleet:String}"
        return int(self._warehouse.rows(sql, {"fleet": fleet})[0]["n"])

    def state(self, fleet: str, letter: str) -> dict[str, Any] | None:
        """What became of a dead letter that is not there any more: state, marked_at; None where nothing is known."""
        if not is_letter_id(letter):
            return None
        sql = """
            SELECT state, toUnixTimestamp64Micro(m.marked_at) AS marked_at
            FROM dead_letter_marks AS m FINAL
            WHERE fleet = {fleet:String} AND id = {id:String}
                AND received_at = fromUnixTimestamp64Micro({at:Int64}, 'UTC')
        """
        rows = self._warehouse.rows(sql, {"fleet": fleet, "id": letter, "at": received_at_of(letter)})
        return rows[0] if rows else None

    def remove(self, fleet: str, letters: Sequence[str], state: State) -> None:
        """Mark dead letters and delete them; those that are gone already stay gone."""
        if not letters:
            return
        marked_at = _now_us()
        times = [received_at_of(letter) for letter in letters]
        n = len(letters)
        marks = pa.record_batch(
            {
                "fleet": pa.repeat(fleet, n),
                "received_at": pa.array(times, TIMESTAMP),
                "id": pa.array(letters, pa.utf8()),
                "state": pa.repeat(state, n),
                "marked_at": pa.array([marked_at] * n, TIMESTAMP),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, marks.schema) as writer:
            writer.write_batch(marks)
        self._warehouse.insert("dead_letter_marks", marks.schema.names, memoryview(sink.getvalue()), **_INSERT)
        self._delete_marked(fleet, marked_at, min(times), max(times) + 1)

    def purge(self, fleet: str, wanted: LetterFilter) -> int:
        """Mark and delete all that `wanted` means; returns how many. O(rows in its range), once each."""
        marked_at = _now_us()
        bound = wanted.bound(fleet) | {"marked_at": marked_at}
        self._warehouse.command(_MARK_ALL, bound, **_INSERT)
        count = int(self._warehouse.rows(f"SELECT count() AS n {_MARKED}", bound)[0]["n"])
        if count:
            self._delete_marked(fleet, marked_at, bound["start"], bound["end"])
        return count

    def _delete_marked(self, fleet: str, marked_at: int, start: int, end: int) -> None:
        """Delete what was marked at one time; returns when readers miss the rows."""
        bound = {"fleet": fleet, "marked_at": marked_at, "start": start, "end": end}
        self._warehouse.command(_DELETE, bound, lightweight_deletes_sync=2)


def is_letter_id(text: str) -> bool:
    """Whether `text` looks like the id of a dead letter."""
    return _ID.fullmatch(text) is not None


def received_at_of(letter: str) -> int:
    """When a dead letter was received, from its id; 0 for what is no id."""
    match = _ID.fullmatch(letter)
    return int(match[1]) if match else 0


def _now_us() -> int:
    return time.time_ns() // 1000
