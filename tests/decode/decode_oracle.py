"""Two oracles for the decoder: cantools itself, and bit-by-bit extraction in Python integers."""

from __future__ import annotations

import logging
import random
import struct
from collections.abc import Iterable
from pathlib import Path

import cantools
import numpy as np
import pyarrow as pa

from pipeline.decode.assembly import assemble
from pipeline.decode.catalogue import Catalogue
from pipeline.decode.databases import ParsedDatabase
from pipeline.frames.columns import FrameColumns

SAMPLES = Path(__file__).parent / "samples"
SHARED = Path(__file__).parents[2].parent / "shared" / "data"

logging.getLogger("cantools").setLevel(logging.ERROR)


def sample(name: str):
    """A sample database, as cantools reads it."""
    return cantools.database.load_file(SAMPLES / name)


def catalogue_of(messages: list, name: str = "test.dbc") -> Catalogue:
    """A catalogue of messages made in memory."""
    database = cantools.database.Database(messages)
    return assemble({"default": [ParsedDatabase(name, database)]})


def frame_columns(frames: Iterable[tuple[int, bool, bytes]]) -> FrameColumns:
    """Frames of (arbitration id, is_extended, data) in columns."""
    frames = list(frames)
    n = len(frames)
    return FrameColumns(
        vehicles=pa.array(["v"], pa.utf8()),
        vehicle=np.zeros(n, np.int32),
        timestamp=np.arange(n, dtype=np.int64),
        arbitration_id=np.array([number for number, _, _ in frames], np.uint32),
        is_extended=np.array([extended for _, extended, _ in frames], np.bool_),
        channel=np.zeros(n, np.uint8),
        offsets=np.cumsum([0, *(len(data) for _, _, data in frames)]).astype(np.int32),
        payload=np.frombuffer(b"".join(data for _, _, data in frames), np.uint8),
        counted=np.zeros(n, np.bool_),
        session=np.zeros(n, np.uint32),
        sequence=np.zeros(n, np.uint64),
    )


def bits(value: float) -> str:
    """A float64's bits, by which values are compared."""
    return struct.pack(">d", float(value)).hex()


def rows_of(decoded, catalogue: Catalogue, n: int) -> list[list[tuple[str, str]]]:
    """For each frame its (signal name, value bits), sorted."""
    rows: list[list[tuple[str, str]]] = [[] for _ in range(n)]
    assert np.all(np.diff(decoded.row) >= 0)
    for row, signal, value in zip(decoded.row.tolist(), decoded.signal.tolist(), decoded.value.tolist(), strict=True):
        assert catalogue.signals[signal].message == decoded.message[row]
        rows[row].append((catalogue.signals[signal].name, bits(value)))
    return [sorted(row) for row in rows]


def by_cantools(message, data: bytes) -> list[tuple[str, str]] | None:
    """What cantools decodes, or None where it raises."""
    try:
        values = message.decode(data, decode_choices=False, scaling=True, allow_truncated=True)
    except cantools.database.DecodeError:
        return None
    return sorted((name, bits(value)) for name, value in values.items())


def by_bits(message, data: bytes) -> tuple[list[tuple[str, str]], int, bool]:
    """Values, truncated signals and whether a multiplexer value is unknown, from the meaning of each signal."""
    values: list[tuple[str, str]] = []
    truncated = 0
    unknown = False
    pending = [(None, None)]
    while pending:
        parent, selected = pending.pop()
        for signal in message.signals:
            if signal.multiplexer_signal != parent or (parent and selected not in signal.multiplexer_ids):
                continue
            places = bit_places(signal)
            if max(places) >= 8 * len(data):
                truncated += 1
                continue
            value = signal.conversion.raw_to_scaled(_raw_number(signal, data, places), decode_choices=False)
            values.append((signal.name, bits(value)))
            if signal.is_multiplexer:
                known = {i for s in message.signals if s.multiplexer_signal == signal.name for i in s.multiplexer_ids}
                known |= set(signal.choices or ())
                if int(value) in known:
                    pending.append((signal.name, int(value)))
                elif known:
                    unknown = True
    return sorted(values), truncated, unknown


def bit_places(signal) -> list[int]:
    """Places of a signal's bits, most significant first; place 8 * byte + 7 - bit, so byte 0's highest bit is 0."""
    if signal.byte_order == "big_endian":
        first = 8 * (signal.start // 8) + 7 - signal.start % 8
        return list(range(first, first + signal.length))
    return [8 * (b // 8) + 7 - b % 8 for b in range(signal.start + signal.length - 1, signal.start - 1, -1)]


def _raw_number(signal, data: bytes, places: list[int]) -> float:
    raw = 0
    for place in places:
        raw = raw << 1 | data[place // 8] >> (7 - place % 8) & 1
    if signal.conversion.is_float:
        code = {16: "e", 32: "f", 64: "d"}[signal.length]
        return struct.unpack(">" + code, raw.to_bytes(signal.length // 8, "big"))[0]
    return raw - (1 << signal.length) if signal.is_signed and raw >> (signal.length - 1) else raw


def _set(data: bytearray, signal, raw: int) -> None:
    for k, place in enumerate(reversed(bit_places(signal))):
        data[place // 8] &= ~(0x80 >> place % 8)
        data[place // 8] |= (raw >> k & 1) << (7 - place % 8)


def payloads(message, seed: int, randoms: int = 4) -> list[bytes]:
    """Random, all-zero, all-one, short and over-long data, and for each multiplexed signal data that carries it."""
    random_ = random.Random(seed)
    length = message.length
    longest = 8 if length <= 8 else 64
    made = [random_.randbytes(length) for _ in range(randoms)]
    made += [bytes(length), b"\xff" * length]
    shorter = random_.sample(range(length), min(4, length))
    made += [random_.randbytes(n) for n in shorter]
    made += [random_.randbytes(n) for n in {min(length + 1, longest), longest} if n > length]
    made += [random_.randbytes(64)]
    by_name = {signal.name: signal for signal in message.signals}
    for signal in message.signals:
        for selected in random_.sample(ids := signal.multiplexer_ids or [], min(3, len(ids))):
            data = bytearray(random_.randbytes(length))
            below, value = signal, selected
            while below.multiplexer_signal is not None:
                above = by_name[below.multiplexer_signal]
                _set(data, above, int(above.conversion.scaled_to_raw(value)))
                below, value = above, (above.multiplexer_ids or [0])[0]
            made += [bytes(data), bytes(data[: random_.randrange(length)])]
    return made
