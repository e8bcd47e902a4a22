"""Cut NDJSON into its lines and a JSON list into its elements, before anything is read of them."""

from __future__ import annotations

from numba import njit

from pipeline.types import I64, U8


@njit(cache=True, nogil=True, fastmath=False)
def _is_space(byte: int) -> bool:
    return byte in (32, 10, 13, 9)


@njit(cache=True, nogil=True, fastmath=False)
def skip_space(body: U8, at: int, stop: int) -> int:
    """The first position from `at` on that holds no white space, or `stop`."""
    while at < stop and _is_space(body[at]):
        at += 1
    return at


@njit(cache=True, nogil=True, fastmath=False)
def split_lines(body: U8, starts: I64, ends: I64) -> int:
    """Find the lines that are not blank, without the white space around them. O(bytes).

    Writes `body[starts[i]:ends[i]]` for each; returns their number, or -1 if `starts` has no room for all.
    """
    count = 0
    at = 0
    size = len(body)
    while at < size:
        stop = at
        while stop < size and body[stop] != 10:
            stop += 1
        left, right = at, stop
        while left < right and (body[left] == 32 or body[left] == 9 or body[left] == 13):
            left += 1
        while right > left and (body[right - 1] == 32 or body[right - 1] == 9 or body[right - 1] == 13):
            right -= 1
        if left < right:
            if count == len(starts):
                return -1
            starts[count], ends[count] = left, right
            count += 1
        at = stop + 1
    return count


@njit(cache=True, nogil=True, fastmath=False)
def split_list(body: U8, starts: I64, ends: I64) -> int:
    """Find the elements of a JSON list by its brackets, strings and commas alone. O(bytes).

    Writes `body[starts[i]:ends[i]]` for each, without the white space around them; returns their number, -1 if
    `starts` has no room for all, -2 if the body does not begin with "[", -3 if the list does not end, and -4
    if something follows it.
    """
    size = len(body)
    at = skip_space(body, 0, size)
    if at == size or body[at] != 91:
        return -2
    at = skip_space(body, at + 1, size)
    count = 0
    depth = 0
    left = at
    if at < size and body[at] == 93:
        return 0 if skip_space(body, at + 1, size) == size else -4
    while at < size:
        byte = body[at]
        if byte == 34:
            at += 1
            while at < size and body[at] != 34:
                at += 2 if body[at] == 92 else 1
        elif byte in (123, 91):
            depth += 1
        elif depth == 0 and byte in (44, 93):
            if count == len(starts):
                return -1
            right = at
            while right > left and _is_space(body[right - 1]):
                right -= 1
            starts[count], ends[count] = left, right
            count += 1
            if byte == 93:
                return count if skip_space(body, at + 1, size) == size else -4
            at = skip_space(body, at + 1, size)
            left = at
            continue
        elif byte in (125, 93):
            depth -= 1
            if depth < 0:
                return -3
        at += 1
    return -3
