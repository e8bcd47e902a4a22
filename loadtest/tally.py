"""What became of the work of each kind of user, added up over all processes of a distributed run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from locust import events
from locust.env import Environment
from locust.runners import WorkerRunner

_REPORTED: Final = "canfleet"


@dataclass
class Tally:
    """Counts of one kind. The unit of work is a frame for those who send, and a request for all others.

    Attributes:
        due: units that should have been done.
        acknowledged: units done, after however many tries.
        given_up: units that were not.
        accepted, duplicates, dead_lettered: frames, by the platform's answers.
        refused: answers 429 and 503; broken: answers 500, which are faults of the platform; retries: further tries.
    """

    due: int = 0
    acknowledged: int = 0
    given_up: int = 0
    accepted: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    refused: int = 0
    broken: int = 0
    retries: int = 0

    def add(self, other: Mapping[str, int]) -> None:
        """Add another's counts."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + other[one.name])

    def answered(self, status: int) -> None:
        """Count an answer that matters by its status alone."""
        self.refused += status in {429, 503}
        self.broken += status == 500


class Tallies:
    """One tally a kind."""

    def __init__(self) -> None:
        self.by_kind: dict[str, Tally] = {}

    def of(self, kind: str) -> Tally:
        """The tally of `kind`."""
        return self.by_kind.setdefault(kind, Tally())

    def take(self) -> dict[str, dict[str, int]]:
        """All counts, which begin at 0 again; the tallies stay the same objects, since users hold them."""
        taken = self.as_json()
        for tally in self.by_kind.values():
            vars(tally).update(vars(Tally()))
        return taken

    def add(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        """Add what another process took."""
        for kind, tally in counts.items():
            self.of(kind).add(tally)

    def as_json(self) -> dict[str, dict[str, int]]:
        """Counts by kind."""
        return {kind: asdict(tally) for kind, tally in self.by_kind.items()}


TALLIES: Final = Tallies()
"""Of this process; at the master of a distributed run, of all."""


@events.test_start.add_listener
def _begin(environment: Environment, **_: object) -> None:
    TALLIES.take()


@events.report_to_master.add_listener
def _report(client_id: str, data: dict[str, Any], **_: object) -> None:
    data[_REPORTED] = TALLIES.take()


@events.worker_report.add_listener
def _reported(client_id: str, data: dict[str, Any], **_: object) -> None:
    TALLIES.add(data.get(_REPORTED, {}))


def is_worker(environment: Environment) -> bool:
    """Whether this process only works for a master, which says what came of it."""
    return isinstance(environment.runner, WorkerRunner)
