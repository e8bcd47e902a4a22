"""JSON rows of frames: sound ones, and ones with every oddity that a parser may trip over."""

from __future__ import annotations

from random import Random
from typing import Final

_NAMES: Final = (
    "vehicle_id",
    "timestamp",
    "arbitration_id",
    "data",
    "is_extended",
    "channel",
    "session",
    "sequence",
)
_SOUND: Final = {
    "vehicle_id": ('"truck-7"', '"bus-1"', '"\\u00e9"', '"é"'),
    "timestamp": ("1789999990000000", '"2026-01-31T12:00:00.000123Z"', '"2026-01-31T12:00:00+05:30"'),
    "arbitration_id": ("256", "418119424", "0"),
    "data": ('"00ff11223344"', '""', '"ABCDEF"'),
    "is_extended": ("true", "false", "null"),
    "channel": ("0", "3"),
    "session": ("3", "4294967295"),
    "sequence": ("17", "18446744073709551615"),
}
_ODD: Final = (
    "null",
    "NaN",
    "-Infinity",
    "Infinity",
    "true",
    "tru",
    "0",
    "-0",
    "-1",
    "01",
    "1.0",
    "1e3",
    "1e400",
    "-1e400",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "9" * 40,
    "9" * 5_000,
    "1" + "0" * 400,
    '""',
    '"\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\u0000"',
    '"\\x"',
    '"\t"',
    '"é' + "x" * 70 + '"',
    '"0"',
    '"0g"',
    '"' + "ab" * 65 + '"',
    '"٣"',
    "[]",
    "{}",
    "[" * 60 + "]" * 60,
    "[" * 3_000 + "]" * 3_000,
    '{"a":' * 2_000 + "1" + "}" * 2_000,
    "[" * 3_000 + "NaN" + "]" * 3_000,
    '"unended',
    "",
    "}",
    "]",
    ",",
    "/*x*/1",
)
_SPACES: Final = ("", "", "", " ", "\t", "\r", "\n", "\x0b", "\u00a0", "\ufeff")


def row(random: Random) -> str:
    """One row: an object of a frame's members, now and then with a member that is odd, twice there or unknown."""
    if random.random() < 0.04:
        return random.choice(_ODD)
    oddity = random.random() * 0.4
    names = [name for name in _NAMES if random.random() > 0.03]
    if random.random() < 0.1:
        names.insert(random.randrange(len(names) + 1), random.choice((*_NAMES, "x", "", "vehicle\\u005fid", "\\ud800")))
    members = [f'"{name}"{_space(random)}:{_space(random)}{_value(random, name, oddity)}' for name in names]
    return "{" + f",{_space(random)}".join(members) + _space(random) + "}"


def _space(random: Random) -> str:
    return random.choice(_SPACES) if random.random() < 0.02 else ""


def _value(random: Random, name: str, oddity: float) -> str:
    sound = _SOUND.get(name)
    return random.choice(_ODD) if sound is None or random.random() < oddity else random.choice(sound)


def ndjson(random: Random) -> bytes:
    """Rows, one a line."""
    lines = [row(random) for _ in range(random.choice((0, 1, 2, 5, 40)))]
    return random.choice(("\n", "\n", "\r\n", "\n\n")).join(lines).encode("utf-8", "surrogatepass")


def json_list(random: Random) -> bytes:
    """Rows as the elements of a list."""
    rows = [row(random) for _ in range(random.choice((0, 1, 2, 5, 40)))]
    return f"{_space(random)}[{','.join(rows)}]{_space(random)}".encode("utf-8", "surrogatepass")
