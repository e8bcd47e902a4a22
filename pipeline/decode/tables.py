"""The compiled form of all databases: flat arrays and records that the kernels index, and nothing else.

What one step of decoding reads lies together in one record. A record also reaches a function as a mere pointer, where
each array would be counted in and out: with one array per column, a multiplexed frame took 2,000 ns.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.types import I32, I64, U64, Bools

LINEAR: Final = 0
"""Integer of at most 63 bits, or signed of 64: `float64(raw) * scale + offset`."""
UNSIGNED_64: Final = 1
"""As LINEAR, for 64 unsigned bits, which int64 does not hold."""
FLOAT_16: Final = 2
FLOAT_32: Final = 3
FLOAT_64: Final = 4
EXACT: Final = 5
"""Integer scale with results above 2^53: computed in 128-bit integers, rounded to float64 once."""

LANES: Final = 8
"""Signals of a block."""
NEVER: Final = 2**31 - 1
"""Data bytes that no frame has."""

SIGNAL: Final = np.dtype(
    [
        ("shift", np.uint64),
        ("mask", np.uint64),
        ("sign", np.uint64),
        ("scale", np.float64),
        ("offset", np.float64),
        ("exact_scale", np.int64),
        ("exact_offset_high", np.int64),
        ("exact_offset_low", np.uint64),
        ("bytes_needed", np.int32),
        ("base", np.int32),
        ("kind", np.uint8),
        ("big_endian", np.bool_),
        ("nine_bytes", np.bool_),
        ("scaled", np.bool_),
    ],
    align=True,
)
"""How one signal is read.

- bytes_needed: data bytes that hold the signal wholly.
- base: data byte at which the 8-byte word that holds the signal begins.
- shift: right shift of that word; for a nine-byte signal see nine_bytes.
- mask: of the signal's length.
- sign: the sign bit of a signed signal, else 0.
- nine_bytes: the signal spans a ninth byte: shift is then the number of low bits the word gives up (little endian)
  or of bits in the ninth byte (big endian).
- kind: one of the constants of this module.
- scaled: whether a float signal has a scale or an offset.
- exact_scale, exact_offset_high, exact_offset_low: EXACT only, the offset in two's complement halves. The float64
  offset is added after rounding, where the database's offset is no integer.
"""

BLOCK: Final = np.dtype(
    [
        ("shift", np.uint64, LANES),
        ("mask", np.uint64, LANES),
        ("sign", np.uint64, LANES),
        ("swap", np.uint64, LANES),
        ("scale", np.float64, LANES),
        ("offset", np.float64, LANES),
        ("signal", np.int32, LANES),
    ],
    align=True,
)
"""Up to eight signals that are read at once, all LINEAR and inside the frame's first 8 bytes; unused lanes are zero.

- swap: all ones for a big-endian signal, else 0.
- signal: catalogue index.
- shift, mask, sign, scale, offset: as in SIGNAL.
"""

NODE: Final = np.dtype(
    [
        ("block_start", np.int32),
        ("block_bytes", np.int32),
        ("signal_start", np.int32),
        ("signal_end", np.int32),
        ("multiplexer_start", np.int32),
        ("multiplexer_end", np.int32),
    ],
    align=True,
)
"""Signals that a frame carries together.

- block_start: first of the node's blocks, enough of them for all its signals.
- block_bytes: data bytes from which on the blocks may be used; NEVER where the signals do not fit into blocks.
- signal_start, signal_end: bounds in `Tables.node_signal`.
- multiplexer_start, multiplexer_end: bounds in `Tables.multiplexer`, the multiplexers among the signals.
"""

MULTIPLEXER: Final = np.dtype(
    [("signal", np.int32), ("case_start", np.int32), ("case_end", np.int32), ("raw", np.bool_)], align=True
)
"""A multiplexer in a node.

- signal: catalogue index.
- case_start, case_end: bounds in `Tables.case_value` and `case_node`.
- raw: the multiplexer has no scaling: its raw integer is compared.
"""


class Tables(NamedTuple):
    """All messages and signals of a catalogue, ready for the kernels.

    With M messages, S signals, N nodes of multiplexing, X multiplexers in nodes, C cases of those, P profiles and a
    hash table of H = 2^k slots. The signals that a frame carries are found by walking nodes from `message_root[m]`: a
    node lists the signals that are always there and, for each multiplexer among them, the node that each of its
    values adds.

    Attributes:
        slot_key: uint64[H], (profile, id) keys of `pipeline.decode.matching`, EMPTY_KEY where free.
        slot_message: int32[H], the key's message.
        profile_has_pgn: bool[P], whether a profile matches any message by J1939 parameter group number.
        message_bound: int32[M], the most values that one frame can give.
        message_root: int32[M], node.
        signal: SIGNAL[S].
        node: NODE[N].
        node_signal: int32[...], signals.
        block: BLOCK[...].
        multiplexer: MULTIPLEXER[X].
        case_value: int64[C], ascending for each multiplexer.
        case_node: int32[C].
    """

    slot_key: U64
    slot_message: I32
    profile_has_pgn: Bools
    message_bound: I32
    message_root: I32
    signal: NDArray[Any]
    node: NDArray[Any]
    node_signal: I32
    block: NDArray[Any]
    multiplexer: NDArray[Any]
    case_value: I64
    case_node: I32

    def owned(self) -> Tables:
        """A copy in writable, aligned arrays: from shared memory come read-only ones, another type to numba."""
        return Tables._make(np.array(column, copy=True) for column in self)
