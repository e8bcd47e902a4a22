"""Hostile clients, and a gateway that must not notice them."""

from __future__ import annotations

from loadtest import gateway, misbehaving


class Live(gateway.Gateway):
    """The gateway."""

    fixed_count = 1


class Hostile(misbehaving.Misbehaving):
    """Everybody else."""
