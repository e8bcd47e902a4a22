"""Somebody in front of the dashboard, who listens to the live feed and looks at one thing after another."""

from __future__ import annotations

import json
import random
import time
from typing import Any, Final

import gevent
from geventhttpclient.response import HTTPSocketPoolResponse
from locust import between, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

from loadtest.user import Ask, CanfleetUser

RANGES_S: Final = (300, 3_600, 86_400)
SILENCE_S: Final = 15.0
"""The feed says that it lives every five seconds; the page gives up on it after this long."""


class Reader(CanfleetUser):
    """One person. Looks at a vehicle, its signals, the fleet and its anomalies, at a person's pace."""

    abstract = True
    kind = "readers"
    network_timeout = SILENCE_S
    wait_time = between(0.5, 2.0)

    def on_start(self) -> None:
        """Open the live feed, and learn which vehicles there are."""
        self._signals: list[str] = []
        self._vehicle = ""
        self._listening = self.watched(gevent.spawn(self._listen))
        self._vehicles = self._known_vehicles()

    def on_stop(self) -> None:
        """Close the page."""
        self._listening.kill()
        super().on_stop()

    @task(4)
    def summary(self) -> None:
        """The fleet in numbers."""
        self._get("/v1/fleet/summary")

    @task(4)
    def positions(self) -> None:
        """The map."""
        self._get("/v1/fleet/positions")

    @task(3)
    def vehicle(self) -> None:
        """Another vehicle, as it is now."""
        self._vehicles = self._vehicles or self._known_vehicles()
        if not self._vehicles:
            return
        self._vehicle = random.choice(self._vehicles)
        answer = self._get(f"/v1/vehicles/{self._vehicle}/latest", "/v1/vehicles/{id}/latest")
        if answer:
            self._signals = [one["signal"] for one in json.loads(answer)["signals"]]

    @task(4)
    def history(self) -> None:
        """A chart of one of its signals: five minutes, an hour or a day."""
        if self._signals:
            span_s = random.choice(RANGES_S)
            end = round(time.time() * 1e6)
            asked = f"{random.choice(self._signals)}?from={end - span_s * 1_000_000}&to={end}"
            name = f"/v1/vehicles/{{id}}/signals/{{signal}} of {span_s} s"
            self._get(f"/v1/vehicles/{self._vehicle}/signals/{asked}", name)

    @task(2)
    def anomalies(self) -> None:
        """The newest anomalies."""
        self._get("/v1/anomalies?limit=100", "/v1/anomalies")

    def _get(self, path: str, name: str | None = None) -> bytes | None:
        self.tally.due += 1
        ask = Ask("GET", path, name or path, headers={"Accept-Encoding": "gzip"})
        answer: bytes | None = self.apart(self.deliver, ask, time.time())
        return answer

    def _known_vehicles(self) -> list[str]:
        answer = self._get("/v1/fleet/positions")
        found: dict[str, Any] = json.loads(answer) if answer else {}
        return random.sample(found.get("vehicle_id", []), min(20, len(found.get("vehicle_id", []))))

    def _listen(self) -> None:
        """Read the live feed for ever; where it ends, falls silent or is refused that is a failure."""
        while True:
            with self.client.get(
                "/v1/live", name="/v1/live", headers=self.authorization, stream=True, catch_response=True
            ) as answer:
                self.tally.answered(answer.status_code)
                feed = answer._response if answer.status_code == 200 else None
                if feed is None:
                    answer.failure(f"{answer.status_code} instead of events")
            if feed is not None:
                self._follow(feed)
            gevent.sleep(1.0)

    def _follow(self, feed: HTTPSocketPoolResponse) -> None:
        try:
            event = last = feed.readline(b"\n\n")
            while event:
                event, last = feed.readline(b"\n\n"), event
            self._broken(f"the platform ended it, last with {last[:80].decode(errors='replace').strip()!r}")
        except FAILURE_EXCEPTIONS as error:
            self._broken(str(error) or type(error).__name__)
        finally:
            feed.release()

    def _broken(self, why: str) -> None:
        self.tally.given_up += 1
        self._finished(time.time(), RuntimeError(f"the live feed broke: {why}"))
