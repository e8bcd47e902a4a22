"""A day like any other: of 20 users six send, one uploads old drives, ten look at dashboards, three misbehave."""

from __future__ import annotations

from loadtest import backfill, gateway, misbehaving, reader, vehicles


class Batches(gateway.Gateway):
    """Gateways of fleets."""

    weight = 3


class Single(vehicles.Vehicles):
    """Vehicles on their own."""

    weight = 3


class Yesterday(backfill.Backfill):
    """Vehicles that come home."""

    weight = 1


class Dashboard(reader.Reader):
    """People."""

    weight = 10


class Hostile(misbehaving.Misbehaving):
    """Everybody else."""

    weight = 3
