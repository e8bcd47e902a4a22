"""Spans as a collector gets them, of requests to a real HTTP face before a real shard and the real engine."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from clickhouse_process import HostProcess
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from otlp_collector import Collector, attributes, collecting, until
from traced_platform import VEHICLE, send, traced

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.metrics import DROPPED_SPANS, Kind
from pipeline.tracing import outbox
from pipeline.tracing.settings import TracingSettings
from pipeline.tracing.tracing import Tracing, tracing_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ["commit", "process", "receive", "store"]


@dataclass(frozen=True)
class Face:
    url: str
    collector: Collector
    tracing: Tracing


@pytest.fixture(scope="module")
def one_face(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Face]:
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database="db_traces", storage_policy="hot_cold"))
    migrate(warehouse)
    with collecting() as collector:
        folder = tmp_path_factory.mktemp("traces")
        with traced(folder, warehouse, endpoint=collector.url, sample=0) as url:
            yield Face(url, collector, tracing_of(TracingSettings(endpoint=collector.url, sample=0)))
    warehouse.close()


@pytest.fixture
def face(one_face: Face) -> Face:
    """Without the spans of other tests, which have waited for theirs."""
    one_face.collector.forget()
    return one_face


def test_the_spans_of_a_request_are_one_trace_under_its_sender(face: Face) -> None:
    url, collector = face.url, face.collector
    assert send(url, 0).status_code == 202, "one that is not traced"
    assert send(url, 1, traceparent=f"00-{'1' * 32}-{SPAN}-00").status_code == 202, "nor this one, by its sender"
    answer = send(url, 2, traceparent=f"00-{TRACE}-{SPAN}-01")
    assert answer.status_code == 202
    spans = {span.name: span for span in collector.spans(4)}
    assert sorted(spans) == STAGES
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    receive = spans["receive"]
    assert (receive.parent_span_id.hex(), receive.kind) == (SPAN, Span.SPAN_KIND_SERVER)
    assert attributes(receive) == {
        "canfleet.fleet": "default",
        "canfleet.request_id": answer.headers["x-request-id"],
        "canfleet.bytes": int(answer.request.headers["content-length"]),
        "canfleet.frames": 1,
    }
    for name in ("commit", "process", "store"):
        assert spans[name].parent_span_id == receive.span_id, name
        assert attributes(spans[name])["canfleet.shard"] == 0
    commit = spans["commit"]
    assert receive.start_time_unix_nano <= commit.start_time_unix_nano
    [write] = commit.events
    assert write.name == "write"
    assert commit.start_time_unix_nano <= write.time_unix_nano <= commit.end_time_unix_nano
    assert commit.end_time_unix_nano <= receive.end_time_unix_nano
    assert attributes(spans["store"])["canfleet.frames"] >= 1
    [link] = spans["store"].links
    assert (link.trace_id, link.span_id) == (receive.trace_id, receive.span_id)
    assert collector.services == {"canfleet"}
    assert VEHICLE not in str(list(spans.values())), "no span names a vehicle"
    face.tracing.flush()
    assert len(collector.spans(4)) == 4


def test_a_sampled_request_begins_a_trace_and_is_taken_alone(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face.tracing, "_sample", 1.0)
    with ThreadPoolExecutor(2) as senders:
        answers = [senders.submit(send, face.url, sequence) for sequence in (10, 11)]
    assert [answer.result().status_code for answer in answers] == [202, 202]
    spans = face.collector.spans(8)
    traces: dict[bytes, list[str]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span.name)
    assert [sorted(names) for names in traces.values()] == [STAGES, STAGES]
    assert [span.parent_span_id for span in spans if span.name == "receive"] == [b"", b""]


def test_a_request_that_is_refused_says_why(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face.tracing, "_sample", 1.0)
    refused = send(face.url, **{"Content-Type": "text/x-unheard-of"})
    assert refused.status_code == 415
    [receive] = face.collector.spans(1)
    assert receive.name == "receive"
    assert receive.status.code == Status.STATUS_CODE_ERROR
    assert attributes(receive)["error.type"] == "UnknownContentType"
    assert not receive.status.message


def test_a_collector_that_is_away_costs_no_request(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox, "_TIMEOUT_S", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url_away = f"http://127.0.0.1:{closed.getsockname()[1]}"
        tracing = tracing_of(TracingSettings(endpoint=url_away, sample=1))
        dropped: list[int] = []
        tracing.on_dropped = dropped.append
        with caplog.at_level(logging.INFO), traced(tmp_path, warehouse, endpoint=url_away, sample=1) as url:
            for i in range(20):
                assert send(url, i).status_code == 202
            # receive, commit and process of each; an insert has a span for each request it holds.
            until(lambda: sum(dropped) == 80)
            tracing.flush()
    assert [record.name for record in caplog.records if record.levelno >= logging.WARNING] == [outbox.__name__]
    assert DROPPED_SPANS.kind is Kind.COUNTER


def test_without_a_collector_nothing_of_the_sdk_is_loaded() -> None:
    code = (
        "import sys\n"
        "from pipeline.config import CanfleetConfig\n"
        "from pipeline.tracing.tracing import tracing_of\n"
        "tracing = tracing_of(CanfleetConfig().tracing)\n"
        f"assert not tracing.on and not tracing.begins('00-{TRACE}-{SPAN}-01')\n"
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
