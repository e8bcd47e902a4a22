"""What an HTTP request asks of the engine, and where in it an INSERT's data begins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_SKIPPED: Final = rb"""\s+|--[^\n]*|\#!?[^\n]*|/\*.*?\*/"""
_TOKEN: Final = re.compile(
    rb"(?P<space>" + _SKIPPED + rb")"
    rb"|(?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|\"(?:[^\"\\]|\\.|\"\")*\")"
    rb"|(?P<word>[A-Za-z_]\w*)"
    rb"|(?P<open>\()|(?P<close>\))"
    rb"|(?P<other>.)",
    re.DOTALL,
)
_BLANKS: Final = re.compile(rb"[ \t\f]*(?:\r?\n)?")
_ANSWERS: Final = frozenset(
    [b"SELECT", b"WITH", b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK", b"FROM", b"VALUES"]
)
_TRAILING: Final = re.compile(
    r"\bFORMAT\s+(?P<format>[A-Za-z_]\w*)\s*(?:SETTINGS\s+[^()]*)?;?\s*$", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with all that goes with it.

    Attributes:
        sql: the statement; of an INSERT with data, the part before `FORMAT`.
        insert_format: format of `data`; None where the statement is not an INSERT with data.
        data: the inserted bytes, in pieces.
        database: the current database.
        default_format: of the answer, where the statement names none.
        settings: ClickHouse settings, for this statement alone.
        parameters: values of `{name:Type}`, as ClickHouse's HTTP interface escapes them.
        limits: settings that win over `settings` and over the statement's own; with some, it only reads.
        read_only: refuse whatever writes.
    """

    sql: str
    insert_format: str | None = None
    data: Sequence[bytes] = ()
    database: str = "default"
    default_format: str = "TabSeparated"
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False

    @property
    def has_answer(self) -> bool:
        """Whether it produces rows, be they none."""
        first = next((m.group("word") for m in _TOKEN.finditer(self.sql.encode()) if m.group("word")), b"")
        return self.insert_format is None and first.upper() in _ANSWERS

    @property
    def answer_format(self) -> str:
        """Name of the format that the answer is in."""
        found = _TRAILING.search(self.sql)
        return found["format"] if found else self.default_format

    @property
    def bare(self) -> str:
        """The statement without its trailing FORMAT clause."""
        return _TRAILING.sub("", self.sql).rstrip().rstrip(";")


@dataclass(frozen=True, slots=True)
class InsertHead:
    """Where an INSERT's statement ends and its data begins: `text[:end]`, `format`, `text[data_at:]`."""

    end: int
    format: str
    data_at: int


def insert_head(text: bytes) -> InsertHead | None:
    """Find the border between an INSERT and its inline data; None for anything else, such as INSERT ... SELECT.

    The rules are ClickHouse's: blanks and one line break after the format's name belong to neither. The name of the
    table and lists in parentheses may hold any word. O(statement), not O(data).
    """
    depth = 0
    words: list[bytes] = []
    tokens = _TOKEN.finditer(text)
    for token in tokens:
        kind = token.lastgroup
        if kind == "space":
            continue
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth -= 1
        if depth or kind not in {"word", "quoted"}:
            continue
        word = token.group().upper() if kind == "word" else b"?"
        words.append(word)
        if words[0] != b"INSERT":
            return None
        if len(words) <= _names(words):
            continue
        if word in {b"SELECT", b"WITH", b"FROM", b"WATCH"}:
            return None
        if word == b"VALUES":
            return InsertHead(token.start(), "Values", token.end())
        if word == b"FORMAT":
            name = re.compile(rb"\s+([A-Za-z_]\w*)").match(text, token.end())
            if name is None:
                continue
            blanks = _BLANKS.match(text, name.end())
            return InsertHead(token.start(), name[1].decode(), blanks.end() if blanks else name.end())
    return None


def _names(words: list[bytes]) -> int:
    """How many of the first words are the keywords before the table's name and the name's first part."""
    optional = 1 if len(words) > 2 and words[1] == b"INTO" and words[2] in {b"TABLE", b"FUNCTION"} else 0
    return 2 + optional + 1
