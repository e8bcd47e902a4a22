"""clickhouse-connect, unchanged, against the embedded host."""

from __future__ import annotations

from collections.abc import Iterator

import clickhouse_connect
import pyarrow as pa
import pytest
import zstandard
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_process import HostProcess


@pytest.fixture(scope="module")
def client(host: HostProcess) -> Iterator[Client]:
    connected = clickhouse_connect.get_client(host="127.0.0.1", port=int(host.url.rpartition(":")[2]))
    yield connected
    connected.close()


@pytest.fixture
def table(client: Client) -> Iterator[str]:
    client.command(
        "CREATE TABLE c (a UInt32, b String, c LowCardinality(String), d Nullable(Float64)) ENGINE = MergeTree "
        "ORDER BY a SETTINGS non_replicated_deduplication_window = 100"
    )
    yield "c"
    client.command("DROP TABLE c")


def test_command_and_query(client: Client) -> None:
    assert client.ping()
    assert client.command("SELECT 1") == 1
    assert client.command("SELECT 'a', 'b'") == ["a", "b"]
    result = client.query("SELECT number AS n, toString(number) AS s FROM numbers(3)")
    assert result.column_names == ("n", "s")
    assert result.result_rows == [(0, "0"), (1, "1"), (2, "2")]
    assert result.summary["read_rows"] == "3"


def test_no_rows_keep_their_columns(client: Client, table: str) -> None:
    empty = client.query(f"SELECT a, c, d FROM {table} WHERE a > {{x:UInt8}}", parameters={"x": 1})
    assert empty.column_names == ("a", "c", "d")
    assert empty.result_rows == []
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("a", "b", "c", "d")
    assert client.query_arrow(f"SELECT a, b FROM {table}").column_names == ["a", "b"]


def test_long_parameters_go_as_a_form(client: Client) -> None:
    text = "a'b\n\t\\ü" * 5_000
    assert client.query("SELECT {x:String}", parameters={"x": text}).first_row == (text,)


def test_inserts(client: Client, table: str) -> None:
    client.insert(table, [[1, "one", "x", 1.5], [2, "two", "y", None]], column_names=["a", "b", "c", "d"])
    client.insert_arrow(table, pa.table({"a": pa.array([3], pa.uint32()), "b": ["three"], "c": ["x"], "d": [2.5]}))
    client.raw_insert(table, ["a", "b"], b"4,four\n", fmt="CSV")
    packed = zstandard.compress(b"5,five\n")
    client.raw_insert(table, ["a", "b"], packed, fmt="CSV", compression="zstd")
    assert client.query(f"SELECT a, b, c, d FROM {table} ORDER BY a").result_rows == [
        (1, "one", "x", 1.5),
        (2, "two", "y", None),
        (3, "three", "x", 2.5),
        (4, "four", "", None),
        (5, "five", "", None),
    ]


def test_a_token_stays_with_its_insert(client: Client, table: str) -> None:
    """Before a Native insert, the client sends DESCRIBE TABLE with the insert's settings, token included."""
    for _ in range(2):
        client.insert(table, [[1, "a", "", None]], settings={"insert_deduplication_token": "one"})
    assert client.command(f"SELECT count() FROM {table}") == 1
    for i in range(20):
        client.insert(table, [[2, f"{i}", "", None]])
    assert client.command(f"SELECT count() FROM {table}") == 21


def test_errors_carry_code_and_words(client: Client) -> None:
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM missing")
    assert caught.value.code == 60
    assert client.command("SELECT 1") == 1
