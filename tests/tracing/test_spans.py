"""What is sampled, what waits, and how an insert of many requests is told in the trace of each. Without HTTP."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from otlp_collector import collecting, until
from pydantic import ValidationError
from traced_platform import config_in

from pipeline.clickhouse.client import Warehouse
from pipeline.decode.databases import load_catalogue
from pipeline.errors import JournalError
from pipeline.frames.body import NDJSON, read_body
from pipeline.frames.limits import FrameLimits
from pipeline.shard.shard import Shard
from pipeline.submission import Submission, encode, sampled_traceparent
from pipeline.tracing.outbox import MOST_WAITING, tracer_to
from pipeline.tracing.parents import is_sampled, sampled
from pipeline.tracing.settings import TracingSettings
from pipeline.tracing.tracing import Tracing

traceparents = st.builds(
    "00-{:032x}-{:016x}-{:02x}".format,
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.integers(0, 255),
)


def frames(sequence: int) -> pa.RecordBatch:
    now = time.time_ns() // 1000
    row = f'{{"vehicle_id": "v", "timestamp": {now}, "arbitration_id": 256, "data": "00", "session": 1, '
    return read_body((row + f'"sequence": {sequence}}}').encode(), NDJSON, None, FrameLimits(), now).frames


def submission(number: int, traceparent: str | None) -> bytes:
    return encode(Submission("fleet", time.time_ns() // 1000, f"request-{number}", frames(number), None, traceparent))


@given(st.none() | traceparents)
def test_a_submission_says_without_being_read_whether_it_is_traced(traceparent: str | None) -> None:
    found = sampled_traceparent(submission(0, traceparent))
    assert found == (traceparent if traceparent is not None and int(traceparent[-2:], 16) % 2 else None)


def test_what_is_no_submission_is_not_asked_for_its_trace() -> None:
    with pytest.raises(JournalError):
        sampled_traceparent(b"no submission")


@given(traceparents, st.floats(0, 1))
def test_who_has_a_trace_decides_for_itself(traceparent: str, sample: float) -> None:
    tracing = Tracing(TracingSettings(sample=sample))
    assert tracing.begins(traceparent) is False, "there is no collector"
    tracing.on = True  # type: ignore[misc]
    assert tracing.begins(traceparent) is bool(int(traceparent[-2:], 16) % 2)


def test_of_the_others_the_share_is_traced_that_was_asked_for() -> None:
    for sample, least, most in ((0.0, 0, 0), (0.1, 700, 1300), (1.0, 10_000, 10_000)):
        tracing = Tracing(TracingSettings(sample=sample))
        tracing.on = True  # type: ignore[misc]
        assert least <= sum(tracing.begins(None) for _ in range(10_000)) <= most


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "grpc://collector:4317", "http://", ""])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(ValidationError):
        TracingSettings(endpoint=endpoint)


def test_many_requests_of_one_insert_are_linked(warehouse: Warehouse, tmp_path: Path) -> None:
    contexts = [f"00-{i:032x}-{i:016x}-01" for i in range(1, 4)]
    with collecting() as collector:
        config = config_in(tmp_path, endpoint=collector.url)
        shard = Shard(0, config, load_catalogue(config.profiles()), warehouse)
        batch = [submission(i, context) for i, context in enumerate([*contexts, None, f"00-{9:032x}-{9:016x}-00"])]
        shard.commit(batch[:2])
        shard.commit(batch[2:])
        while shard.process_next(wait=False):
            pass
        assert shard.store_next()
        spans = collector.spans(6)
        shard.close()
    processed = [span for span in spans if span.name == "process"]
    assert [span.parent_span_id.hex() for span in processed] == [context[36:52] for context in contexts]
    first, *others = [span for span in spans if span.name == "store"]
    assert [span.trace_id.hex() for span in (first, *others)] == [context[3:35] for context in contexts]
    assert [span.parent_span_id.hex() for span in (first, *others)] == [context[36:52] for context in contexts]
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in first.links] == [
        (context[3:35], context[36:52]) for context in contexts
    ]
    for other in others:
        assert [(link.trace_id, link.span_id) for link in other.links] == [(first.trace_id, first.span_id)]


def test_a_collector_that_hangs_has_no_more_than_so_many_wait_and_gets_them_later() -> None:
    dropped: list[int] = []
    with collecting() as collector:
        collector.gate.clear()
        tracer, outbox = tracer_to(collector.url, dropped.append)
        for _ in range(MOST_WAITING + 100):
            tracer.start_span("one").end()
        assert sum(dropped) == 100
        collector.gate.set()
        assert len(collector.spans(MOST_WAITING)) == MOST_WAITING
        tracer.start_span("another").end()
        collector.spans(MOST_WAITING + 1)
        until(lambda: outbox._waiting == 0)
        assert sum(dropped) == 100
        outbox.shutdown()
    assert not [thread for thread in threading.enumerate() if "OtelBatch" in thread.name and not thread.daemon]


@given(st.lists(traceparents, max_size=20), st.integers(0, 20))
def test_the_first_of_those_that_are_sampled(every: list[str], most: int) -> None:
    assert sampled(every, most) == [one for one in every if is_sampled(one)][:most]
