"""Clients that do all they can to break the platform, or just do not know better."""

from __future__ import annotations

import json
import random
import socket
import time
from typing import Any, Final, cast
from urllib.parse import urlsplit

import gevent
from locust import constant_pacing, task

from loadtest.misdeeds import Misdeed, fault, misdeeds
from loadtest.user import CanfleetUser

SLOW: Final = Misdeed("slow body", frozenset({408}))
_SLOW_BYTES: Final = 100
_PAUSE_S: Final = 0.5
_PATIENCE_S: Final = 60.0


class Misbehaving(CanfleetUser):
    """Two bad requests a second, each expected to be refused for the right reason, and one slow body at a time."""

    abstract = True
    kind = "misbehaving"
    wait_time = constant_pacing(0.5)

    def on_start(self) -> None:
        """Begin with a body that takes its time."""
        self._slow = self.watched(gevent.spawn(self._trickle))

    def on_stop(self) -> None:
        """Leave the slow body where it is."""
        self._slow.kill()
        super().on_stop()

    @task
    def misbehave(self) -> None:
        """Send something bad."""
        misdeed = random.choice(misdeeds())
        self.tally.due += 1
        self.apart(self._send, misdeed)

    def _send(self, misdeed: Misdeed) -> None:
        began = time.time()
        with self.client.request(
            misdeed.method,
            misdeed.path,
            name=f"bad: {misdeed.name}",
            data=cast(Any, misdeed.body),
            headers={**misdeed.headers, **self._key(misdeed)},
            catch_response=True,
        ) as answer:
            wrong = self._judge(misdeed, answer)
            if wrong:
                answer.failure(wrong)
            else:
                answer.success()
        self._done(misdeed, began, wrong)

    def _key(self, misdeed: Misdeed) -> dict[str, str]:
        if misdeed.key is None:
            return {}
        return {"Authorization": f"Bearer {misdeed.key}"} if misdeed.key else self.authorization

    def _judge(self, misdeed: Misdeed, answer: Any) -> str | None:  # noqa: ANN401 - locust's has no stated attributes
        status, content = answer.status_code, answer.content or b""
        self.tally.answered(status)
        if not status:
            return f"no answer: {type(answer.error).__name__}"
        if status == 202:
            self.tally.dead_lettered += json.loads(content)["dead_lettered"]
        return fault(misdeed, status, answer.headers, content)

    def _done(self, misdeed: Misdeed, began: float, wrong: str | None) -> None:
        self.tally.acknowledged += wrong is None
        self.tally.given_up += wrong is not None
        self._finished(began, RuntimeError(f"{misdeed.name}: {wrong}") if wrong else None)

    def _trickle(self) -> None:
        """Send a body a byte at a time, for ever; right is to be told so, with 408, before it ends."""
        while True:
            began = time.time()
            status = self._trickled()
            self.tally.answered(status)
            wrong = None if status in SLOW.statuses else f"{status} instead of 408"
            self.environment.events.request.fire(
                request_type="POST",
                name=f"bad: {SLOW.name}",
                response_time=(time.time() - began) * 1000,
                response_length=0,
                exception=RuntimeError(wrong) if wrong else None,
                context={},
            )
            gevent.sleep(1.0)

    def _trickled(self) -> int:
        """The status of the answer to a slow body; 0 where there is none."""
        url = urlsplit(self.host or "")
        head = (
            f"POST /v1/frames HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Bearer {self.options.key}\r\n"
            f"Content-Type: application/x-ndjson\r\nContent-Length: {_SLOW_BYTES}\r\n\r\n"
        )
        try:
            with socket.create_connection((url.hostname or "", url.port or 80), 10) as connection:
                connection.sendall(head.encode())
                connection.settimeout(_PAUSE_S)
                deadline = time.time() + _PATIENCE_S
                while time.time() < deadline:
                    connection.sendall(b" ")
                    try:
                        return int(connection.recv(4096).split(b" ", 2)[1])
                    except TimeoutError:
                        continue
        except (OSError, IndexError, ValueError):
            return 0
        return 0
