"""A chunk: the journal records of one insert, decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.journal.log import Journal
from pipeline.shard import records
from pipeline.shard.group import build_group
from pipeline.shard.insert_rows import Processed
from pipeline.shard.process import GroupDecoder
from pipeline.submission import decode_accepted
from pipeline.tracing.parents import trace_id_of
from pipeline.vehicles import VehicleIndex

MOST_TRACES: Final = 100
"""Named in one insert; the rest is counted."""
Read = Callable[[int, int, int | None], "Chunk | None"]
"""Reads the chunk of offsets `[start, end)`, or its beginning of about so many values."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Everything between two journal offsets that goes to ClickHouse in one insert.

    Attributes:
        start, end: journal offsets.
        items: processed groups in journal order; those without frames carry dead letters.
    """

    start: int
    end: int
    items: list[Processed]

    @property
    def with_frames(self) -> list[Processed]:
        """The groups that hold frames, in journal order: rows of an insert are counted over these."""
        return [item for item in self.items if len(item.group)]

    @property
    def traces(self) -> list[str]:
        """The W3C trace contexts of the requests it stores, each once, in journal order."""
        return list(dict.fromkeys(trace for item in self.items for trace in item.group.traces))

    @property
    def comment(self) -> str:
        """What ClickHouse's query log is told of the chunk's inserts: the traces of the requests they store, if any.

        One insert holds many requests, so it belongs to no single trace. Of very many, some are named.
        """
        traces = list(dict.fromkeys(trace_id_of(trace) for trace in self.traces))
        more = f" and {len(traces) - MOST_TRACES} more" if len(traces) > MOST_TRACES else ""
        return f"traces {' '.join(traces[:MOST_TRACES])}{more}" if traces else ""


class ChunkReader:
    """Reads chunks back from the journal and decodes them again. One thread: the decoder reuses its buffers."""

    def __init__(self, journal: Journal, vehicles: VehicleIndex, decoder: GroupDecoder) -> None:
        self._journal = journal
        self._vehicles = vehicles
        self._decoder = decoder

    def read(self, start: int, end: int, max_values: int | None = None) -> Chunk | None:
        """Records of `[start, end)`, at most about `max_values` decoded values; None where there is no record.

        Raises:
            JournalError: the range is not kept, or cannot be read.
        """
        items: list[Processed] = []
        reached, values = start, 0
        for record in self._journal.read(start, end):
            reached = record.next_offset
            if record.kind == records.SUBMISSION:
                accepted = decode_accepted(record.payload)
                group = build_group(record.offset, record.next_offset, [accepted], self._vehicles)
                items.append(Processed(group, self._decoder.decode(group)))
                values += len(items[-1].values.row) + len(group)
            if max_values is not None and values >= max_values:
                break
        return Chunk(start, reached, items) if reached > start else None
