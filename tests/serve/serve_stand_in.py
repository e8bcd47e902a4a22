"""An in-process platform behind the HTTP face: keeps what it is sent, answers from what a test puts in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from pipeline.config import CanfleetConfig
from pipeline.keys.record import IssuedKey, KeyRecord, Scope
from pipeline.keys.store import KeyStore
from pipeline.lanes.lane import Lane
from pipeline.limits.shares import Shares
from pipeline.privacy.pseudonyms import Pseudonyms
from pipeline.shard.ledger import Tally
from pipeline.submission import Submission, decode
from pipeline.types import I32

BOOTSTRAP = "bootstrap-key-of-the-tests"


@dataclass(frozen=True)
class StandInLayout:
    partitions: int
    shard_of: I32
    shards: int


@dataclass(frozen=True)
class StandInResult:
    accepted: int
    duplicates: int
    dead_lettered: int
    duplicate_rows: bytes = b""


@dataclass
class StandIn:
    """Attributes a test may set: `fail_submit`, `fail_admit`, `state`, `live_anomalies`, `reasons`."""

    folder: Path
    config: CanfleetConfig = field(default_factory=CanfleetConfig)
    submissions: list[tuple[int, Submission]] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    fail_submit: dict[int, Exception] = field(default_factory=dict)
    fail_admit: Exception | None = None
    fail_keys: Exception | None = None
    hang_keys: bool = False
    fail_status: Exception | None = None
    key_reads: int = 0
    state: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    live_anomalies: list[dict[str, Any]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    ledger_hours: list[int] = field(default_factory=list)
    ledger_ranges: list[tuple[int, int]] = field(default_factory=list)
    warehouse: Any = None
    fail_dead_letters: Exception | None = None
    stored_letters: int | None = 0
    unstored_letters: int = 0
    fail_divide: Exception | None = None
    divisions: int = 0
    shares: Shares = field(default_factory=Shares)
    now: Callable[[], float] = time.monotonic
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)

    def __post_init__(self) -> None:
        self.layout = StandInLayout(8, (np.arange(8) % 2).astype(np.int32), 2)
        self.store = KeyStore(self.folder / "keys.sqlite")
        self.store.bootstrap(BOOTSTRAP)
        self.happened = asyncio.Condition()
        self.log: list[dict[str, Any]] = []
        self.listening = asyncio.Event()

    def key(self, fleet: str, *scopes: Scope, vehicles: Iterable[str] = ()) -> str:
        return self.store.create(fleet, scopes, vehicles=vehicles).text

    def frames(self) -> list[dict[str, Any]]:
        return [row for _, submission in self.submissions for row in submission.frames.to_pylist()]

    async def announce(self, anomaly: dict[str, Any]) -> None:
        async with self.happened:
            self.log.append(anomaly)
            self.happened.notify_all()

    async def ready(self) -> dict[str, Any]:
        return {"ready": not self.reasons, "reasons": self.reasons}

    def admit(self, shards: Collection[int], lane: Lane) -> None:
        if self.fail_admit:
            raise self.fail_admit

    async def submit(self, shard: int, submission: bytes, lane: Lane) -> StandInResult:
        if shard in self.fail_submit:
            raise self.fail_submit[shard]
        taken = decode(submission)
        self.submissions.append((shard, taken))
        self.lanes.append(lane)
        return StandInResult(taken.frames.num_rows, 0, taken.dead_letters.num_rows if taken.dead_letters else 0)

    async def dead_letters(self, fleet: str) -> tuple[int | None, int]:
        if self.fail_dead_letters:
            raise self.fail_dead_letters
        return self.stored_letters, self.unstored_letters

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        return [
            {"vehicle_id": vehicle, "last_seen": state["last_seen"], "frames": 1}
            for (of, vehicle), state in self.state.items()
            if of == fleet
        ]

    async def positions(self, fleet: str) -> dict[str, Any]:
        vehicles = await self.vehicles(fleet)
        return {name: [vehicle[name] for vehicle in vehicles] for name in ("vehicle_id", "last_seen")}

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        return self.state.get((fleet, vehicle_id))

    async def forget(self, fleet: str, vehicle_id: str, patience_s: float) -> dict[str, int]:
        return {"live_vehicles": int(self.state.pop((fleet, vehicle_id), None) is not None), "journal_bytes": 17}

    async def summary(self, fleet: str) -> dict[str, Any]:
        return {"vehicles": 1, "fleet": fleet, "frames": len(self.frames()), "frames_per_second": float("nan")}

    async def anomalies(self, fleet: str, **wanted: Any) -> list[dict[str, Any]]:
        return [one for one in self.live_anomalies if wanted["kind"] in (None, one["kind"])][: wanted["limit"]]

    async def ledger(self, fleet: str, start: int = 0, end: int = 1 << 40) -> dict[str, Any]:
        self.ledger_ranges.append((start, end))
        tally = Tally(len(self.frames()), len(self.frames())).as_dict()
        hours = {hour: tally for hour in self.ledger_hours if start <= hour < end}
        rest = {"frames_missing": 0, "earlier": Tally().as_dict(), "complete_from": 0, "rollups_waiting": False}
        return {"fleet": fleet, **tally, "hours": hours, **rest}

    async def request_move(self, shard: int, actor: int) -> int | None:
        return 0 if shard < 8 and actor < 2 else None

    async def gaps(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        if (fleet, vehicle_id) not in self.state:
            return None
        return {"vehicle_id": vehicle_id, "missing": 0, "sessions": [], "earlier_missing": 0, "earlier_late": 0}

    async def events(self, cursors: dict[int, int], timeout_s: float) -> tuple[dict[int, int], list[dict[str, Any]]]:
        async with self.happened:
            start = cursors.get(0, len(self.log))
            self.listening.set()
            try:
                await asyncio.wait_for(self.happened.wait_for(lambda: len(self.log) > start), timeout_s)
            except TimeoutError:
                return {0: start}, []
            return {0: len(self.log)}, self.log[start:]

    async def status(self) -> dict[str, Any]:
        if self.fail_status:
            raise self.fail_status
        refused = "Column values: vehicle_id = 'x'"
        return {"shards": [{"shard": 0, "unprocessed_bytes": 5, "vehicles": 7, "warehouse_error": refused}]}

    async def keys(self, known_version: int) -> tuple[int, list[KeyRecord]] | None:
        self.key_reads += 1
        if self.hang_keys:
            await asyncio.Event().wait()
        if self.fail_keys:
            raise self.fail_keys
        version, records = self.store.snapshot()
        return None if version == known_version else (version, records)

    async def divide(self, replica: str, asked: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        if self.fail_divide:
            raise self.fail_divide
        self.divisions += 1
        return self.shares.divide(replica, asked, self.now())

    async def note_uses(self, used: Mapping[str, int]) -> None:
        self.store.touch(used)

    async def create_key(
        self, fleet: str, scopes: Iterable[Scope], expires_at: int | None = None, vehicles: Iterable[str] = ()
    ) -> IssuedKey:
        return self.store.create(fleet, scopes, expires_at, vehicles)

    async def list_keys(self, fleet: str | None) -> list[KeyRecord]:
        return self.store.records(fleet)

    async def revoke_key(self, key_id: str) -> KeyRecord | None:
        return self.store.revoke(key_id)

    async def rotate_key(self, key_id: str) -> IssuedKey | None:
        return self.store.rotate(key_id)


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://canfleet.test")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def check_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"urn:canfleet:problem:{kind}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == f"urn:canfleet:request:{answer.headers['x-request-id']}"
    return problem
