"""A synthetic fleet, a replayer of recorded logs, and the HTTP client that sends both."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pipeline  # noqa: F401 - places the kernels' cache before numba is imported

FLEET_DBC: Final = Path(__file__).parent / "fleet.dbc"
"""The database of the simulated passenger car: 11 messages, five frames a second."""
