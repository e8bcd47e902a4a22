"""Which message a frame is: an open-addressing hash table over (profile, id), and SAE J1939 groups after it.

A frame matches a message by its exact id first, with 11-bit and 29-bit ids apart. A 29-bit id that matches none is
looked up by its J1939 parameter group number, where the profile has J1939 messages: senders, destinations and
priorities differ from the ones that a database happens to name (SAE J1939-21, 5.1.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numba import njit

from pipeline.types import I32, U32, U64, Bools

EMPTY_KEY: Final = (1 << 64) - 1
_EXTENDED: Final = 1 << 29
_GROUP: Final = 1 << 30
_MULTIPLIER: Final = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: Fibonacci hashing, Knuth TAOCP 3, 6.4


def id_key(profile: int, arbitration_id: int, is_extended: bool) -> int:
    """Key of an exact id."""
    return profile << 32 | (_EXTENDED if is_extended else 0) | arbitration_id


def group_key(profile: int, arbitration_id: int) -> int:
    """Key of a 29-bit id's J1939 parameter group."""
    return profile << 32 | _GROUP | parameter_group(arbitration_id)


def parameter_group(arbitration_id: int) -> int:
    """J1939 parameter group number of a 29-bit id.

    With PDU format below 240 (PDU1) the next byte is a destination address and no part of the group; from 240 on
    (PDU2) it is the group extension.
    """
    group = (arbitration_id >> 8) & 0x3FFFF
    return group if (group >> 8) & 0xFF >= 240 else group & 0x3FF00


def build_slots(messages: Mapping[int, int]) -> tuple[U64, I32]:
    """Hash table of `{key: message}`, at most half full. O(entries).

    Returns:
        uint64[H] keys and int32[H] messages, H a power of two and at least 2.
    """
    bits = max(1, (2 * len(messages) - 1).bit_length())
    keys = np.full(1 << bits, EMPTY_KEY, np.uint64)
    values = np.full(1 << bits, -1, np.int32)
    for key, message in messages.items():
        slot = ((key * _MULTIPLIER) & EMPTY_KEY) >> (64 - bits)
        while int(keys[slot]) != EMPTY_KEY:
            slot = (slot + 1) & ((1 << bits) - 1)
        keys[slot] = key
        values[slot] = message
    return keys, values


@njit(cache=True, nogil=True, fastmath=False)
def _find(keys: U64, messages: I32, shift: np.uint64, key: np.uint64) -> np.int32:
    """Message of `key`, -1 where the table has none: free slots hold -1."""
    last = np.uint64(keys.size - 1)
    slot = (key * np.uint64(_MULTIPLIER)) >> shift
    while keys[slot] != key and keys[slot] != np.uint64(EMPTY_KEY):
        slot = (slot + np.uint64(1)) & last
    return messages[slot]


@njit(cache=True, nogil=True, fastmath=False)
def match_frames(
    keys: U64,
    messages: I32,
    profile_has_pgn: Bools,
    message_bound: I32,
    arbitration_id: U32,
    is_extended: Bools,
    profile: I32,
    message: I32,
) -> tuple[int, int]:
    """Message of each frame into `message` (int32[n], -1 = none). O(n).

    `profile` is int32[n], or empty where every frame has profile 0. An id of more than 29 bits, or a profile that
    does not exist, matches nothing.

    Returns:
        The most values that the frames can give, and the number of frames that match nothing.
    """
    bits = 0
    while (1 << bits) < keys.size:
        bits += 1
    shift = np.uint64(64 - bits)
    several = profile.size > 0
    bound = 0
    unmatched = 0
    for row in range(arbitration_id.size):
        i = np.uint64(row)  # unsigned: an index that needs no check for wrap-around
        number = np.uint64(arbitration_id[i])
        owner = profile[i] if several else np.int32(0)
        found = np.int32(-1)
        if number <= np.uint64(0x1FFFFFFF) and 0 <= owner < profile_has_pgn.size:
            high = np.uint64(owner) << np.uint64(32)
            extended = np.uint64(_EXTENDED) if is_extended[i] else np.uint64(0)
            found = _find(keys, messages, shift, high | extended | number)
            if found < 0 and is_extended[i] and profile_has_pgn[np.uint64(owner)]:
                group = (number >> np.uint64(8)) & np.uint64(0x3FFFF)
                if ((group >> np.uint64(8)) & np.uint64(0xFF)) < np.uint64(240):
                    group = group & np.uint64(0x3FF00)
                found = _find(keys, messages, shift, high | np.uint64(_GROUP) | group)
        message[i] = found
        if found >= 0:
            bound += message_bound[np.uint64(found)]
        else:
            unmatched += 1
    return bound, unmatched
