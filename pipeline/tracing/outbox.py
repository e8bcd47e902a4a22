"""The way of spans out of the process: bounded, in the background, at nobody's expense. Imports OpenTelemetry's SDK."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

MOST_WAITING: Final = 4096
"""Spans that may wait to be sent, about 8 MB; more are let go."""
EVERY_S: Final = 1.0
"""How long spans wait at most while the collector answers. A process that ends takes those of its last second along."""
_BATCH: Final = 512
_TIMEOUT_S: Final = 5.0
_SAY_AGAIN_S: Final = 60.0

_log: Final = logging.getLogger(__name__)


class Outbox(SpanProcessor):
    """OpenTelemetry's `BatchSpanProcessor`, and a count of what it lets go, which that one keeps to itself."""

    def __init__(self, exporter: SpanExporter, on_dropped: Callable[[int], None], most: int = MOST_WAITING) -> None:
        """Send by `exporter`, in batches from a thread; `on_dropped` is told how many spans were not."""
        self._most = most
        self._waiting = 0
        self._lock = threading.Lock()
        self._on_dropped = on_dropped
        self._say_at = 0.0
        self._batches = BatchSpanProcessor(
            _Telling(exporter, self._gone),
            max_queue_size=most,
            schedule_delay_millis=EVERY_S * 1e3,
            max_export_batch_size=min(_BATCH, most),
        )

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended; microseconds, whatever the collector does."""
        with self._lock:
            has_room = self._waiting < self._most
            self._waiting += has_room
        if has_room:
            self._batches.on_end(span)
        else:
            self._drop(1, "too many wait to be sent")

    def shutdown(self) -> None:
        """Send what waits, and end."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits, and wait for it."""
        return self._batches.force_flush(timeout_millis)

    def _gone(self, spans: int, taken: bool) -> None:
        with self._lock:
            self._waiting -= spans
        if not taken:
            self._drop(spans, "the collector does not take them")

    def _drop(self, spans: int, why: str) -> None:
        self._on_dropped(spans)
        now = time.monotonic()
        with self._lock:
            says = now >= self._say_at
            if says:
                self._say_at = now + _SAY_AGAIN_S
        if says:
            _log.warning("spans are dropped: %s; requests go on, and no more is said of it for a minute", why)


class _Telling(SpanExporter):
    """An exporter, and what became of each batch."""

    def __init__(self, exporter: SpanExporter, gone: Callable[[int, bool], None]) -> None:
        self._exporter = exporter
        self._gone = gone

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._gone(len(spans), result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def tracer_to(endpoint: str, on_dropped: Callable[[int], None]) -> tuple[Tracer, Outbox]:
    """A tracer whose spans all go to the OTLP/HTTP collector at base URL `endpoint`.

    Who is traced is decided before a span is begun. Headers that the collector asks for come from
    `OTEL_EXPORTER_OTLP_HEADERS`, as OpenTelemetry has it.
    """
    # The outbox says the same, once.
    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_TIMEOUT_S)
    outbox = Outbox(exporter, on_dropped)
    resource = Resource.create(
        {"service.name": "canfleet", "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
    )
    # At exit it would wait half a minute for a collector that is away.
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(outbox)
    return provider.get_tracer("canfleet"), outbox
