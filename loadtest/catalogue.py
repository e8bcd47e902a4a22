"""The scenarios by name: what each is about, how large it is by default, and how a size is shared by its users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        name: what it is picked by.
        models: what happens, in one line.
        users: locust users, unless told otherwise.
        vehicles: simulated in all, likewise.
        rate: frames/s that these make, likewise.
        senders: the share of the users that send live frames where it is below 1, their number from 1 on; 0 for all.
    """

    name: str
    models: str
    users: int
    vehicles: int
    rate: float
    senders: float = 0.0

    @property
    def file(self) -> Path:
        """Its locustfile."""
        return Path(__file__).parent / "scenarios" / f"{self.name.replace('-', '_')}.py"

    def live_users(self, users: int) -> int:
        """How many of `users` send live frames; at least one."""
        if self.senders == 0:
            return max(1, users)
        return max(1, round(self.senders * users if self.senders < 1 else self.senders))

    def options(self, users: int, vehicles: int, rate: float) -> dict[str, float]:
        """What each user is told, so that all of them together are `vehicles` that make `rate` frames/s."""
        each = max(1, round(vehicles / self.live_users(users)))
        return {"--vehicles-per-user": each, "--hz": rate / (each * self.live_users(users))}


SCENARIOS: Final = {
    one.name: one
    for one in (
        Scenario("batches", "gateways of fleets send Arrow batches", 10, 10_000, 50_000),
        Scenario("single", "each vehicle sends requests of 10 frames of its own, as NDJSON", 20, 10_000, 5_000),
        Scenario("reconnect-storm", "all vehicles are away, then back at once with their spools", 20, 1_000, 5_000),
        Scenario("backfill", "vehicles upload yesterday's drive beside live traffic", 10, 5_000, 25_000, 0.5),
        Scenario("readers", "dashboard users ask and listen while a fleet drives", 42, 2_000, 10_000, 2),
        Scenario("misbehaving", "hostile clients beside a gateway that must not notice", 11, 1_000, 5_000, 1),
        Scenario("mixed", "all of these at once but the storm", 20, 1_200, 3_000, 0.3),
    )
}  # fmt: skip
