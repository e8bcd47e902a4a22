"""What duplicate detection says about a frame, as uint8 values: part of the journal's format, so they never change."""

from __future__ import annotations

from typing import Final

NEW: Final = 0
"""Never accepted before: keep it."""

DUPLICATE: Final = 1
"""Proven to be accepted already: drop it."""

UNVERIFIED: Final = 2
"""Too old for what is remembered: keep it, but look into the warehouse before storing it."""
