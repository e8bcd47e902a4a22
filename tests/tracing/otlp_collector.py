"""An OTLP/HTTP collector on a real socket, which keeps the spans it is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

WAIT_S = 30


class Collector:
    """Attributes: `url`; `gate`, which a test clears to have it hang."""

    def __init__(self) -> None:
        self.url = ""
        self.gate = threading.Event()
        self.gate.set()
        self.services: set[str] = set()
        self._spans: list[Span] = []
        self._came = threading.Condition()

    def take(self, path: str, body: bytes) -> None:
        assert path == "/v1/traces"
        request = ExportTraceServiceRequest.FromString(body)
        with self._came:
            for of_resource in request.resource_spans:
                self.services |= {
                    a.value.string_value for a in of_resource.resource.attributes if a.key == "service.name"
                }
                self._spans += [span for scope in of_resource.scope_spans for span in scope.spans]
            self._came.notify_all()

    def spans(self, n: int) -> list[Span]:
        """All that came, once they are `n`."""
        with self._came:
            assert self._came.wait_for(lambda: len(self._spans) >= n, WAIT_S), [span.name for span in self._spans]
            return list(self._spans)

    def forget(self) -> None:
        with self._came:
            self._spans.clear()


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.gate.wait(WAIT_S)
            collector.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield collector
        finally:
            collector.gate.set()
            server.shutdown()
            thread.join()


def attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in span.attributes}


def until(holds: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
