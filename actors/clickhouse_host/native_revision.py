"""Native answers for clients that name a protocol revision, such as Go's clickhouse-go over HTTP.

chDB writes Native as for revision 0. A server that is told `client_protocol_version` puts a block info before every
block, and from revision 54454 on one byte after every column's type, which says whether the column is serialised in
a way of its own. To put that byte into place, the end of every column must be known: columns are walked by type.

The layout is ClickHouse's `NativeWriter`, `BlockInfo` and `SerializationLowCardinality`.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.errors import WarehouseError

CUSTOM_SERIALIZATION: Final = 54454
"""From this revision on, columns carry the byte. Below it nothing is changed, and clients that ask for less see so."""

_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""Field 1, `is_overflows`: no. Field 2, `bucket_num`: -1. The end. Readers of every revision take these alone."""
_PLAIN: Final = b"\x00"
_WIDTHS: Final = {
    **dict.fromkeys(["Int8", "UInt8", "Bool", "Enum8", "Nothing"], 1),
    **dict.fromkeys(["Int16", "UInt16", "BFloat16", "Date", "Enum16"], 2),
    **dict.fromkeys(["Int32", "UInt32", "Float32", "Date32", "DateTime", "Decimal32", "IPv4", "Time"], 4),
    **dict.fromkeys(["Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64"], 8),
    **dict.fromkeys(["Int128", "UInt128", "Decimal128", "UUID", "IPv6"], 16),
    **dict.fromkeys(["Int256", "UInt256", "Decimal256"], 32),
}
_ADDITIONAL_KEYS: Final = 1 << 9
_TYPE: Final = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)
_NAMED: Final = re.compile(r"(?:\w+|`(?:[^`\\]|\\.)*`) (?=\w)")
"""The name before an element's type in a named tuple."""


def for_revision(body: bytes, revision: int) -> bytes:
    """The Native blocks of `body`, which are of revision 0, as a client of `revision` reads them.

    O(columns) for values of a fixed width, O(rows) for strings.

    Raises:
        WarehouseError: a column has a type that is not served so, such as JSON, Dynamic or AggregateFunction.
    """
    if revision < CUSTOM_SERIALIZATION:
        return body
    pieces: list[bytes | memoryview] = []
    walk = _Walk(body)
    view = memoryview(body)
    while walk.at < len(body):
        start = walk.at
        columns, rows = walk.varint(), walk.varint()
        pieces += [_BLOCK_INFO, view[start : walk.at]]
        for _ in range(columns):
            start = walk.at
            walk.text()
            kind = walk.text()
            pieces += [view[start : walk.at], _PLAIN]
            start = walk.at
            if rows:
                walk.at += 8 * kind.count("LowCardinality(")
                walk.values(kind, rows)
            pieces.append(view[start : walk.at])
    return b"".join(pieces)


class _Walk:
    """A place in Native data, moved on by one thing at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    def varint(self) -> int:
        """LEB128."""
        value = shift = 0
        while True:
            byte = self._data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> str:
        """A string with its length before it."""
        length = self.varint()
        self.at += length
        return self._data[self.at - length : self.at].decode()

    def values(self, kind: str, rows: int) -> None:
        """Move over the values of one column."""
        name, arguments = _parsed(kind)
        if name in _WIDTHS or name.startswith("Interval"):
            self.at += rows * _WIDTHS.get(name, 8)
        elif name == "String":
            for _ in range(rows):
                length = self.varint()
                self.at += length
        elif name == "FixedString":
            self.at += rows * int(arguments[0])
        elif name == "Decimal":
            self.at += rows * next(4 << i for i, digits in enumerate((9, 18, 38, 76)) if int(arguments[0]) <= digits)
        elif name == "Nullable":
            self.at += rows
            self.values(arguments[0], rows)
        elif name == "SimpleAggregateFunction":
            self.values(arguments[1], rows)
        elif name == "LowCardinality":
            self._dictionary(arguments[0], rows)
        elif name == "Array":
            self._array(arguments, rows)
        elif name == "Map":
            self._array([f"Tuple({', '.join(arguments)})"], rows)
        elif name == "Tuple" and arguments:
            for argument in arguments:
                self.values(_NAMED.sub("", argument, count=1) if _NAMED.match(argument) else argument, rows)
        else:
            raise WarehouseError(
                f"Code: 48. DB::Exception: the embedded ClickHouse does not serve {kind} in Native to clients of a "
                "protocol revision: convert it with toString(). (NOT_IMPLEMENTED)"
            )

    def _array(self, element: list[str], rows: int) -> None:
        self.at += 8 * rows
        if count := self._number_before():
            self.values(element[0], count)

    def _dictionary(self, kind: str, rows: int) -> None:
        self.at += 8
        flags = self._number_before()
        if flags & _ADDITIONAL_KEYS:
            self.at += 8
            name, arguments = _parsed(kind)
            self.values(arguments[0] if name == "Nullable" else kind, self._number_before())
        self.at += 8 + rows * (1 << (flags & 0xFF))

    def _number_before(self) -> int:
        return int.from_bytes(self._data[self.at - 8 : self.at], "little")


def _parsed(kind: str) -> tuple[str, list[str]]:
    """Name and arguments of a type: `Map(String, Array(UInt8))` is Map with two."""
    found = _TYPE.fullmatch(kind)
    if found is None:
        raise WarehouseError(f"Code: 48. DB::Exception: cannot read the type {kind}. (NOT_IMPLEMENTED)")
    return found[1], _split(found[2] or "")


def _split(arguments: str) -> list[str]:
    parts: list[str] = []
    depth = start = 0
    quote = ""
    for at, sign in enumerate(arguments):
        if quote:
            quote = "" if sign == quote and arguments[at - 1] != "\\" else quote
        elif sign in "'`":
            quote = sign
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "," and not depth:
            parts.append(arguments[start:at].strip())
            start = at + 1
    return [*parts, arguments[start:].strip()] if arguments.strip() else parts
