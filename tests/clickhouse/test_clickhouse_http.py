"""The embedded host as any HTTP client sees it."""

from __future__ import annotations

import gzip
import io
import json
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
import zstandard
from clickhouse_process import HostProcess


@pytest.fixture(scope="module")
def http(host: HostProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=host.url, timeout=30) as client:
        yield client


@pytest.fixture
def table(http: httpx.Client) -> Iterator[str]:
    http.post("/", content="CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a").raise_for_status()
    yield "t"
    http.post("/", content="DROP TABLE t").raise_for_status()


def select(http: httpx.Client, sql: str) -> str:
    answer = http.post("/", content=sql)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_ping(http: httpx.Client) -> None:
    assert http.get("/ping").text == "Ok.\n"
    assert http.get("/replicas_status").text == "Ok.\n"
    assert http.get("/nowhere").status_code == 404


def test_query_in_url_body_or_both(http: httpx.Client) -> None:
    assert http.get("/", params={"query": "SELECT 1"}).text == "1\n"
    assert select(http, "SELECT 2") == "2\n"
    assert http.post("/", params={"query": "SELECT 3"}, content=" + 4").text == "7\n"
    assert http.head("/", params={"query": "SELECT 1"}).content == b""


def test_headers(http: httpx.Client) -> None:
    answer = http.post("/", params={"query_id": "mine"}, content="SELECT number FROM numbers(10) FORMAT JSONEachRow")
    assert answer.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
    assert answer.headers["X-ClickHouse-Timezone"]
    assert answer.headers["X-ClickHouse-Server-Display-Name"]
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"] == "10"
    assert answer.headers["Content-Type"].startswith("application/json")


def test_default_format_and_database(http: httpx.Client) -> None:
    answer = http.post(
        "/", params={"default_format": "CSVWithNames", "database": "system"}, content="SELECT * FROM one"
    )
    assert answer.text == '"dummy"\n0\n'
    assert select(http, "SELECT currentDatabase()") == "default\n"
    missing = http.post("/", params={"database": "a`b"}, content="SELECT 1")
    assert (missing.status_code, missing.headers["X-ClickHouse-Exception-Code"]) == (404, "81")


def test_bound_parameters(http: httpx.Client) -> None:
    nasty = 'it\'s "x"\\ ü; DROP TABLE t'
    answer = http.post(
        "/",
        params={"param_s": nasty.replace("\\", "\\\\"), "param_n": "41", "param_l": "['a','b']"},
        content="SELECT {s:String} AS s, {n:UInt8} + 1 AS n, {l:Array(String)} AS l FORMAT JSONEachRow",
    )
    assert answer.json() == {"s": nasty, "n": 42, "l": ["a", "b"]}
    assert http.post("/", content="SELECT {s:String}").status_code != 200


def test_settings_hold_for_one_query(http: httpx.Client) -> None:
    assert http.post("/", params={"max_block_size": "77"}, content="SELECT getSetting('max_block_size')").text == "77\n"
    assert select(http, "SELECT getSetting('max_block_size') != 77") == "1\n"
    unknown = http.post("/", params={"no_such_setting": "1"}, content="SELECT 1")
    assert (unknown.status_code, unknown.headers["X-ClickHouse-Exception-Code"]) == (404, "115")
    evil = http.post("/", params={"a = 1; DROP TABLE x; --": "1"}, content="SELECT 1")
    assert evil.status_code == 404


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT * FROM missing", 404, 60),
        ("SELECT missing", 404, 47),
        ("SELEC 1", 400, 62),
        ("", 400, 62),
        ("SELECT toUInt8('x')", 400, 6),
        ("SELECT throwIf(number = 200000) FROM numbers(1000000)", 500, 395),
        ("SELECT 1 FORMAT Nothing", 404, 73),
    ],
)
def test_an_error_leaves_nothing_behind(http: httpx.Client, sql: str, status: int, code: int) -> None:
    answer = http.post("/", content=sql)
    assert answer.status_code == status
    assert answer.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert answer.text.startswith(f"Code: {code}. DB::Exception: ")
    for _ in range(10):
        assert select(http, "SELECT 'good'") == "good\n"


def test_get_is_read_only(http: httpx.Client, table: str) -> None:
    answer = http.get("/", params={"query": f"INSERT INTO {table} VALUES (1, 'x')"})
    assert answer.headers["X-ClickHouse-Exception-Code"] == "164"
    assert http.get("/", params={"query": f"DROP TABLE {table}"}).status_code == 500
    assert select(http, f"SELECT count() FROM {table}") == "0\n"


def arrow_stream(a: list[int], b: list[str]) -> bytes:
    sink = io.BytesIO()
    rows = pa.table({"a": pa.array(a, pa.uint32()), "b": b})
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def test_insert_formats(http: httpx.Client, table: str) -> None:
    for name, body in [
        ("CSV", b'1,"one"\n'),
        ("JSONEachRow", b'{"a": 2, "b": "two"}'),
        ("RowBinary", b"\x03\x00\x00\x00\x05three"),
        ("Values", b"(4, 'it''s \\0 four')"),
        ("ArrowStream", arrow_stream([5], ["five"])),
        ("Native", b"\x02\x01\x01a\x06UInt32\x06\x00\x00\x00\x01b\x06String\x03six"),
    ]:
        in_url = http.post("/", params={"query": f"INSERT INTO {table} FORMAT {name}"}, content=body)
        assert in_url.status_code == 200, (name, in_url.text)
        assert json.loads(in_url.headers["X-ClickHouse-Summary"])["written_rows"] == "1"
        in_body = http.post("/", content=f"INSERT INTO {table} (a, b) FORMAT {name}\n".encode() + body)
        assert in_body.status_code == 200, (name, in_body.text)
    assert select(http, f"INSERT INTO {table} SELECT 7, 'seven'") == ""
    rows = select(http, f"SELECT a, b, count() FROM {table} GROUP BY ALL ORDER BY a").splitlines()
    assert rows == [
        "1\tone\t2",
        "2\ttwo\t2",
        "3\tthree\t2",
        "4\tit\\'s \\0 four\t2",
        "5\tfive\t2",
        "6\tsix\t2",
        "7\tseven\t1",
    ]


def test_a_large_insert_in_many_pieces(http: httpx.Client, table: str) -> None:
    n = 300_000
    body = arrow_stream(list(range(n)), [f"row {i}" for i in range(n)])

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(body), 50_001):
            yield body[start : start + 50_001]

    http.post("/", params={"query": f"INSERT INTO {table} FORMAT ArrowStream"}, content=pieces()).raise_for_status()
    assert select(http, f"SELECT count(), sum(a), uniqExact(b) FROM {table}") == f"{n}\t{n * (n - 1) // 2}\t{n}\n"


def test_an_insert_that_fails_while_it_is_written_says_so(http: httpx.Client, table: str) -> None:
    http.post("/", content=f"ALTER TABLE {table} ADD CONSTRAINT no_seven CHECK a != 7").raise_for_status()
    for settings in ("", " SETTINGS insert_deduplicate = 0"):
        head = f"INSERT INTO {table} (a, b){settings} FORMAT ArrowStream\n".encode()
        refused = http.post("/", content=head + arrow_stream([1, 7], ["x", "y"]))
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (500, "469")
    assert select(http, f"SELECT count() FROM {table}") == "0\n"
    http.post("/", content=head + arrow_stream([1, 8], ["x", "y"])).raise_for_status()
    assert select(http, f"SELECT count() FROM {table}") == "2\n"


def test_a_broken_insert_stores_nothing(http: httpx.Client, table: str) -> None:
    whole = arrow_stream(list(range(1000)), ["x"] * 1000)
    answer = http.post("/", params={"query": f"INSERT INTO {table} FORMAT ArrowStream"}, content=whole[:-500])
    assert answer.status_code != 200
    assert http.post("/", content=f"INSERT INTO {table} FORMAT CSV\n1,x\nnonsense,y\n").status_code == 400
    assert select(http, f"SELECT count() FROM {table}") == "0\n"


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", zstandard.ZstdCompressor().compress),
        ("lz4", lambda data: pa.Codec("lz4").compress(data, asbytes=True)),
        ("br", lambda data: pa.Codec("brotli").compress(data, asbytes=True)),
    ],
)
def test_request_compression(http: httpx.Client, coding: str, compress: object) -> None:
    assert callable(compress)
    sql = b"SELECT length('" + b"x" * 10_000 + b"')"
    answer = http.post("/", content=compress(sql), headers={"Content-Encoding": coding})
    assert answer.text == "10000\n"
    cut = http.post("/", content=compress(sql)[:-3], headers={"Content-Encoding": coding})
    assert cut.status_code == 400


def test_unknown_and_damaged_codings(http: httpx.Client) -> None:
    for coding in ("gzip", "zstd", "deflate", "lz4", "br", "rot13"):
        assert http.post("/", content=b"garbage", headers={"Content-Encoding": coding}).status_code == 400


@pytest.mark.parametrize("coding", ["gzip", "zstd", "deflate"])
def test_answer_compression(http: httpx.Client, coding: str) -> None:
    sql = "SELECT number FROM numbers(1000)"
    answer = http.post("/", params={"enable_http_compression": "1"}, content=sql, headers={"Accept-Encoding": coding})
    assert answer.headers["Content-Encoding"] == coding
    assert answer.text.splitlines() == [str(i) for i in range(1000)]
    plain = http.post("/", content=sql, headers={"Accept-Encoding": coding})
    assert "Content-Encoding" not in plain.headers


def test_concurrent_queries_keep_apart(host: HostProcess) -> None:
    def work(worker: int) -> int:
        wrong = 0
        with httpx.Client(base_url=host.url, timeout=60) as client:
            for i in range(15):
                if i % 5 == 4:
                    assert client.post("/", content="SELECT throwIf(1)").status_code == 500
                answer = client.post("/", params={"param_x": f"{worker}-{i}"}, content="SELECT {x:String}")
                wrong += answer.text != f"{worker}-{i}\n"
        return wrong

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(work, range(12))) == 0


def test_user_and_password(tmp_path: Path) -> None:
    host = HostProcess(tmp_path, "--password", "geheim ü")
    try:
        with httpx.Client(base_url=host.url) as client:
            assert client.get("/ping").status_code == 200
            refused = client.get("/", params={"query": "SELECT 1"})
            assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
            assert client.get("/", params={"query": "SELECT 1"}, auth=("root", "geheim ü")).status_code == 403
            assert client.get("/", params={"query": "SELECT 1"}, auth=("default", "geheim ü")).text == "1\n"
            parameters = {"query": "SELECT 1", "user": "default", "password": "geheim ü"}
            assert client.get("/", params=parameters).text == "1\n"
            wrong = {"X-ClickHouse-User": "default", "X-ClickHouse-Key": "falsch"}
            assert client.get("/", params=parameters, headers=wrong).status_code == 403
    finally:
        assert host.terminate() == (0, "")


def test_listens_on_loopback_alone(host: HostProcess) -> None:
    address = socket.gethostbyname(socket.gethostname())
    port = int(host.url.rpartition(":")[2])
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    with socket.socket() as probe:
        probe.settimeout(1)
        assert probe.connect_ex((address, port)) != 0


def test_a_second_host_on_the_folder_is_refused(tmp_path: Path) -> None:
    first = HostProcess(tmp_path)
    second = HostProcess(tmp_path)
    status, errors = second.finish()
    assert status == 1
    assert f"in use by process {first.process.pid}" in errors
    assert httpx.get(f"{first.url}/ping").status_code == 200
    assert first.terminate() == (0, "")
    assert HostProcess(tmp_path).terminate() == (0, "")


def test_a_taken_port_is_named(host: HostProcess, tmp_path: Path) -> None:
    port = host.url.rpartition(":")[2]
    second = HostProcess(tmp_path, "--port", port)
    status, errors = second.finish()
    assert status == 1
    assert f"127.0.0.1:{port}" in errors
