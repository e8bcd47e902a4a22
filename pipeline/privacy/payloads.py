"""The payloads of dead letters without the ids of vehicles: a row that was refused must not keep what others lose."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

_FIELD: Final = re.compile(r'("vehicle_id"\s*:\s*)("(?:[^"\\]|\\.)*"|[^\s",}\]]+)')
# A number of seventeen digits is a time or a counter, unless it stands where the vehicle id should.
_VIN: Final = re.compile(r"(?<![0-9A-Za-z])(?=[0-9]*[A-Za-z])[A-HJ-NPR-Za-hj-npr-z0-9]{17}(?![0-9A-Za-z])", re.ASCII)


def cleaned(payload: str, name_of: Callable[[str], str], *, everything: bool) -> str:
    """`payload` with the vehicle id, wherever JSON names it so, and every word of a VIN's shape replaced.

    Args:
        payload: the text of a rejected row, JSON or not.
        name_of: the name for an id, the id itself where it stays.
        everything: whether every id is replaced. A payload in which none is found is then withheld, for the id may
            stand anywhere in it.
    """
    found = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal found
        found += 1
        text = match[2]
        vehicle_id = _unquoted(text)
        name = name_of(vehicle_id)
        return match[0] if name == vehicle_id or text == "null" else match[1] + json.dumps(name)

    text = _FIELD.sub(replaced, payload)
    if everything and not found:
        return json.dumps({"withheld": "no vehicle_id was found to be replaced", "characters": len(payload)})
    return _VIN.sub(lambda match: name_of(match[0]), text)


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text[1:-1]
