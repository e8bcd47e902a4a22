"""What all users have in common: a key, a number, and requests that are tried again until they are done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar, Final, cast

import gevent
from gevent.pool import Pool
from locust import FastHttpUser
from locust.env import Environment
from locust.exception import StopTest

from loadtest import (
    ending,  # noqa: F401 - lets workers finish
    options,  # noqa: F401 - adds the options to locust's parser
    verdict,  # noqa: F401 - judges the run at its end
)
from loadtest.fleets import new_fleet
from loadtest.tally import TALLIES
from loadtest.verdict import DONE
from loadtest.waits import Waits
from simulator.fleet import Fleet, warm_up
from simulator.sender import Retry

RETRY: Final = Retry()
_NUMBERS: Final = count()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and the units of work in it; `name` is what the report calls it."""

    method: str
    path: str
    name: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    units: int = 1


# Before locust begins: it takes seconds, in which a worker's heartbeats would stay away.
warm_up()


class CanfleetUser(FastHttpUser):
    """A client of the platform.

    Attributes:
        options: what was given on the command line.
        kind: whose thresholds hold, and what its work is counted under.
        sending: requests under way, at most `concurrency` at a time.
    """

    abstract = True
    kind: ClassVar[str]
    options: Any
    concurrency = 16
    network_timeout = 30.0
    connection_timeout = 10.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.options = environment.parsed_options
        if not self.options.key:
            raise StopTest("give a key: --key, or CANFLEET_KEY")
        self.authorization = {"Authorization": f"Bearer {self.options.key}", "Accept-Encoding": "identity"}
        # The first number that is free in this process; with the worker's, one that nobody else has.
        self.number = next(_NUMBERS)
        self.worker = max(0, getattr(environment.runner, "worker_index", 0))
        self.tally = TALLIES.of(self.kind)
        self.sending = Pool(self.concurrency)

    def on_stop(self) -> None:
        """Wait for what is under way: what was counted as due must be done."""
        self.sending.join()

    def fleet(self, what: str, vehicles: int, start_s: float) -> Fleet:
        """A fleet of this user's own."""
        name = f"{what}-{self.worker}-{self.number}"
        seed = self.worker * 100_003 + self.number
        return new_fleet(name, vehicles, self.options.hz, round(start_s * 1e6), seed)

    def watched(self, greenlet: gevent.Greenlet) -> gevent.Greenlet:
        """The same greenlet, whose crash counts as one of this user: it fails the run."""
        greenlet.link_exception(self._crashed)
        return greenlet

    def apart(self, work: Callable[..., Any], *given: object) -> Any:  # noqa: ANN401 - of any work
        """What `work` returns, done where it outlives this user: locust kills one that is about to act at the end."""
        greenlet = self.watched(self.sending.spawn(work, *given))
        greenlet.join()
        return greenlet.value

    def _crashed(self, greenlet: gevent.Greenlet) -> None:
        self.environment.events.user_error.fire(
            user_instance=self, exception=greenlet.exception, tb=greenlet.exc_info[2]
        )

    def deliver(self, ask: Ask, due_s: float) -> bytes | None:
        """Send until it is acknowledged, waiting as `Waits` says; the answer's body, or None where it was given up.

        `due_s` is when it should have been sent, on `time.time`: latency counts from there.
        """
        waits = Waits(RETRY, time.time())
        while True:
            status, retry_after, content, title = self._try(ask)
            if status in {200, 202, 304}:
                self.tally.acknowledged += ask.units
                self._finished(due_s, None)
                return content
            wait = waits.after(status, retry_after, time.time())
            if wait is None:
                self.tally.given_up += ask.units
                self._finished(due_s, RuntimeError(f"given up: {ask.name} {title}"))
                return None
            self.tally.retries += 1
            gevent.sleep(wait)

    def deliver_frames(self, ask: Ask, due_s: float) -> bool:
        """As `deliver`, for `POST /v1/frames`, whose counts are added up; whether it was acknowledged."""
        answer = self.deliver(ask, due_s)
        if answer is None:
            return False
        counts = json.loads(answer)
        self.tally.accepted += counts["accepted"]
        self.tally.duplicates += counts["duplicates"]
        self.tally.dead_lettered += counts["dead_lettered"]
        return True

    def _try(self, ask: Ask) -> tuple[int, str | None, bytes, str]:
        """Status, `Retry-After`, body and what a person calls it, of one try; status 0 where there was no answer."""
        with self.client.request(
            ask.method,
            ask.path,
            name=ask.name,
            data=cast(Any, ask.body),
            headers={**self.authorization, **ask.headers},
            catch_response=True,
        ) as answer:
            status, content = answer.status_code, answer.content or b""
            if status in {200, 202, 304}:
                return status, None, content, ""
            self.tally.answered(status)
            title = f"{status} {title_of(content)}" if status else f"no answer: {type(answer.error).__name__}"
            answer.failure(title)
            return status, (answer.headers or {}).get("Retry-After"), content, title

    def _finished(self, due_s: float, failure: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type=DONE,
            name=self.kind,
            response_time=(time.time() - due_s) * 1000,
            response_length=0,
            exception=failure,
            context={},
        )


def title_of(content: bytes) -> str:
    """The title of a problem document, or the start of whatever came instead."""
    try:
        return str(json.loads(content)["title"])
    except (ValueError, KeyError, TypeError):
        return content[:80].decode(errors="replace")


@contextmanager
def timed(user: CanfleetUser, kind: str, name: str) -> Iterator[None]:
    """Show how long something took in the report, under a type and a name of its own."""
    began = time.perf_counter()
    yield
    took_ms = (time.perf_counter() - began) * 1000
    user.environment.events.request.fire(
        request_type=kind, name=name, response_time=took_ms, response_length=0, exception=None, context={}
    )
