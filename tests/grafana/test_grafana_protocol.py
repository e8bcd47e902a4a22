"""Requests as the data source sends them over HTTP, and Native answers as its client reads them.

The client is clickhouse-go v2. From its `conn_http.go` (`dialHttp`, `queryHello`, `applyOptionsToRequest`, `ping`) and
`conn_http_query.go`: POST with the statement as the body; `default_format=Native`, `client_protocol_version`, the
database and the settings in the URL; basic authentication without TLS; `Accept-Encoding: gzip`, which the data source
chooses (`pkg/plugin/driver.go`), while ClickHouse compresses only where `enable_http_compression` is set. Answers are
read by `Block.Decode` (`lib/proto/block.go`): block info, then columns with a byte of their serialisation after the
type. The first query says which revision all others are read with.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from clickhouse_process import HostProcess
from grafana_feed import FLEET, SECONDS, START, VEHICLE
from grafana_macros import ALL, Range, expanded
from grafana_pages import statements

from actors.clickhouse_host.native_revision import CUSTOM_SERIALIZATION, for_revision
from pipeline.errors import WarehouseError

GO_REVISION = 54460
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


@pytest.fixture(scope="module")
def go(host: HostProcess) -> Iterator[httpx.Client]:
    parameters = {
        "database": "system",
        "default_format": "Native",
        "client_protocol_version": str(GO_REVISION),
        "limit": "1000000",
    }
    headers = {
        "User-Agent": "grafana/12.0.0 clickhouse-datasource/4.10.0 clickhouse-go/2.41.0 (lv:go/1.25; os:linux)",
        "Accept-Encoding": "gzip",
    }
    with httpx.Client(
        base_url=host.url, params=parameters, headers=headers, auth=("dashboards", ""), timeout=60
    ) as client:
        yield client


class Reader(io.BytesIO):
    """`Block.Decode` for the types that dashboards get."""

    def number(self) -> int:
        value = shift = 0
        while True:
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def text(self) -> str:
        return self.read(self.number()).decode()

    def block(self, revision: int) -> tuple[list[str], list[list[Any]]]:
        """Names and columns of one block."""
        if revision:
            assert self.read(8) == BLOCK_INFO
        columns, rows = self.number(), self.number()
        names, values = [], []
        for _ in range(columns):
            names.append(self.text())
            kind = self.text()
            if revision >= CUSTOM_SERIALIZATION:
                assert self.read(1) == b"\x00"
            values.append(self.column(kind, rows) if rows else [])
        return names, values

    def column(self, kind: str, rows: int) -> list[Any]:
        outer, _, inner = kind.partition("(")
        inner = inner.removesuffix(")")
        if outer == "String":
            return [self.text() for _ in range(rows)]
        if outer == "Nullable":
            empty = self.read(rows)
            return [None if is_null else value for is_null, value in zip(empty, self.column(inner, rows), strict=True)]
        if outer == "LowCardinality":
            assert self.read(8) == struct.pack("<Q", 1)
            width = [1, 2, 4, 8][struct.unpack("<Q", self.read(8))[0] & 0xFF]
            dictionary = self.column(inner, struct.unpack("<Q", self.read(8))[0])
            assert struct.unpack("<Q", self.read(8))[0] == rows
            return [dictionary[int.from_bytes(self.read(width), "little")] for _ in range(rows)]
        form = {
            "UInt8": "B", "Bool": "B", "Int8": "b", "UInt16": "H", "Int16": "h", "UInt32": "I", "Int32": "i",
            "UInt64": "Q", "Int64": "q", "Float64": "d", "DateTime": "I", "DateTime64": "q",
        }[outer]  # fmt: skip
        return list(struct.unpack(f"<{rows}{form}", self.read(rows * struct.calcsize(form))))


def read(body: bytes, revision: int = GO_REVISION) -> tuple[list[str], list[list[Any]]]:
    """All blocks, one after the other."""
    reader = Reader(body)
    names, columns = reader.block(revision)
    while reader.tell() < len(body):
        more_names, more = reader.block(revision)
        assert more_names == names
        columns = [first + second for first, second in zip(columns, more, strict=True)]
    return names, columns


def test_the_handshake(go: httpx.Client) -> None:
    answer = go.post("/", content="SELECT displayName(), version(), revision(), timezone()")
    assert answer.status_code == 200
    assert "Content-Encoding" not in answer.headers
    assert int(answer.headers["Content-Length"]) > 0
    names, [[name], [version], [revision], [zone]] = read(answer.content)
    assert names == ["displayName()", "version()", "revision()", "timezone()"]
    # The client reads everything after with the server's revision: it must not be one that lacks what is sent.
    assert revision >= CUSTOM_SERIALIZATION
    assert int(version.split(".")[0]) >= 24
    assert (name, zone) == (answer.headers["X-ClickHouse-Server-Display-Name"], answer.headers["X-ClickHouse-Timezone"])


def test_the_ping_and_the_health_check(go: httpx.Client) -> None:
    assert read(go.post("/", content="SELECT 1").content) == (["1"], [[1]])
    [version] = read(go.post("/", content="SELECT version()").content)[1]
    assert len(version) == 1


def test_no_rows_are_a_block_with_columns(go: httpx.Client) -> None:
    answer = go.post("/", content="SELECT 1 AS a, toLowCardinality('x') AS b WHERE 0")
    assert read(answer.content) == (["a", "b"], [[], []])


def test_an_error_is_an_error(go: httpx.Client) -> None:
    answer = go.post("/", content="SELECT nothing_of_that_name")
    assert answer.status_code == 404
    assert answer.text.startswith("Code: 47. DB::Exception: ")


def test_several_blocks_and_compression(go: httpx.Client) -> None:
    sql = "SELECT number, toString(number % 10) AS digit, toLowCardinality(digit) AS short FROM numbers(70000)"
    answer = go.post("/", params={"max_block_size": "1000", "enable_http_compression": "1"}, content=sql)
    assert answer.headers["Content-Encoding"] == "gzip"
    _, [numbers, digits, short] = read(answer.content)
    assert sorted(numbers) == list(range(70_000))
    assert digits == short == [str(number % 10) for number in numbers]


@pytest.mark.parametrize("framing", ["compress", "decompress"])
def test_framed_blocks_are_refused_rather_than_misread(go: httpx.Client, framing: str) -> None:
    answer = go.post("/", params={framing: "1"}, content="SELECT 1")
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert f"{framing}=1" in answer.text


@pytest.mark.parametrize("one", statements(), ids=lambda one: f"{one.page}-{one.title}".replace(" ", "-"))
def test_every_statement_is_answered_so(filled: httpx.Client, one: Any) -> None:
    chosen = {"fleet": FLEET, "vehicle": VEHICLE, "signal": "BodyState.DoorsOpen", "kind": ALL}
    sql = expanded(one.sql, Range(START - 60, START + SECONDS + 60, float(max(5, one.least_s))), chosen)
    asked = {"default_format": "Native", "client_protocol_version": str(GO_REVISION)}
    names, columns = read(filled.post("/", params=asked, content=sql).content)
    as_json = filled.post("/", params={"default_format": "JSONCompact"}, content=sql).json()
    assert names == [column["name"] for column in as_json["meta"]]
    assert {len(column) for column in columns} == {as_json["rows"]}
    texts = [number for number, column in enumerate(as_json["meta"]) if "String" in column["type"]]
    for number in texts:
        assert sorted(columns[number]) == sorted(row[number] for row in as_json["data"])


STRUCTURES = [
    "a UInt8, b Int256, c Float32, d Date, e Date32, f UUID, g IPv4, h IPv6, i FixedString(7)",
    "a Enum16('x' = 1, 'y,)' = 2), b Bool, c Int128, d Float64, e DateTime64(6, 'UTC'), f DateTime('Etc/UTC')",
    "a String, b Nullable(String), c Array(String), d Array(Array(Nullable(Int16))), e Map(String, Array(UInt8))",
    "a LowCardinality(String), b LowCardinality(Nullable(String)), c Array(LowCardinality(String))",
    "a Map(String, LowCardinality(String)), b LowCardinality(UInt16), c Tuple(LowCardinality(String), UInt8)",
    "a Tuple(UInt8, String), b Tuple(x Int8, `y z` Nullable(Float64)), c Array(Tuple(q String, r UInt8))",
    "a Decimal(5, 2), b Decimal(18, 3), c Decimal(38, 3), d Decimal(76, 3)",
]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_columns_of_every_type_get_their_byte(host: HostProcess, structure: str) -> None:
    """The whole block, put together from answers with one column each, whose data are all that follows the type."""
    with httpx.Client(base_url=host.url, timeout=60) as client:
        quoted = structure.replace("'", "\\'")
        rows = f"SELECT * FROM generateRandom('{quoted}', 7, 30, 5) LIMIT 200"
        made = f"CREATE TABLE grafana_types ENGINE = Memory AS {rows}"
        client.post("/", params={"allow_suspicious_low_cardinality_types": "1"}, content=made).raise_for_status()

        def native(columns: str, **parameters: str) -> bytes:
            asked = {"default_format": "Native"} | parameters
            return client.post("/", params=asked, content=f"SELECT {columns} FROM grafana_types").content

        expected = b""
        names = [one.split()[0] for one in structure.split(", ") if one[:2] in {f"{c} " for c in "abcdefghij"}]
        for name in names:
            body = native(name)
            reader = Reader(body)
            assert (reader.number(), reader.number()) == (1, 200)
            head = reader.tell()
            reader.text()
            reader.text()
            expected += body[head : reader.tell()] + b"\x00" + body[reader.tell() :]
        whole = native("*", client_protocol_version=str(GO_REVISION))
        assert whole == BLOCK_INFO + bytes([len(names)]) + b"\xc8\x01" + expected
        assert native("*", client_protocol_version=str(CUSTOM_SERIALIZATION - 1)) == native("*")
        client.post("/", content="DROP TABLE grafana_types").raise_for_status()


def test_a_type_that_is_not_served_is_named(go: httpx.Client) -> None:
    answer = go.post("/", content="SELECT 1::Dynamic AS a")
    assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (501, "48")
    assert "Dynamic" in answer.text
    with pytest.raises(WarehouseError, match="cannot read the type"):
        for_revision(b"\x01\x01\x01a\x02?(\x00", GO_REVISION)
