"""How much in how long, and how people write it: `1000/s, 20000/min`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_SECONDS: Final = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_PART: Final = re.compile(r"\s*(\d[\d_]*)\s*/\s*(\w+)\s*")


@dataclass(frozen=True, slots=True)
class Window:
    """`amount` in `seconds`: all at once if nothing came before, and at that rate on average."""

    amount: int
    seconds: int


def parse_windows(text: str) -> tuple[Window, ...]:
    """Windows of `text`, separated by commas; all of them hold at the same time.

    Raises:
        ValueError: a part is not a positive number, a slash and one of s, min, h, d.
    """
    return tuple(_window(part) for part in text.split(","))


def write_windows(windows: tuple[Window, ...]) -> str:
    """The text of `windows`, as `parse_windows` reads it."""
    units = {seconds: unit for unit, seconds in _SECONDS.items()}
    return ", ".join(f"{window.amount}/{units[window.seconds]}" for window in windows)


def _window(part: str) -> Window:
    match = _PART.fullmatch(part)
    if match is None or match[2] not in _SECONDS or int(match[1]) == 0:
        raise ValueError(f"a rate is a positive number for each of s, min, h or d, as in 1000/s, not {part.strip()!r}")
    return Window(int(match[1]), _SECONDS[match[2]])
