"""Signals of any place, size and scaling, made at random, decode to cantools' value bit for bit."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion
from decode_oracle import bits, by_bits, by_cantools, catalogue_of, frame_columns, rows_of, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decode.assembly import assemble
from pipeline.decode.compiler import position
from pipeline.decode.databases import ParsedDatabase
from pipeline.decode.decoder import Decoder
from pipeline.decode.exact import multiply_add, round_128

NUMBERS = st.one_of(
    st.integers(-(1 << 62), 1 << 62),
    st.integers(-1000, 1000),
    st.floats(-1e12, 1e12),
    st.sampled_from([1, 1.0, 0, -0.0, 0.1, 0.01, 1e-7, -1, 2, 0.5, 3.0, 1e15]),
)


def decode_one(message: Message, data: bytes):
    catalogue = catalogue_of([message])
    decoded = Decoder(catalogue).decode(frame_columns([(message.frame_id, message.is_extended_frame, data)]))
    return rows_of(decoded, catalogue, 1)[0], decoded


@st.composite
def signals_and_data(draw) -> tuple[Message, bytes]:
    size = draw(st.sampled_from([1, 2, 7, 8, 12, 16, 64]))
    big_endian = draw(st.booleans())
    is_float = size >= 2 and draw(st.booleans())
    fitting = [n for n in (16, 32, 64) if n <= 8 * size]
    length = draw(st.sampled_from(fitting)) if is_float else draw(st.integers(1, min(64, 8 * size)))
    first = draw(st.integers(0, 8 * size - length))
    signal = Signal(
        "Any",
        start=8 * (first // 8) + 7 - first % 8 if big_endian else first,
        length=length,
        byte_order="big_endian" if big_endian else "little_endian",
        is_signed=draw(st.booleans()),
        conversion=BaseConversion.factory(scale=draw(NUMBERS), offset=draw(NUMBERS), is_float=is_float),
    )
    message = Message(0x123, "M", size, [signal])
    data = draw(st.one_of(st.binary(min_size=size, max_size=size), st.binary(max_size=64)))
    return message, data


@settings(max_examples=300, deadline=None)
@given(signals_and_data())
def test_any_signal_decodes_as_cantools_decodes_it(case: tuple[Message, bytes]) -> None:
    message, data = case
    row, decoded = decode_one(message, data)
    assert row == by_cantools(message, data)
    assert (row, decoded.truncated) == by_bits(message, data)[:2]


@settings(deadline=None)
@given(st.integers(0, (1 << 128) - 1), st.integers(0, 127))
def test_a_128_bit_integer_rounds_as_python_rounds_it(number: int, shift: int) -> None:
    for n in (number, number >> shift, (1 << shift) + 1, (1 << shift) - 1, (number >> 75 << 1 | 1) << 74 >> 1):
        low = n & (1 << 64) - 1
        high = n >> 64 & (1 << 64) - 1
        assert bits(round_128(np.uint64(high), np.uint64(low))) == bits(float(high << 64 | low))


@given(st.integers(-(1 << 64) + 1, (1 << 64) - 1), st.integers(-(1 << 62), 1 << 62), st.integers(-(1 << 126), 1 << 126))
def test_integer_scaling_is_rounded_once(raw: int, scale: int, offset: int) -> None:
    got = multiply_add(
        np.uint64(abs(raw)), raw < 0, np.int64(scale), np.int64(offset >> 64), np.uint64(offset & (1 << 64) - 1)
    )
    assert bits(got) == bits(float(raw * scale + offset))


@pytest.mark.parametrize("name", ["BigIntegers", "BigSigned", "BigWithRealOffset", "Unsigned64", "Signed64"])
def test_integers_above_2_to_the_53_round_as_python_rounds_them(name: str) -> None:
    message = sample("edges.dbc").get_message_by_name(name)
    signal = message.signals[0]
    order = "big" if signal.byte_order == "big_endian" else "little"
    naive_differs = 0
    for raw in [(1 << 53) + 1, (1 << 62) - 1, (1 << 63) + 1025, (1 << 64) - 1, 0x8000000000000000, 0x0123456789ABCDEF]:
        data = raw.to_bytes(8, order)
        row, _ = decode_one(message, data)
        assert row == by_cantools(message, data)
        number = raw - (1 << 64) if signal.is_signed and signal.length == 64 and raw >> 63 else raw
        naive = float(number) * float(signal.scale) + float(signal.offset)
        naive_differs += row[0][1] != bits(naive)
    assert naive_differs or name in {"Unsigned64", "Signed64"}, "these values do not tell exact from naive arithmetic"


def test_multiplication_and_addition_are_rounded_apart() -> None:
    """A fused multiply-add would round once, and give another float64 for these."""
    message = sample("edges.dbc").get_message_by_name("Rounding")
    told_apart = 0
    for raw in range(1, 2000, 3):
        data = struct.pack("<i", raw) + bytes(4)
        row, _ = decode_one(message, data) if raw < 20 else (None, None)
        fused = float(Fraction(raw) * Fraction(0.1) + Fraction(-0.3))
        if fused == raw * 0.1 + -0.3:
            continue
        told_apart += 1
        row, _ = decode_one(message, data) if row is None else (row, None)
        assert dict(row)["Fused"] == bits(raw * 0.1 + -0.3) != bits(fused)
        if told_apart > 20:
            break
    assert told_apart > 20


@pytest.mark.parametrize(
    ("start", "length", "raw_bytes", "expected"),
    [
        (5, 4, "3c", 0b1111),
        (1, 12, "03ffc0", 0xFFF),
        (31, 16, "000000abcd", 0xABCD),
        (7, 1, "80", 1),
        (0, 2, "0180", 3),
    ],
)
def test_big_endian_start_bits_are_sawtooth(start: int, length: int, raw_bytes: str, expected: int) -> None:
    data = bytes.fromhex(raw_bytes)
    signal = Signal("S", start, length, byte_order="big_endian")
    message = Message(0x10, "M", len(data), [signal])
    row, _ = decode_one(message, data)
    assert row == [("S", bits(expected))] == by_cantools(message, data)


def test_a_signal_across_nine_bytes_is_read_whole() -> None:
    """Every bit alone, too: among others float64 would round the lowest of 64 away."""
    assert position(61, 64, big_endian=False).nine_bytes
    assert position(132, 64, big_endian=True).nine_bytes
    message = sample("edges.dbc").get_message_by_name("Wide")
    datas = [(1 << bit).to_bytes(64, "big") for bit in range(512)]
    datas += [b"\xff" * 64, bytes(range(64)), bytes(64), bytes(255 - k for k in range(64))]
    catalogue = catalogue_of([message])
    frames = frame_columns([(message.frame_id, False, data) for data in datas])
    rows = rows_of(Decoder(catalogue).decode(frames), catalogue, len(datas))
    assert rows == [by_cantools(message, data) for data in datas]


@pytest.mark.parametrize("above_tie", [-1, 0, 1])
@pytest.mark.parametrize("even", [0, 1])
def test_a_bit_far_below_a_tie_decides_its_rounding(above_tie: int, even: int) -> None:
    n = (1 << 120) + (even << 68) + (1 << 67) + above_tie
    got = round_128(np.uint64(n >> 64), np.uint64(n & (1 << 64) - 1))
    assert bits(got) == bits(float(n))


@pytest.mark.parametrize("pattern", ["0000", "8000", "7c00", "fc00", "7e00", "fe01", "0001", "83ff", "3c00", "7bff"])
def test_half_floats_keep_zeros_infinities_and_subnormals(pattern: str) -> None:
    message = sample("edges.dbc").get_message_by_name("Floats")
    data = bytes.fromhex(pattern)[::-1] + bytes.fromhex(pattern) + struct.pack("<f", -0.0)
    row, _ = decode_one(message, data)
    assert row == by_cantools(message, data)
    assert dict(row)["Half"] == dict(row)["HalfBig"]
    assert dict(row)["Single"] == bits(-0.0)


def test_nan_and_infinity_are_given_as_they_are() -> None:
    message = sample("edges.dbc").get_message_by_name("DoubleBig")
    for value in (float("nan"), float("inf"), -float("inf"), 5e-324):
        data = struct.pack(">d", value)
        row, _ = decode_one(message, data)
        assert row == by_cantools(message, data) == [("Double", bits(value))]


def test_what_no_float64_or_64_bits_can_hold_is_left_out_with_a_note() -> None:
    huge = Signal("Huge", 0, 8, conversion=BaseConversion.factory(scale=10**40, offset=0))
    long = Signal("Long", 8, 72)
    fine = Signal("Fine", 80, 8)
    message = Message(0x10, "M", 16, [huge, long, fine], strict=False)
    database = type("D", (), {"messages": [message], "dbc": None})()
    catalogue = assemble({"default": [ParsedDatabase("odd.dbc", database)]})
    assert [signal.name for signal in catalogue.signals] == ["Fine"]
    assert [note.split(" is not decoded")[0] for note in catalogue.notes] == ["odd.dbc: M.Huge", "odd.dbc: M.Long"]
    row, _ = (
        rows_of(decoded := Decoder(catalogue).decode(frame_columns([(0x10, False, bytes(range(16)))])), catalogue, 1)[
            0
        ],
        None,
    )
    assert row == [("Fine", bits(10))]
    assert decoded.truncated == 0
