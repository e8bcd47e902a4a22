"""Spans of what a shard does with the frames of traced requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.shard.chunk import MOST_TRACES, Chunk
from pipeline.shard.group import Group
from pipeline.submission import sampled_traceparent
from pipeline.tracing.parents import sampled
from pipeline.tracing.tracing import Attributes, Tracing

if TYPE_CHECKING:
    from opentelemetry.trace import Span


class ShardSpans:
    """The spans `process` and `store` of one shard, each a child of the request's span `receive`.

    Where tracing is off, and where no request of a batch is traced, it costs a look at one attribute.
    """

    def __init__(self, shard: int, tracing: Tracing) -> None:
        """Spans that name `shard`."""
        self._shard = shard
        self._tracing = tracing

    def processed(self, group: Group, began_ns: int, *, recovered: bool) -> None:
        """A group was processed, from `began_ns` until now; `recovered`: after a restart, perhaps once more."""
        if not self._tracing.on or not group.traces:
            return
        attributes: Attributes = {
            "canfleet.shard": self._shard,
            "canfleet.frames": len(group),
            "canfleet.recovered": recovered,
        }
        for request in sampled(group.traces, MOST_TRACES):
            self._tracing.record("process", request, attributes, began_ns=began_ns)

    def stored(self, chunk: Chunk, began_ns: int) -> None:
        """A chunk is in ClickHouse; it was first sent at `began_ns`.

        One insert carries many requests. Each has a span in its own trace; that of the first is linked to all requests,
        those of the others to that one.
        """
        if not self._tracing.on:
            return
        requests = sampled(chunk.traces, MOST_TRACES)
        if not requests:
            return
        attributes: Attributes = {
            "canfleet.shard": self._shard,
            "canfleet.frames": sum(len(item.group) for item in chunk.items),
            "canfleet.insert": f"{chunk.start}-{chunk.end}",
        }
        first, *others = requests
        span = self._tracing.record("store", first, attributes, began_ns=began_ns, links=requests)
        for request in others:
            self._tracing.record("store", request, attributes, began_ns=began_ns, links=[span])


class CommitSpans:
    """The spans `commit`, from a submission's arrival at its shard to its receipt. One loop, one thread commits."""

    def __init__(self, shard: int, tracing: Tracing) -> None:
        """Spans that name `shard`."""
        self._shard = shard
        self._tracing = tracing
        self._waiting: dict[int, Span] = {}

    def parent(self, submission: bytes) -> str | None:
        """The trace context of a submission that is traced, None for any other."""
        return sampled_traceparent(submission) if self._tracing.on else None

    @contextmanager
    def around(self, submission: bytes, parent: str) -> Iterator[None]:
        """A span around what is done until the receipt is there."""
        attributes = {"canfleet.shard": self._shard, "canfleet.bytes": len(submission)}
        with self._tracing.span("commit", parent, attributes) as span:
            self._waiting[id(submission)] = span
            try:
                yield
            finally:
                del self._waiting[id(submission)]

    def written(self, submissions: Sequence[bytes]) -> None:
        """A group has waited its turn, and is written from now on: an event of its spans. In the commit thread."""
        if not self._waiting:
            return
        for submission in submissions:
            span = self._waiting.get(id(submission))
            if span is not None:
                span.add_event("write", {"canfleet.submissions": len(submissions)})
