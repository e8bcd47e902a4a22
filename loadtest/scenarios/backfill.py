"""Vehicles upload yesterday's drive beside live traffic."""

from __future__ import annotations

from loadtest import backfill, gateway


class Live(gateway.Gateway):
    """Live traffic."""


class Yesterday(backfill.Backfill):
    """As many that come home."""
