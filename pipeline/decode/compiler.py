"""From cantools messages to flat tables.

cantools parses; from there on this module decides, signal by signal, where the bits are and which arithmetic gives
the same float64 as `float()` of what cantools computes in Python numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.decode.exact import EXACT_OFFSET_BOUND, EXACT_SCALE_BOUND
from pipeline.decode.matching import build_slots
from pipeline.decode.tables import (
    BLOCK,
    EXACT,
    FLOAT_16,
    FLOAT_32,
    FLOAT_64,
    LANES,
    LINEAR,
    MULTIPLEXER,
    NEVER,
    NODE,
    SIGNAL,
    UNSIGNED_64,
    Tables,
)

if TYPE_CHECKING:
    from cantools.database.can import Message, Signal

_EXACT_IN_FLOAT = 1 << 53
_ALL_ONES = (1 << 64) - 1
_FLOAT_KINDS = {16: FLOAT_16, 32: FLOAT_32, 64: FLOAT_64}


@dataclass(frozen=True, slots=True)
class Position:
    """Where a signal's bits are; the fields are those of `SIGNAL`."""

    bytes_needed: int
    base: int
    shift: int
    nine_bytes: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a signal's bits become a value; the fields are those of `SIGNAL`."""

    kind: int
    scale: float = 1.0
    offset: float = 0.0
    scaled: bool = False
    exact_scale: int = 0
    exact_offset: int = 0


def position(start: int, length: int, big_endian: bool) -> Position:
    """Place a signal of 1 to 64 bits in an 8-byte word.

    `start` counts bits as a DBC does: of the least significant bit in little endian, and in big endian of the most
    significant bit in the sawtooth order 7…0, 15…8. Big-endian words are swapped, so there the first bit of the
    frame is the word's highest.
    """
    first = 8 * (start // 8) + 7 - start % 8 if big_endian else start
    needed = (first + length - 1) // 8 + 1
    base = 0 if needed <= 8 else first // 8
    inside = first - 8 * base
    if inside + length > 64:
        return Position(needed, base, inside + length - 64 if big_endian else inside, nine_bytes=True)
    return Position(needed, base, 64 - inside - length if big_endian else inside, nine_bytes=False)


def arithmetic(signal: Signal) -> Arithmetic | str:
    """The arithmetic that rounds where Python's does, or one line why there is none.

    Python multiplies and adds integers exactly and `float()` rounds once; with a float operand it rounds the raw
    value, the product and the sum. float64 gives the same whenever every integer involved is at most 2^53.
    """
    scale, offset = signal.conversion.scale, signal.conversion.offset
    try:
        real = Arithmetic(LINEAR, float(scale), float(offset), scaled=not (scale == 1 and offset == 0))
    except OverflowError:
        return f"its scale {scale} or offset {offset} exceeds float64"
    if signal.conversion.is_float:
        kind = _FLOAT_KINDS.get(signal.length)
        return f"no {signal.length}-bit float exists" if kind is None else _with_kind(real, kind)
    if signal.length > 64:
        return f"it has {signal.length} bits; at most 64 become a number"
    if real.scaled:
        largest = (1 << (signal.length - 1 if signal.is_signed else signal.length)) * abs(scale)
        if _whole(scale) and _whole(offset):
            if largest + abs(offset) > _EXACT_IN_FLOAT:
                return _exact(int(scale), int(offset), 0.0)
        elif isinstance(scale, int) and largest > _EXACT_IN_FLOAT:
            return _exact(scale, 0, float(offset))
    return _with_kind(real, UNSIGNED_64 if signal.length == 64 and not signal.is_signed else LINEAR)


def _with_kind(real: Arithmetic, kind: int) -> Arithmetic:
    return Arithmetic(kind, real.scale, real.offset, real.scaled)


def _exact(scale: int, whole_offset: int, offset: float) -> Arithmetic | str:
    if abs(scale) > EXACT_SCALE_BOUND or abs(whole_offset) > EXACT_OFFSET_BOUND:
        return f"its integer scale {scale} or offset {whole_offset} leaves 128 bits"
    return Arithmetic(EXACT, float(scale), offset, True, scale, whole_offset)


def _whole(number: float) -> bool:
    return isinstance(number, int) or number.is_integer()


@dataclass
class _Rows:
    """Growing columns of `Tables`; a record is a dictionary by field."""

    message_bound: list[int] = field(default_factory=list)
    message_root: list[int] = field(default_factory=list)
    signal: list[dict[str, Any]] = field(default_factory=list)
    node: list[dict[str, Any]] = field(default_factory=list)
    node_signal: list[int] = field(default_factory=list)
    block: list[dict[str, Any]] = field(default_factory=list)
    multiplexer: list[dict[str, Any]] = field(default_factory=list)
    case_value: list[int] = field(default_factory=list)
    case_node: list[int] = field(default_factory=list)


def compile_tables(
    messages: Sequence[tuple[Message, Sequence[Signal]]],
    slots: Mapping[int, int],
    profile_has_pgn: Sequence[bool],
) -> Tables:
    """Compile messages, each with the signals of it that `arithmetic` accepts.

    Args:
        messages: in catalogue order.
        slots: message index by key of `pipeline.decode.matching`.
        profile_has_pgn: for each profile, whether `slots` has group keys of it.
    """
    rows = _Rows()
    for _, signals in messages:
        first = len(rows.signal)
        rows.signal.extend(_signal_row(signal) for signal in signals)
        root, bound = _Tree(rows, signals, first).root()
        rows.message_root.append(root)
        rows.message_bound.append(bound)
    slot_key, slot_message = build_slots(slots)
    return Tables(
        slot_key=slot_key,
        slot_message=slot_message,
        profile_has_pgn=np.array(profile_has_pgn, np.bool_),
        message_bound=np.array(rows.message_bound, np.int32),
        message_root=np.array(rows.message_root, np.int32),
        signal=_records(rows.signal, SIGNAL),
        node=_records(rows.node, NODE),
        node_signal=np.array(rows.node_signal, np.int32),
        block=_records(rows.block, BLOCK),
        multiplexer=_records(rows.multiplexer, MULTIPLEXER),
        case_value=np.array(rows.case_value, np.int64),
        case_node=np.array(rows.case_node, np.int32),
    )


def _records(rows: Sequence[Mapping[str, Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    """One record for each row. The padding is zero, so that equal databases give equal bytes to hash."""
    records = np.zeros(len(rows), dtype)
    for name in dtype.names or ():
        for index, row in enumerate(rows):
            records[name][index] = row[name]
    return records


def _signal_row(signal: Signal) -> dict[str, Any]:
    how = arithmetic(signal)
    if isinstance(how, str):
        raise TypeError(f"signal {signal.name} was to be left out: {how}")
    big_endian = signal.byte_order == "big_endian"
    where = position(signal.start, signal.length, big_endian)
    return {
        "bytes_needed": where.bytes_needed,
        "base": where.base,
        "shift": where.shift,
        "nine_bytes": where.nine_bytes,
        "mask": (1 << signal.length) - 1,
        "sign": 1 << (signal.length - 1) if signal.is_signed and not signal.conversion.is_float else 0,
        "big_endian": big_endian,
        "kind": how.kind,
        "scaled": how.scaled,
        "scale": how.scale,
        "offset": how.offset,
        "exact_scale": how.exact_scale,
        "exact_offset_high": how.exact_offset >> 64,
        "exact_offset_low": how.exact_offset & _ALL_ONES,
    }


def _block_rows(signals: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Blocks of the signals, by catalogue index, in their order; none unless each of them fits into one."""
    if any(s["kind"] != LINEAR or s["bytes_needed"] > 8 for s in signals.values()):
        return []
    lanes = [{**s, "swap": _ALL_ONES if s["big_endian"] else 0, "signal": index} for index, s in signals.items()]
    lanes += [dict.fromkeys(BLOCK.fields or (), 0)] * (-len(lanes) % LANES)
    return [
        {name: [lane[name] for lane in lanes[start : start + LANES]] for name in BLOCK.fields or ()}
        for start in range(0, len(lanes), LANES)
    ]


class _Tree:
    """The multiplexing of one message as nodes.

    A signal belongs to a multiplexer by name and to a set of its values; a multiplexer may itself be multiplexed, and
    a node may hold several. Values that add the same signals share a node, so that a signal shared by thousands of
    values costs one node and thousands of cases. A value is known if a signal or the multiplexer's value table
    names it, as cantools has it.
    """

    def __init__(self, rows: _Rows, signals: Sequence[Signal], first: int) -> None:
        self._rows = rows
        self._signals = signals
        self._first = first
        self._nodes: dict[tuple[int, ...], tuple[int, int]] = {}
        self._children: dict[str, list[int]] = {}
        for index, signal in enumerate(signals):
            if signal.multiplexer_signal is not None:
                self._children.setdefault(signal.multiplexer_signal, []).append(index)

    def root(self) -> tuple[int, int]:
        """Add all nodes. Returns the root and the most signals that one frame can carry."""
        return self._node(tuple(i for i, s in enumerate(self._signals) if s.multiplexer_signal is None))

    def _node(self, members: tuple[int, ...]) -> tuple[int, int]:
        if members in self._nodes:
            return self._nodes[members]
        bound = len(members)
        branches = []
        for index in members:
            cases = self._cases(index)
            if cases:
                branches.append((index, [(value, *self._node(below)) for value, below in cases]))
        rows = self._rows
        multiplexer_start = len(rows.multiplexer)
        for index, cases_with_nodes in branches:
            bound += max(most for _, _, most in cases_with_nodes)
            case_start = len(rows.case_value)
            rows.case_value.extend(value for value, _, _ in cases_with_nodes)
            rows.case_node.extend(child for _, child, _ in cases_with_nodes)
            rows.multiplexer.append(
                {
                    "signal": self._first + index,
                    "case_start": case_start,
                    "case_end": len(rows.case_value),
                    "raw": self._is_raw(index),
                }
            )
        signals = {self._first + index: rows.signal[self._first + index] for index in members}
        blocks = _block_rows(signals)
        node = len(rows.node)
        rows.node.append(
            {
                "block_start": len(rows.block),
                "block_bytes": max(s["bytes_needed"] for s in signals.values()) if blocks else NEVER,
                "signal_start": len(rows.node_signal),
                "signal_end": len(rows.node_signal) + len(signals),
                "multiplexer_start": multiplexer_start,
                "multiplexer_end": len(rows.multiplexer),
            }
        )
        rows.block.extend(blocks)
        rows.node_signal.extend(signals)
        self._nodes[members] = node, bound
        return node, bound

    def _cases(self, index: int) -> list[tuple[int, tuple[int, ...]]]:
        """Values of a multiplexer, ascending, with the signals that each adds."""
        multiplexer = self._signals[index]
        if not multiplexer.is_multiplexer:
            return []
        below: dict[int, list[int]] = {int(value): [] for value in multiplexer.conversion.choices or ()}
        for child in self._children.get(multiplexer.name, ()):
            for value in set(self._signals[child].multiplexer_ids or ()):
                below.setdefault(value, []).append(child)
        return [(value, tuple(below[value])) for value in sorted(below) if -(1 << 63) <= value < 1 << 63]

    def _is_raw(self, index: int) -> bool:
        conversion = self._signals[index].conversion
        return conversion.scale == 1 and conversion.offset == 0 and not conversion.is_float
