"""A shard that moves to another partition actor under load: no fault, and still nothing may be lost by it."""

from __future__ import annotations

import random

import httpx

from pipeline.errors import CanfleetError
from tests.chaos.fault import Fault
from tests.chaos.subject import Subject


class MoveShard(Fault):
    """A shard of chance goes to another actor of chance. Needs a configuration with several of both."""

    name = "move-shard"

    def __init__(self, subject: Subject, actors: int) -> None:
        self._subject = subject
        self._actors = actors

    def impossible(self) -> str | None:
        """Where there is one actor alone."""
        return None if self._actors > 1 else "scaling.min_actors is not above 1"

    async def inject(self, rng: random.Random) -> None:
        """Ask for the move; it happens within moments."""
        child = self._subject.child
        try:
            async with httpx.AsyncClient(base_url=child.url, headers={"X-API-Key": child.key}, timeout=10) as http:
                shards = (await http.get("/v1/status")).raise_for_status().json()["shards"]
                moved = rng.choice(shards)
                target = rng.choice([actor for actor in range(self._actors) if actor != moved["actor"]])
                answer = await http.post(f"/v1/shards/{moved['shard']}/move", json={"actor": target})
                answer.raise_for_status()
        except httpx.HTTPError as error:
            raise CanfleetError(f"no shard was moved: {error!r}") from error
