"""The compiled form of all databases: flat arrays that the decoding kernels index, and nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from pipeline.types import F64, I32, I64, U8, U64, Bools

LINEAR: Final = 0
"""Integer of at most 63 bits, or signed of 64: `float64(raw) * scale + offset`."""
UNSIGNED_64: Final = 1
"""As LINEAR, for 64 unsigned bits, which int64 does not hold."""
FLOAT_16: Final = 2
FLOAT_32: Final = 3
FLOAT_64: Final = 4
EXACT: Final = 5
"""Integer scale with results above 2^53: computed in 128-bit integers, rounded to float64 once."""


class Tables(NamedTuple):
    """All messages and signals of a catalogue, ready for the kernels.

    With M messages, S signals, N nodes of multiplexing, X multiplexers in nodes, C cases of those, P profiles and a
    hash table of H = 2^k slots. A message's signals are `message_first[m] + range(message_count[m])`. The signals that
    a frame carries are found by walking nodes from `message_root[m]`: a node lists the signals that are always there
    and, for each multiplexer among them, the node that each of its values adds.

    Attributes:
        slot_key: uint64[H], (profile, id) keys of `pipeline.decode.matching`, EMPTY_KEY where free.
        slot_message: int32[H], the key's message.
        profile_has_pgn: bool[P], whether a profile matches any message by J1939 parameter group number.
        message_first: int32[M], index of the first signal.
        message_count: int32[M], number of signals.
        message_plain: bool[M], all signals lie in the first 8 bytes, are LINEAR, and none is multiplexed.
        message_bytes: int32[M], data bytes that hold every signal.
        message_bound: int32[M], the most values that one frame can give.
        message_root: int32[M], node.
        bytes_needed: int32[S], data bytes that hold the signal wholly.
        base: int32[S], data byte at which the 8-byte word that holds the signal begins.
        shift: uint64[S], right shift of that word; for a nine-byte signal see `nine_bytes`.
        mask: uint64[S], of the signal's length.
        sign: uint64[S], the sign bit of a signed signal, else 0.
        big_endian: bool[S].
        nine_bytes: bool[S], the signal spans a ninth byte: `shift` is then the number of low bits the word gives up
            (little endian) or of bits in the ninth byte (big endian).
        kind: uint8[S], one of the constants of this module.
        scaled: bool[S], whether a float signal has a scale or an offset.
        scale, offset: float64[S].
        exact_scale: int64[S], EXACT only.
        exact_offset_high, exact_offset_low: int64[S], uint64[S], two's complement halves; EXACT only. The float64
            `offset` is added after rounding, where the database's offset is no integer.
        node_signal_start: int32[N + 1], bounds in `node_signal`.
        node_signal: int32[...], signals.
        node_multiplexer_start: int32[N + 1], bounds in `multiplexer_signal`.
        multiplexer_signal: int32[X], signal.
        multiplexer_raw: bool[X], the multiplexer has no scaling: its raw integer is compared.
        multiplexer_case_start: int32[X + 1], bounds in `case_value` and `case_node`.
        case_value: int64[C], ascending for each multiplexer.
        case_node: int32[C].
    """

    slot_key: U64
    slot_message: I32
    profile_has_pgn: Bools
    message_first: I32
    message_count: I32
    message_plain: Bools
    message_bytes: I32
    message_bound: I32
    message_root: I32
    bytes_needed: I32
    base: I32
    shift: U64
    mask: U64
    sign: U64
    big_endian: Bools
    nine_bytes: Bools
    kind: U8
    scaled: Bools
    scale: F64
    offset: F64
    exact_scale: I64
    exact_offset_high: I64
    exact_offset_low: U64
    node_signal_start: I32
    node_signal: I32
    node_multiplexer_start: I32
    multiplexer_signal: I32
    multiplexer_raw: Bools
    multiplexer_case_start: I32
    case_value: I64
    case_node: I32

    def owned(self) -> Tables:
        """A copy in writable, aligned arrays: from shared memory come read-only ones, another type to numba."""
        return Tables._make(np.array(column, copy=True) for column in self)
