"""The one piece of ClickHouse's Native format that chDB leaves out: a block of columns without rows."""

from __future__ import annotations

import json


def empty_block(described: bytes) -> bytes:
    """A Native block of no rows from `DESCRIBE ... FORMAT JSONCompactColumns`: names first, types second."""
    names, types = json.loads(described)[:2]
    block = _varint(len(names)) + _varint(0)
    for name, kind in zip(names, types, strict=True):
        block += _text(name) + _text(kind)
    return block


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    """LEB128."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
