"""Where an INSERT ends and its data begin, and what a statement answers with."""

from __future__ import annotations

import pytest

from actors.clickhouse_host.statement import Statement, insert_head


@pytest.mark.parametrize(
    ("text", "head", "name", "data"),
    [
        (b"INSERT INTO t FORMAT CSV\n1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"insert into `a b`.`format` (x, format) format Native \t\n\x00\x01", None, "Native", b"\x00\x01"),
        (b"INSERT INTO format FORMAT JSONEachRow {}", b"INSERT INTO format ", "JSONEachRow", b"{}"),
        (b"INSERT INTO t SETTINGS a = 'FORMAT X' FORMAT TSV\r\n\n1", None, "TSV", b"\n1"),
        (b"/* FORMAT a */ INSERT INTO t -- FORMAT b\n(x) VALUES (1), (2)", None, "Values", b" (1), (2)"),
        (b"INSERT INTO TABLE t FORMAT RowBinary\n\n\n", b"INSERT INTO TABLE t ", "RowBinary", b"\n\n"),
        (b"INSERT INTO FUNCTION file('FORMAT x') FORMAT CSV\n1", None, "CSV", b"1"),
        (b"INSERT INTO db.t (a) FORMAT ArrowStream", b"INSERT INTO db.t (a) ", "ArrowStream", b""),
    ],
)
def test_insert_head(text: bytes, head: bytes | None, name: str, data: bytes) -> None:
    found = insert_head(text)
    assert found is not None
    assert found.format == name
    assert text[found.data_at :] == data
    if head is not None:
        assert text[: found.end] == head


@pytest.mark.parametrize(
    "text",
    [
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT * FROM u FORMAT CSV",
        b"INSERT INTO t WITH 1 AS x SELECT x",
        b"",
        b"\x00\xff binary",
        b"CREATE TABLE t (format String) ENGINE = Memory",
    ],
)
def test_no_insert_with_data(text: bytes) -> None:
    assert insert_head(text) is None


@pytest.mark.parametrize(
    ("sql", "answers", "name"),
    [
        ("SELECT 1", True, "TabSeparated"),
        ("/* x */ with 1 as a select a\n FORMAT Native ;", True, "Native"),
        ("(SELECT 1) FORMAT JSON SETTINGS max_threads = 1", True, "JSON"),
        ("CREATE TABLE t (a String) ENGINE = Memory", False, "TabSeparated"),
        ("SELECT 'FORMAT CSV'", True, "TabSeparated"),
        ("DESCRIBE TABLE t", True, "TabSeparated"),
    ],
)
def test_answers(sql: str, answers: bool, name: str) -> None:
    statement = Statement(sql)
    assert statement.has_answer is answers
    assert statement.answer_format == name
