"""`canfleet sql` against the real engine: formats, files, parameters, statements without rows, errors."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import polars as pl
import pyarrow.parquet as pq
import pytest
from clickhouse_process import HostProcess
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_command import Done

from canfleet.sql_formats import MOST_TABLE_ROWS

Run = Callable[..., Done]

MIXED = """SELECT number AS n, toLowCardinality(concat('truck-', toString(number))) AS vehicle,
    if(number = 1, unhex('ff00'), 'a,"b"\nü') AS data, if(number = 2, NULL, number / 4) AS value,
    toDateTime64(1760000000 + number / 8, 6, 'UTC') AS timestamp, ['x', unhex('80')] AS list,
    toDate('2025-10-06') AS day, number = 0 ? true : false AS flag
FROM numbers(3)"""


def test_a_table_is_for_people(run: Run) -> None:
    done = run("SELECT 'a[red]b\x1b[31m' AS name, number FROM numbers(2)")
    assert (done.code, done.errors) == (0, "")
    lines = done.out.decode().splitlines()
    assert lines[0].split() == ["name", "number"]
    assert [line.split() for line in lines[1:]] == [["a[red]b\\x1b[31m", "0"], ["a[red]b\\x1b[31m", "1"]]
    wide = run("SELECT x, x FROM (SELECT repeat('x', 300) AS x)").out.decode().splitlines()
    assert [line.split() for line in wide] == [["x", "x"], ["x" * 300] * 2]


def test_a_long_table_says_that_it_ends(run: Run) -> None:
    for rows, said in ((MOST_TABLE_ROWS, ""), (200_000, "the first 1,000 rows: --format csv writes all of them\n")):
        done = run(f"SELECT number FROM numbers({rows}) SETTINGS max_block_size = 300")
        assert (len(done.out.splitlines()), done.errors) == (1 + MOST_TABLE_ROWS, said)


def test_csv(run: Run) -> None:
    done = run("--format", "csv", MIXED)
    assert list(csv.reader(io.StringIO(done.out.decode(), newline=""))) == [
        ["n", "vehicle", "data", "value", "timestamp", "list", "day", "flag"],
        ["0", "truck-0", 'a,"b"\nü', "0.0", "2025-10-09T08:53:20+00:00", '["x","80"]', "2025-10-06", "true"],
        ["1", "truck-1", "ff00", "0.25", "2025-10-09T08:53:20.125+00:00", '["x","80"]', "2025-10-06", "false"],
        ["2", "truck-2", 'a,"b"\nü', "", "2025-10-09T08:53:20.250+00:00", '["x","80"]', "2025-10-06", "false"],
    ]
    assert run("--format", "csv", "SELECT 1 AS a, 2 AS b WHERE 0").out == b"a,b\n"


def test_json_and_ndjson(run: Run) -> None:
    rows = json.loads(run("--json", MIXED).out)
    assert rows[1] == {
        "n": 1,
        "vehicle": "truck-1",
        "data": "ff00",
        "value": 0.25,
        "timestamp": "2025-10-09T08:53:20.125000+00:00",
        "list": ["x", "80"],
        "day": "2025-10-06",
        "flag": False,
    }
    assert [row["value"] for row in rows] == [0.0, 0.25, None]
    assert json.loads(run("--format", "json", MIXED).out) == rows
    assert [json.loads(line) for line in run("--format", "ndjson", MIXED).out.splitlines()] == rows
    assert json.loads(run("--json", "SELECT 1 AS a WHERE 0").out) == []
    assert run("--format", "ndjson", "SELECT 1 AS a WHERE 0").out == b""
    assert json.loads(run("--json", "SELECT nan AS a, inf AS b").out) == [{"a": None, "b": None}]


def test_parquet_has_types(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    done = run("--output", str(file), MIXED.replace("unhex('80')", "'y'"))
    assert (done.code, done.out, done.errors) == (0, b"", "")
    table = pq.read_table(file)
    assert [str(field.type) for field in table.schema] == [
        "uint64",
        "string",
        "binary",
        "double",
        "timestamp[us, tz=UTC]",
        "list<element: string>",
        "date32[day]",
        "bool",
    ]
    assert table["data"].to_pylist() == ['a,"b"\nü'.encode(), b"\xff\x00", 'a,"b"\nü'.encode()]
    assert pl.read_parquet(file)["vehicle"].to_list() == ["truck-0", "truck-1", "truck-2"]
    assert list(tmp_path.iterdir()) == [file]


def test_parquet_says_which_column_is_no_text(run: Run, tmp_path: Path) -> None:
    done = run("--output", str(tmp_path / "rows.parquet"), "SELECT unhex('ff') AS raw")
    assert done.code == 1
    assert "column raw has values that are no text" in done.errors
    assert list(tmp_path.iterdir()) == []
    assert "wants a file" in run("--format", "parquet", "SELECT 1").errors


def test_no_rows_still_make_a_parquet_file(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "none.parquet"
    assert run("--output", str(file), "SELECT 'a' AS a, 2 AS b WHERE 0").code == 0
    assert (pq.read_table(file).num_rows, pq.read_schema(file).names) == (0, ["a", "b"])


@pytest.mark.parametrize("ending", ["csv", "json", "ndjson", "txt"])
def test_a_file_holds_what_would_be_printed(run: Run, tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"rows.{ending}"
    form = "table" if ending == "txt" else ending
    assert run("--output", str(file), MIXED).out == b""
    assert file.read_bytes() == run("--format", form, MIXED).out


def test_many_batches_are_all_of_the_rows(run: Run, tmp_path: Path) -> None:
    sql = (
        "SELECT number AS n, toString(number % 7) AS s FROM numbers(200000) ORDER BY n SETTINGS max_block_size = 10000"
    )
    expected = pl.DataFrame({"n": range(200_000)}).with_columns((pl.col("n") % 7).cast(pl.String).alias("s"))
    for ending in ("csv", "ndjson", "json", "parquet"):
        assert run("--output", str(tmp_path / f"r.{ending}"), sql).code == 0
    text = {"s": pl.String}
    assert pl.read_csv(tmp_path / "r.csv", schema_overrides=text).equals(expected)
    assert pl.read_ndjson(tmp_path / "r.ndjson").equals(expected)
    assert pl.DataFrame(json.loads((tmp_path / "r.json").read_bytes())).equals(expected)
    assert pl.read_parquet(tmp_path / "r.parquet").cast({"n": pl.Int64}).equals(expected)


def test_times_are_times_in_every_format(run: Run, tmp_path: Path) -> None:
    """ClickHouse's Arrow has DateTime as a number."""
    sql = """SELECT -- seconds
        toDateTime(60, 'Europe/Berlin') AS a, toDateTime({b:UInt32}, 'UTC')::Nullable(DateTime('UTC')) AS b,
        toUUID('417ddc5d-e556-4d27-95dd-a34d84e46a50') AS u, toUInt32(7) AS n;"""
    given_values = ["--param", "b=120"]
    iso = ["1970-01-01T00:01:00+00:00", "1970-01-01T00:02:00+00:00", "417ddc5d-e556-4d27-95dd-a34d84e46a50"]
    assert run(sql, *given_values, "--format", "csv").out.decode().splitlines()[1] == ",".join([*iso, "7"])
    assert json.loads(run(sql, *given_values, "--json").out) == [dict(zip("abun", [*iso, 7], strict=True))]
    assert b"1970-01-01 00:01:00+00:00" in run(sql, *given_values).out
    assert run(sql, *given_values, "--output", str(tmp_path / "t.parquet")).code == 0
    assert pl.read_parquet(tmp_path / "t.parquet")["a"].dt.epoch("s").to_list() == [60]


def test_a_statement_without_rows_says_done(run: Run) -> None:
    try:
        assert run("CREATE TABLE done (a UInt32, b String) ENGINE = MergeTree ORDER BY a").out == b"done\n"
        assert run("INSERT INTO done VALUES (1, 'x;y'), (2, '50%')").out == b"done\n"
        assert run("INSERT INTO done SELECT 3, 'z'", "--json").out == b"[]\n"
        assert run("ALTER TABLE done ADD COLUMN c UInt8").out == b"done\n"
        csv_done = run("OPTIMIZE TABLE done FINAL", "--format", "csv")
        assert (csv_done.code, csv_done.out, csv_done.errors) == (0, b"", "done\n")
        assert json.loads(run("--json", "SELECT a, b FROM done WHERE b LIKE '%' ORDER BY a;").out) == [
            {"a": 1, "b": "x;y"},
            {"a": 2, "b": "50%"},
            {"a": 3, "b": "z"},
        ]
        assert b"done" in run("SHOW TABLES").out
    finally:
        assert run("DROP TABLE IF EXISTS done").out == b"done\n"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_parameter_arrives_as_it_is(run: Run, text: str) -> None:
    assert json.loads(run("--json", "SELECT {x:String} AS x", "--param", f"x={text}").out) == [{"x": text}]


def test_parameters_have_types(run: Run) -> None:
    sql = "SELECT {n:UInt8} + 1 AS n, {when:DateTime('UTC')} AS t, {list:Array(String)} AS l, {n:UInt8} AS m"
    given_values = ["--param", "n=41", "--param", "when=2025-10-06 07:00:00", "--param", "list=['a','b=c']"]
    assert json.loads(run("--json", sql, *given_values).out) == [
        {"n": 42, "t": "2025-10-06T07:00:00+00:00", "l": ["a", "b=c"], "m": 41}
    ]
    for wrong, words in (
        ("n", "is no NAME=VALUE"),
        ("list=a", "is no Array such as ['a', 'b']"),
        ("other=1", "the statement has no {other:Type} for --param other"),
    ):
        done = run(sql, "--param", wrong)
        assert (done.code, done.out) == (1, b"")
        assert words in done.errors
    assert "UNKNOWN_QUERY_PARAMETER" in run(sql, "--param", "n=1").errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["SELEC 1"], "SYNTAX_ERROR"),
        (["SELECT * FROM missing"], "UNKNOWN_TABLE"),
        (["SELECT throwIf(number = 99999) FROM numbers(100000)", "--format", "csv"], "FUNCTION_THROW_IF"),
        (["SELECT 1", "--database", "no such"], "UNKNOWN_DATABASE"),
        (["SELECT 1 FORMAT CSV"], "the statement says FORMAT CSV: leave that out"),
        (["SELECT 1 AS a, a", "--format", "csv"], "two columns are called a"),
        (["SELECT 1", "--json", "--format", "csv"], "exclude each other"),
        (["SELECT 1", "--clickhouse", "http://127.0.0.1:9"], "does not answer"),
        (["SELECT 1", "--output", "/nowhere/rows.csv"], "cannot be written: No such file or directory"),
    ],
)
def test_an_error_is_one_line(run: Run, arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (1, b"")
    assert done.errors.startswith("canfleet: ")
    assert words in done.errors
    assert done.errors.count("\n") == 1


def test_it_writes_before_the_answer_is_whole_and_stops_with_its_reader(host: HostProcess) -> None:
    """A real process whose reader goes away after a line."""
    sql = "SELECT number FROM numbers(2000000)"
    command = [sys.executable, "-m", "canfleet", "sql", "--format", "csv", "--database", "default", sql]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"CANFLEET_CLICKHOUSE": host.url},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert [process.stdout.readline() for _ in range(3)] == [b"number\n", b"0\n", b"1\n"]
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) != 0
    assert b"Traceback" not in errors


class Cutting(BaseHTTPRequestHandler):
    """Passes requests on, and answers of `numbers` back by half, as a server does that fails once it has begun."""

    behind: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name: self.headers[name] for name in ("X-ClickHouse-Format", "Content-Type") if self.headers[name]}
        answer = httpx.post(self.behind + self.path, content=body, headers=headers)
        content = (
            answer.content[: len(answer.content) // 2]
            if b"numbers" in body and b"DESCRIBE" not in body
            else answer.content
        )
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.startswith("x-clickhouse"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "parquet"])
def test_an_answer_that_breaks_off_is_no_success(host: HostProcess, run: Run, tmp_path: Path, form: str) -> None:
    handler = type("Here", (Cutting,), {"behind": host.url})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        file = tmp_path / f"rows.{form}"
        url = f"http://127.0.0.1:{server.server_port}"
        done = run("SELECT number FROM numbers(300000)", "--clickhouse", url, "--output", str(file))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert done.code == 1
    assert "broke off its answer" in done.errors
    assert list(tmp_path.iterdir()) == []
