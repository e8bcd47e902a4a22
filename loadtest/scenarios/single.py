"""Each vehicle sends small requests of its own."""

from __future__ import annotations

from loadtest import vehicles


class Single(vehicles.Vehicles):
    """Vehicles with requests of 10 frames each."""
