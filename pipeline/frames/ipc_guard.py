"""Bound what reading an Arrow IPC stream would allocate, before reading it.

An IPC stream may compress its own buffers. Each compressed buffer begins with its plain length (int64), which
the reader allocates at once; so a few kilobytes could claim terabytes. This module adds those lengths up.

Source: Arrow's `Message.fbs` and the FlatBuffers binary format. PyArrow verifies a message's FlatBuffer before
it hands out its metadata, so the offsets followed here stay inside it.
"""

from __future__ import annotations

import struct
from typing import Final

import pyarrow as pa

from pipeline.errors import BodyError, BodyTooLarge

MAX_MESSAGES: Final = 4_096

_I32: Final = struct.Struct("<i")
_U16: Final = struct.Struct("<H")
_I64: Final = struct.Struct("<q")
_BUFFER: Final = struct.Struct("<qq")

_MESSAGE_HEADER: Final = 2
_DICTIONARY_DATA: Final = 1
_DICTIONARY_IS_DELTA: Final = 2
_BATCH_BUFFERS: Final = 2
_BATCH_COMPRESSION: Final = 3


def check_stream(body: pa.Buffer, limit: int) -> None:
    """Pass if reading the stream allocates no more than `limit` bytes for its buffers. O(messages + buffers).

    Raises:
        BodyTooLarge: it would allocate more, or it has more than `MAX_MESSAGES` messages.
        BodyError: it is no Arrow IPC stream.
    """
    total = 0
    dictionaries = 0
    try:
        for count, message in enumerate(pa.ipc.MessageReader.open_stream(body)):
            if count >= MAX_MESSAGES:
                raise BodyTooLarge(f"the Arrow stream has more than {MAX_MESSAGES} messages: send larger batches")
            if message.type == "record batch":
                metadata = memoryview(message.metadata)
                total += _plain_bytes(metadata, _header(metadata), message.body)
            elif message.type == "dictionary":
                metadata = memoryview(message.metadata)
                header = _header(metadata)
                plain = _plain_bytes(metadata, _child(metadata, header, _DICTIONARY_DATA), message.body)
                delta = _field(metadata, header, _DICTIONARY_IS_DELTA)
                # A delta makes the reader copy the whole dictionary that it extends.
                total += plain + (dictionaries if delta and metadata[delta] else 0)
                dictionaries += plain + message.body.size
            if total > limit:
                raise BodyTooLarge(f"the Arrow stream's buffers have more than {limit} bytes: send smaller parts")
    except (pa.ArrowException, OSError, struct.error) as error:
        raise BodyError(f"the body is no readable Arrow IPC stream: {error}") from error


def _header(metadata: memoryview) -> int:
    return _child(metadata, _I32.unpack_from(metadata, 0)[0], _MESSAGE_HEADER)


def _plain_bytes(metadata: memoryview, batch: int, body: pa.Buffer) -> int:
    """What the buffers of a record batch have after decompression, 0 where they are not compressed."""
    if not batch or not _field(metadata, batch, _BATCH_COMPRESSION):
        # Plain buffers are views of the body, which is bounded already.
        return 0
    vector = _child(metadata, batch, _BATCH_BUFFERS)
    count = _I32.unpack_from(metadata, vector)[0] if vector else 0
    content = memoryview(body)
    total = 0
    for index in range(count):
        offset, length = _BUFFER.unpack_from(metadata, vector + 4 + 16 * index)
        if length == 0:
            continue
        if offset < 0 or length < _I64.size or offset + length > len(content):
            raise BodyError("the Arrow stream has a compressed buffer outside its message")
        plain = _I64.unpack_from(content, offset)[0]
        # -1 says that the buffer is stored as it is.
        total += length if plain == -1 else max(plain, 0)
    return total


def _field(metadata: memoryview, table: int, field: int) -> int:
    """Position of a table's field, 0 where it is absent."""
    vtable = table - _I32.unpack_from(metadata, table)[0]
    slot = 4 + 2 * field
    if slot >= _U16.unpack_from(metadata, vtable)[0]:
        return 0
    offset = _U16.unpack_from(metadata, vtable + slot)[0]
    return table + offset if offset else 0


def _child(metadata: memoryview, table: int, field: int) -> int:
    """Position of what a table's offset field points to, 0 where it is absent."""
    position = _field(metadata, table, field)
    return position + _I32.unpack_from(metadata, position)[0] if position else 0
