"""A client that sends on through every outage, and knows exactly what it was promised."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import httpx
from sending_thread import SendingThread

_BATCH = 20
_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0


class SteadyTraffic(SendingThread):
    """Ten requests a second from a thread of its own, each sent again until it is acknowledged.

    Attributes:
        acknowledged: requests answered with 202, each of `_BATCH` frames of vehicle `vehicle`, counted through.
        most_tries: attempts of the request that needed the most since `forget`.
        refusals: how often which status, or kind of connection error, was the answer.
        without_advice: refusals by status 503 that named no time to come back.
    """

    vehicle = "steady-1"

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key, timeout_s=20)
        self.acknowledged = 0
        self.forget()

    def forget(self) -> None:
        self.most_tries = 0
        self.refusals: Counter[int | str] = Counter()
        self.without_advice = 0

    @property
    def frames(self) -> int:
        return self.acknowledged * _BATCH

    def wait_for(self, requests: int, timeout_s: float = 90.0) -> None:
        """Return when so many more requests have been acknowledged."""
        wanted = self.acknowledged + requests
        deadline = time.monotonic() + timeout_s
        while self.acknowledged < wanted:
            assert time.monotonic() < deadline, f"only {self.acknowledged} of {wanted}: {self.refusals}"
            time.sleep(0.05)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._deliver([self._frame(self.frames + i) for i in range(_BATCH)])
            self._stop.wait(_PAUSE_S)

    def _deliver(self, body: list[dict[str, Any]]) -> None:
        tries, pause = 0, _PAUSE_S
        while not self._stop.is_set():
            tries += 1
            if self._attempt(body):
                self.acknowledged += 1
                break
            self._stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        self.most_tries = max(self.most_tries, tries)

    def _attempt(self, body: list[dict[str, Any]]) -> bool:
        try:
            answer = self._client.post("/v1/frames", json=body)
        except httpx.TransportError as error:
            self.refusals[type(error).__name__] += 1
            return False
        if answer.status_code == 202:
            counts = answer.json()
            assert counts["accepted"] + counts["duplicates"] == _BATCH
            return True
        self.refusals[answer.status_code] += 1
        self.without_advice += answer.status_code == 503 and "Retry-After" not in answer.headers
        return False

    def _frame(self, sequence: int) -> dict[str, Any]:
        return {
            "vehicle_id": self.vehicle,
            "timestamp": time.time_ns() // 1000,
            "arbitration_id": 256,
            "data": f"{sequence % 2**32:016x}",
            "session": 1,
            "sequence": sequence,
        }
