"""Inputs that the searches found, each with what it did before."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from pipeline.frames import json_kernel, json_reader
from pipeline.frames.body import ARROW, read_body
from serve import log_reader
from serve.logs import LogsEndpoint
from tests.frames.frames_samples import row, stream, table
from tests.fuzz.bodies import LIMITS, NOW_US
from tests.fuzz.damaged_mf4 import DAMAGED_MF4
from tests.fuzz.front_door import LETTER, REFUSED
from tests.fuzz.http_requests import HttpRequest
from tests.fuzz.http_target import HttpTarget
from tests.fuzz.json_target import LetterTarget
from tests.serve.serve_stand_in import BOOTSTRAP, StandIn, check_problem, client

JSON = [("authorization", f"Bearer {BOOTSTRAP}"), ("content-type", "application/json")]


@pytest.fixture(scope="module")
def http() -> Iterator[HttpTarget]:
    target = HttpTarget()
    yield target
    target.close()


@pytest.mark.parametrize("payload", [b"{ ", b"{\t\n", b"{", b" {", b"{}", b""])
def test_the_kernel_of_rows_reads_nothing_behind_the_last(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """`{ ` made it read one byte past the text. Compiled, it would not tell; as Python it does."""
    monkeypatch.setattr(json_reader, "read_rows", json_kernel.read_rows.py_func)
    LetterTarget().attempt(payload)


@pytest.mark.parametrize("column", ["vehicle_id", "data"])
@pytest.mark.parametrize("view", [(-(1 << 31), 0, 0, 0), (200, 0, 7, 0), (200, 0, -1, -1), (200, 0, 0, 1 << 30)])
def test_the_view_of_a_null_is_never_followed(column: str, view: tuple[int, int, int, int]) -> None:
    """Arrow validates it not, and casts it: the first of these ended the process with SIGSEGV."""
    kind = {"vehicle_id": pa.string_view(), "data": pa.binary_view()}[column]
    views = struct.pack("<i12s", 1, b"a") + struct.pack("<4i", *view) + struct.pack("<i12s", 1, b"b")
    buffers = [pa.py_buffer(b"\x05"), pa.py_buffer(views), pa.py_buffer(b"x" * 300)]
    crafted = pa.Array.from_buffers(kind, 3, buffers, 1)
    batch = table([row()] * 3)
    batch = batch.set_column(batch.schema.get_field_index(column), pa.field(column, kind), crafted)
    parsed = read_body(stream(batch), ARROW, None, LIMITS, NOW_US)
    assert parsed.frames.num_rows == 2
    assert parsed.rejected["reason"].to_pylist() == [f"{column}_missing"]


@pytest.mark.parametrize("ending", ["remote", "error"])
def test_a_log_may_end_in_a_batch_without_a_frame(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its dictionary was empty, and an Arrow file has one for all batches: such a log counted as unreadable."""
    monkeypatch.setattr(log_reader, "ROWS_PER_BATCH", 2)
    last = {"remote": "123#R", "error": "20000080#0000000000000000"}[ending]
    log = tmp_path / "drive.log"
    log.write_text("".join(f"({1_700_000_000 + i}.0) can0 {text}\n" for i, text in enumerate(("1#00", "1#01", last))))
    assert log_reader.convert(log, tmp_path / "frames.arrow", "truck-7", None) == {"skipped": 1}
    with pa.OSFile(str(tmp_path / "frames.arrow")) as source:
        assert pa.ipc.open_file(source).read_all()["data"].to_pylist() == [b"\x00", b"\x01"]


def test_a_file_that_ends_its_reader_is_refused(tmp_path: Path) -> None:
    async def send() -> httpx.Response:
        async with client(LogsEndpoint(StandIn(tmp_path))) as door:
            return await door.post("/v1/logs?vehicle_id=v&filename=a.mf4", content=DAMAGED_MF4, headers=dict(JSON))

    answer = asyncio.run(send())
    assert "exit status" in check_problem(answer, 400, "unreadable-body")["detail"]


POSTED = {
    "an end past 64 bits met SQLite": ("/v1/keys", {"fleet": "n", "scopes": ["query"], "expires_at": 10**30}),
    "a vehicle that is no Unicode was kept, and no list of keys could be answered any more": (
        "/v1/keys",
        {"fleet": "n", "scopes": ["ingest"], "vehicles": ["\ud800"]},
    ),
    "an id that is no Unicode ended in no answer at all": ("/v1/dead-letters/replay", {"ids": ["\ud800"]}),
    "a reason that is no Unicode went to ClickHouse": ("/v1/dead-letters/replay", {"filter": {"reason": "\ud800"}}),
    "a cursor that is no Unicode": ("/v1/dead-letters/replay", {"ids": [LETTER], "cursor": "\ud800"}),
}

SENT = {
    "Python reads no number of 5,000 digits": HttpRequest(
        "POST", "/v1/frames", "", [*JSON, ("content-length", "9" * 5_000)], b"[]"
    ),
    "the router fails on a query that is not UTF-8, at a path that is not there": HttpRequest(
        "GET", "/v1/nothing", "\xbc", JSON, b""
    ),
    "and where it would redirect": HttpRequest("PUT", "/v1/dead-letters/", "a=\x8a", JSON, b""),
    "a body that is nested deeply": HttpRequest("POST", "/v1/keys", "", JSON, b'{"x":' * 700 + b"1" + b"}" * 700),
    "502 was not described": HttpRequest("GET", "/v1/anomalies", f"kind={REFUSED.replace(' ', '+')}", JSON, b""),
}


@pytest.mark.parametrize("name", POSTED)
def test_what_is_posted_is_taken_or_refused(http: HttpTarget, name: str) -> None:
    path, document = POSTED[name]
    send(http, HttpRequest("POST", path, "", JSON, json.dumps(document).encode()))
    send(http, HttpRequest("GET", "/v1/keys", "", JSON, b""))


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_answered_as_described(http: HttpTarget, name: str) -> None:
    send(http, SENT[name])


def send(http: HttpTarget, request: HttpRequest) -> None:
    http.attempt(json.dumps([request.as_json()]).encode())
