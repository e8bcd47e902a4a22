"""Dashboard users look at a fleet that drives."""

from __future__ import annotations

from loadtest import gateway, reader


class Live(gateway.Gateway):
    """What there is to see."""

    fixed_count = 2


class Dashboard(reader.Reader):
    """Everybody else."""
