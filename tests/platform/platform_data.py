"""Real signal databases and logs, where they are, and the layout of the platform that is broken."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
GNSS = SHARED / "dbc" / "css" / "gnss.dbc"
J1939 = SHARED / "dbc" / "css" / "CSS-Electronics-SAE-J1939-DEMO.dbc"
PARTITIONS = 4
