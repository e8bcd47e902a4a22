"""Anomalies of a shard: those still in memory for the live API, and those that ClickHouse has not confirmed."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

LIVE_ANOMALIES: Final = 20_000
"""How many a shard keeps in memory; older ones are answered from ClickHouse."""


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One anomaly in its newest state; an open one is reported again when it closes.

    Attributes:
        id: stable across restarts: a hash of fleet, vehicle, kind, subject and first violation.
        timestamp: event time of the first violation, microseconds.
        ended_at: event time of the last violation so far, microseconds.
        detected_at: wall clock when it was first seen, microseconds.
        received_at: when the gateway took in the oldest frame of the group that showed it, microseconds.
        arbitration_id: for kinds about frames; None for kinds about a signal.
        count: violations so far.
        closed: no further violation will extend it.
    """

    id: str
    fleet: str
    vehicle_id: str
    kind: str
    timestamp: int
    ended_at: int
    detected_at: int
    received_at: int
    message: str
    signal: str
    arbitration_id: int | None
    value: float
    score: float
    count: int
    closed: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """As the API and the writer show it."""
        return asdict(self)


def anomaly_id(fleet: str, vehicle_id: str, kind: str, subject: str, timestamp: int) -> str:
    """64 bits of BLAKE2b over what identifies an anomaly, in hexadecimal."""
    key = "\0".join((fleet, vehicle_id, kind, subject, str(timestamp)))
    return hashlib.blake2b(key.encode(), digest_size=8).hexdigest()


class AnomalyLog:
    """The newest anomalies by id, a numbered feed of their changes, and the queue to ClickHouse.

    Not thread-safe: the shard's lock guards it. Memory is bounded by `LIVE_ANOMALIES`, save for those that
    ClickHouse has not confirmed.
    """

    def __init__(self) -> None:
        self._live: OrderedDict[str, Anomaly] = OrderedDict()
        self._feed: OrderedDict[int, str] = OrderedDict()
        self._unstored: dict[str, Anomaly] = {}
        self._opened: dict[str, dict[str, int]] = {}
        self.cursor = 0
        """Number of the newest change."""

    def record(self, anomalies: Iterable[Anomaly]) -> None:
        """Take in new anomalies and new states of known ones."""
        for anomaly in anomalies:
            known = self._live.pop(anomaly.id, None)
            if known is None:
                kinds = self._opened.setdefault(anomaly.fleet, {})
                kinds[anomaly.kind] = kinds.get(anomaly.kind, 0) + 1
            self._live[anomaly.id] = anomaly
            self._unstored[anomaly.id] = anomaly
            self.cursor += 1
            self._feed[self.cursor] = anomaly.id
        while len(self._live) > LIVE_ANOMALIES:
            self._live.popitem(last=False)
        while len(self._feed) > LIVE_ANOMALIES:
            self._feed.popitem(last=False)

    def known(self, anomaly_id: str) -> Anomaly | None:
        """The live anomaly of that id."""
        return self._live.get(anomaly_id)

    def since(self, cursor: int) -> list[Anomaly]:
        """Newest states of what changed after `cursor`, oldest change first; O(changes)."""
        ids: dict[str, None] = {}
        for number in reversed(self._feed):
            if number <= cursor:
                break
            ids.setdefault(self._feed[number], None)
        return [self._live[i] for i in reversed(ids) if i in self._live]

    def find(self, fleet: str, matches: Callable[[Anomaly], bool], limit: int) -> list[Anomaly]:
        """The newest `limit` live anomalies of a fleet that match; O(live)."""
        found: list[Anomaly] = []
        for anomaly in reversed(self._live.values()):
            if anomaly.fleet == fleet and matches(anomaly):
                found.append(anomaly)
                if len(found) == limit:
                    break
        return found

    def by_kind(self, fleet: str) -> dict[str, int]:
        """How many anomalies of each kind the shard has seen open."""
        return dict(self._opened.get(fleet, {}))

    def open_count(self, fleet: str) -> int:
        """Live anomalies that are not closed."""
        return sum(1 for anomaly in self._live.values() if anomaly.fleet == fleet and not anomaly.closed)

    def unstored(self) -> list[Anomaly]:
        """Those whose newest state ClickHouse has not confirmed."""
        return list(self._unstored.values())

    def confirm(self, stored: Iterable[Anomaly]) -> None:
        """Forget from the queue what was inserted, unless it has changed since."""
        for anomaly in stored:
            if self._unstored.get(anomaly.id) is anomaly:
                del self._unstored[anomaly.id]

    def forget(self, fleet: str, vehicle_id: str) -> int:
        """Drop every anomaly of a vehicle, those too that ClickHouse lacks; how many there were. O(live)."""
        kept, all_of_it = OrderedDict[str, Anomaly](), self._live | self._unstored
        theirs = {i for i, one in all_of_it.items() if (one.fleet, one.vehicle_id) == (fleet, vehicle_id)}
        kept.update((i, one) for i, one in self._live.items() if i not in theirs)
        self._live = kept
        self._unstored = {i: one for i, one in self._unstored.items() if i not in theirs}
        return len(theirs)

    def snapshot(self) -> dict[str, Any]:
        """As JSON: what a checkpoint must keep, since its records will not be processed again."""
        open_or_unstored = {a.id: a.as_dict() for a in self._live.values() if not a.closed}
        open_or_unstored |= {a.id: a.as_dict() for a in self._unstored.values()}
        return {"anomalies": open_or_unstored, "unstored": list(self._unstored), "opened": self._opened}

    def restore(self, document: dict[str, Any]) -> None:
        """Take over what `snapshot` wrote."""
        for fields in document["anomalies"].values():
            self.record([Anomaly(**fields)])
        self._unstored = {i: self._unstored[i] for i in document["unstored"]}
        self._opened = {fleet: dict(kinds) for fleet, kinds in document["opened"].items()}
