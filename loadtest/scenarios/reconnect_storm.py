"""All vehicles are away for a while, then back at once with what they spooled."""

from __future__ import annotations

from loadtest import vehicles
from loadtest.pace import Tunnel


class Storm(vehicles.Vehicles):
    """Vehicles that send every five seconds, at five frames a second, and drive into a tunnel now and then."""

    kind = "storm"
    enough = 25
    most = 500

    def on_start(self) -> None:
        """Begin to drive now."""
        super().on_start()
        self.tunnel = Tunnel(self.options.open_s, self.options.away_s)
