"""The recording server as a fixture."""

from __future__ import annotations

from simulator_platform import platform

__all__ = ["platform"]
