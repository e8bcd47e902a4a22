"""Tracing: which requests are traced, and the spans of those that are."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

from pipeline.tracing.parents import is_sampled, span_id_of, trace_id_of
from pipeline.tracing.settings import TracingSettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanContext

Attributes: TypeAlias = Mapping[str, str | int | bool]


class Tracing:
    """Spans of one process. A span ends in memory; a thread sends it. For any thread.

    Attributes:
        on: whether there is a collector. Where it is False, no other method may be called but `begins`.
    """

    def __init__(self, settings: TracingSettings) -> None:
        """Begin to send to `settings.endpoint`, where there is one. It need not answer, now or ever."""
        self.on: Final = settings.endpoint is not None
        self._sample = settings.sample
        self.on_dropped: Callable[[int], None] = lambda spans: None
        """Told how many spans were let go: too many waited, or the collector did not take them."""
        if settings.endpoint is not None:
            from pipeline.tracing.outbox import tracer_to

            self._tracer, self._outbox = tracer_to(settings.endpoint, self._dropped)

    def begins(self, traceparent: str | None) -> bool:
        """Whether to trace a request: as its sender decided, or, where it says nothing, the sampled share."""
        if not self.on:
            return False
        return random.random() < self._sample if traceparent is None else is_sampled(traceparent)

    @contextmanager
    def span(
        self,
        name: str,
        parent: str | None,
        attributes: Attributes,
        *,
        began_ns: int | None = None,
        server: bool = False,
    ) -> Iterator[Span]:
        """A span around what is done inside; one that raises is marked, with the kind of the error and no more of it.

        Args:
            name: what is done.
            parent: the trace context to go on from; None begins a trace.
            attributes: never what names a vehicle.
            began_ns: when it began, since the epoch; now where absent.
            server: whether it answers a request from outside.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode

        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        span = self._tracer.start_span(name, _context(parent), kind, dict(attributes), start_time=began_ns)
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.end()

    def record(
        self, name: str, parent: str, attributes: Attributes, *, began_ns: int, links: Sequence[str] = ()
    ) -> str:
        """A span of what began at `began_ns` and is done now, linked to other spans; its trace context."""
        span = self._tracer.start_span(
            name, _context(parent), attributes=dict(attributes), links=_links(links), start_time=began_ns
        )
        span.end(time.time_ns())
        return traceparent_of(span)

    def _dropped(self, spans: int) -> None:
        self.on_dropped(spans)

    def flush(self) -> None:
        """Send what waits, and wait until it is sent or dropped: for tests."""
        self._outbox.force_flush()


def traceparent_of(span: Span) -> str:
    """The trace context with which others go on from `span`."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


@lru_cache
def tracing_of(settings: TracingSettings) -> Tracing:
    """The process's only one with these settings: all shards of an actor share it."""
    return Tracing(settings)


def _span_context(traceparent: str) -> SpanContext:
    from opentelemetry.trace import SpanContext, TraceFlags

    trace_id, span_id = int(trace_id_of(traceparent), 16), int(span_id_of(traceparent), 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _context(parent: str | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    root = Context()
    return root if parent is None else set_span_in_context(NonRecordingSpan(_span_context(parent)), root)


def _links(traceparents: Sequence[str]) -> list[Link]:
    from opentelemetry.trace import Link

    return [Link(_span_context(one)) for one in traceparents]
