"""The cookbook's questions, and values for their parameters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sql_feed import DRIVES, FLEET, NOW, SECONDS

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"


@dataclass(frozen=True)
class Question:
    number: int
    title: str
    sql: str

    def values(self, given: dict[str, Any]) -> dict[str, Any]:
        """Those of `given` that the statement has."""
        return {name: given[name] for name in set(re.findall(r"\{(\w+):", self.sql))}


def questions() -> list[Question]:
    found = re.findall(r"^### (\d+)\. (.+?)\n.*?^```sql\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return [Question(int(number), title, sql) for number, title, sql in found]


def question(number: int) -> Question:
    return questions()[number - 1]


def stamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")


RANGE = {"fleet": FLEET, "from": stamp(DRIVES[0]), "to": stamp(DRIVES[1] + SECONDS)}
GIVEN: dict[int, dict[str, Any]] = {
    1: {"fleet": NOW},
    2: {"vehicle": "truck-0"},
    3: {"signal": "CoolantTemperature"},
    4: {"vehicle": "truck-0", "signal": "VehicleSpeed"},
    5: {"signal": "EngineSpeed"},
    10: {"signal": "EngineSpeed"},
    11: {"signal": "VehicleSpeed", "limit": 80},
    12: {"signal": "VehicleSpeed"},
    13: {"signal": "VehicleSpeed", "other": "EngineSpeed"},
    14: {"signal": "BatteryVoltage"},
    15: {"signal": "CoolantTemperature", "limit": 85, "minutes": 3},
    16: {"signal": "EngineLoad", "other": "EngineTorque"},
    17: {"vehicle": "truck-0", "signal": "Gear"},
    18: {"vehicle": "truck-0", "bit_rate": 500_000},
    19: {"vehicle": "truck-0"},
    21: {"vehicle": "truck-0", "id": 320},
}
"""Beside `RANGE`, by question."""

SPEED = {"fleet": "default", "vehicle": "car", "signal": "Speed"}
OF_DRIVE: dict[int, dict[str, Any]] = {
    2: {},
    3: {},
    4: {},
    5: {},
    8: {},
    9: {},
    10: {},
    11: {"limit": 10},
    12: {},
    13: {"other": "AccelerationX"},
    14: {"signal": "Altitude"},
    15: {"limit": 1, "minutes": 1},
    16: {"other": "SpeedAccuracy"},
    17: {"signal": "PositionValid"},
    18: {"bit_rate": 500_000},
    19: {},
    21: {"id": 7},
}
"""What can be asked of a recorded drive: it has no sequence numbers, no dead letters, and is long ago."""


def asked(number: int) -> dict[str, Any]:
    return question(number).values(RANGE | GIVEN.get(number, {}))
