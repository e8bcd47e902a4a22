"""A signal database as flat arrays: where each signal's bits go, ready for the numba encoder."""

# ruff: noqa: ANN401 - cantools has no types
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.decode.databases import read_database
from pipeline.errors import DatabaseError
from pipeline.frames.schema import MAX_DATA_BYTES
from pipeline.types import F64, I64, U32, Bools

UNSIGNED, SIGNED, FLOAT16, FLOAT32, FLOAT64 = range(5)
_FLOAT_KINDS = {16: FLOAT16, 32: FLOAT32, 64: FLOAT64}
_LARGEST = {
    16: float(np.finfo(np.float16).max),
    32: float(np.finfo(np.float32).max),
    64: float(np.finfo(np.float64).max),
}


class Layout(NamedTuple):
    """The numeric part, as kernels read it. M messages, V variants, F fields, S signals.

    A variant is one choice of every multiplexer of a message, so a field is never conditional; a message
    without multiplexer has one variant. A field is one signal (or multiplexer id) within one variant.
    """

    arbitration_id: U32
    """uint32[M]."""
    is_extended: Bools
    """bool[M]."""
    length: I64
    """int64[M], data bytes."""
    first_variant: I64
    """int64[M + 1], message m has variants first_variant[m] to first_variant[m + 1]."""
    first_field: I64
    """int64[V + 1], variant v has fields first_field[v] to first_field[v + 1]."""
    signal: I64
    """int64[F], the signal the field carries, an index below S."""
    start: I64
    """int64[F], bits before the field in network order (Motorola) or from the lowest bit (Intel)."""
    bits: I64
    """int64[F]."""
    motorola: Bools
    """bool[F]."""
    kind: I64
    """int64[F], UNSIGNED, SIGNED or a FLOAT size."""
    scale: F64
    offset: F64
    raw_low: F64
    """float64[F], least raw value the bits can hold."""
    raw_high: F64
    fixed: I64
    """int64[F], the multiplexer id to send, or -1 for a signal that has a value of its own."""
    words: int
    """64-bit words that hold the longest message."""


@dataclass(frozen=True)
class FleetDatabase:
    """A compiled database and the names that its numbers stand for.

    Attributes:
        path: the file it came from.
        layout: the arrays.
        messages: names, [M].
        signals: names, [S].
        signal_message: int64[S], the message of each signal.
        low, high: float64[S], the range a plausible value stays in (the database's, or what the bits hold).
        bounded: bool[S], whether the database itself states that range.
        raw_low, raw_high: float64[S], physical values at the ends of what the bits hold.
        step: float64[S], physical size of one raw step.
        discrete: bool[S], flags, enumerations and multiplexers: values that may well stay for long.
        cycle_ms, delay_ms: int64[M], cycle time and start delay; 0 where not stated.
        definitions: the cantools messages, for whoever needs an oracle.
    """

    path: Path
    layout: Layout
    messages: tuple[str, ...]
    signals: tuple[str, ...]
    signal_message: I64
    low: F64
    high: F64
    bounded: Bools
    raw_low: F64
    raw_high: F64
    step: F64
    discrete: Bools
    cycle_ms: I64
    delay_ms: I64
    definitions: tuple[Any, ...]


def load_database(path: Path) -> FleetDatabase:
    """Compile the database at `path`; messages without data and containers are left out. O(signals × variants).

    Raises:
        DatabaseError: the file does not load, or defines no message that can be sent.
    """
    loaded: Any = read_database(path).database
    definitions = [
        message
        for message in getattr(loaded, "messages", [])
        if 0 < message.length <= MAX_DATA_BYTES and message.signals and not message.is_container
    ]
    if not definitions:
        raise DatabaseError(f"signal database {path} defines no CAN message to send: choose another file")
    return _compile(path, definitions)


def _compile(path: Path, definitions: list[Any]) -> FleetDatabase:
    fields: list[tuple[float, ...]] = []
    first_variant, first_field = [0], [0]
    numbers: dict[int, int] = {}
    signals: list[Any] = []
    owner: list[int] = []
    for number, message in enumerate(definitions):
        for signal in message.signals:
            numbers[id(signal)] = len(signals)
            signals.append(signal)
            owner.append(number)
        for variant in _variants(message.signal_tree, message):
            made = [_field(signal, numbers[id(signal)], fixed) for signal, fixed in variant]
            # A signal that the database lays beyond its message's end is never on the wire.
            fields += [field for field in made if field[1] + field[2] <= 8 * message.length]
            first_field.append(len(fields))
        first_variant.append(len(first_field) - 1)
    table = np.array(fields, np.float64).reshape(-1, 10)
    layout = Layout(
        arbitration_id=np.array([message.frame_id for message in definitions], np.uint32),
        is_extended=np.array([message.is_extended_frame for message in definitions], np.bool_),
        length=np.array([message.length for message in definitions], np.int64),
        first_variant=np.array(first_variant, np.int64),
        first_field=np.array(first_field, np.int64),
        signal=table[:, 0].astype(np.int64),
        start=table[:, 1].astype(np.int64),
        bits=table[:, 2].astype(np.int64),
        motorola=table[:, 3].astype(np.bool_),
        kind=table[:, 4].astype(np.int64),
        scale=table[:, 5].copy(),
        offset=table[:, 6].copy(),
        raw_low=table[:, 7].copy(),
        raw_high=table[:, 8].copy(),
        fixed=table[:, 9].astype(np.int64),
        words=max((message.length + 7) // 8 for message in definitions),
    )
    ranges = np.array([_ranges(signal) for signal in signals])
    return FleetDatabase(
        path=path,
        layout=layout,
        messages=tuple(message.name for message in definitions),
        signals=tuple(signal.name for signal in signals),
        signal_message=np.array(owner, np.int64),
        low=ranges[:, 0].copy(),
        high=ranges[:, 1].copy(),
        bounded=ranges[:, 2].astype(np.bool_),
        raw_low=ranges[:, 3].copy(),
        raw_high=ranges[:, 4].copy(),
        step=np.array([abs(float(signal.scale)) for signal in signals]),
        discrete=np.array([_is_discrete(signal) for signal in signals], np.bool_),
        cycle_ms=np.array([message.cycle_time or 0 for message in definitions], np.int64),
        delay_ms=np.array([_start_delay(message) for message in definitions], np.int64),
        definitions=tuple(definitions),
    )


def _variants(tree: list[Any], message: Any) -> list[list[tuple[Any, int]]]:
    """Choices of the multiplexers in `tree`: parallel ones advance together, nested ones multiply."""
    plain: list[tuple[Any, int]] = []
    multiplexers: list[list[list[tuple[Any, int]]]] = []
    for node in tree:
        if isinstance(node, str):
            plain.append((message.get_signal_by_name(node), -1))
            continue
        (name, branches), *_ = node.items()
        selector = message.get_signal_by_name(name)
        multiplexers.append(
            [
                [(selector, identifier), *variant]
                for identifier, branch in branches.items()
                for variant in _variants(branch, message)
            ]
        )
    count = max((len(choices) for choices in multiplexers), default=1)
    return [
        plain + [field for choices in multiplexers for field in choices[number % len(choices)]]
        for number in range(count)
    ]


def _field(signal: Any, number: int, fixed: int) -> tuple[float, ...]:
    motorola = signal.byte_order == "big_endian"
    start = 8 * (signal.start // 8) + 7 - signal.start % 8 if motorola else signal.start
    kind = _FLOAT_KINDS[signal.length] if signal.is_float else SIGNED if signal.is_signed else UNSIGNED
    low, high = _raw_range(signal)
    scale, offset = float(signal.scale), float(signal.offset)
    return number, start, signal.length, motorola, kind, scale, offset, low, high, fixed


def _raw_range(signal: Any) -> tuple[float, float]:
    """Raw values at the ends of the bits, as doubles that still fit them."""
    if signal.is_float:
        largest = _LARGEST[signal.length]
        return -largest, largest
    low, high = (
        (-(1 << signal.length - 1), (1 << signal.length - 1) - 1) if signal.is_signed else (0, (1 << signal.length) - 1)
    )
    top = float(high)
    return float(low), top if int(top) <= high else float(np.nextafter(top, 0.0))


def _ranges(signal: Any) -> tuple[float, float, float, float, float]:
    ends = sorted(end * float(signal.scale) + float(signal.offset) for end in _raw_range(signal))
    if signal.is_float:  # the whole range of a float is no plausible range
        ends = [-1000.0, 1000.0]
    low, high = signal.minimum, signal.maximum
    bounded = low is not None and high is not None and low < high and low < ends[1] and high > ends[0]
    if not bounded:
        return ends[0], ends[1], False, ends[0], ends[1]
    return max(float(low), ends[0]), min(float(high), ends[1]), True, ends[0], ends[1]


def _is_discrete(signal: Any) -> bool:
    return bool(signal.is_multiplexer or signal.choices or (signal.length <= 4 and not signal.is_float))


def _start_delay(message: Any) -> int:
    attribute = message.dbc.attributes.get("GenMsgStartDelayTime") if message.dbc else None
    return int(attribute.value) if attribute is not None else 0
