"""Gateways of fleets send Arrow batches."""

from __future__ import annotations

from loadtest import gateway


class Batches(gateway.Gateway):
    """A gateway."""
