"""What the HTTP face needs of the platform behind it; `actors.platform_client.PlatformClient` is the real one."""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from pipeline.clickhouse.client import Warehouse
from pipeline.config import CanfleetConfig
from pipeline.keys.record import IssuedKey, KeyRecord, Scope
from pipeline.lanes.lane import Lane
from pipeline.privacy.pseudonyms import Pseudonyms
from pipeline.types import I32


class Layout(Protocol):
    """How partitions lie on shards.

    Attributes:
        partitions: number of partitions.
        shard_of: int32[partitions], the shard of each partition.
        shards: number of shards.
    """

    @property
    def partitions(self) -> int: ...  # noqa: D102
    @property
    def shard_of(self) -> I32: ...  # noqa: D102
    @property
    def shards(self) -> int: ...  # noqa: D102


class SubmitResult(Protocol):
    """What one shard did with one submission: counts of frames, all durable; `Receipt` has their meaning."""

    @property
    def accepted(self) -> int: ...  # noqa: D102
    @property
    def duplicates(self) -> int: ...  # noqa: D102
    @property
    def dead_lettered(self) -> int: ...  # noqa: D102
    @property
    def duplicate_rows(self) -> bytes: ...  # noqa: D102


class IntakePlatform(Protocol):
    """The side that takes frames in."""

    @property
    def layout(self) -> Layout:
        """The layout of partitions and shards."""
        ...

    @property
    def config(self) -> CanfleetConfig:
        """The configuration the platform runs with."""
        ...

    @property
    def pseudonyms(self) -> Pseudonyms:
        """The names under which vehicles are stored."""
        ...

    def admit(self, shards: Collection[int], lane: Lane) -> None:
        """Raise `Overloaded` when one of `shards` has no room for a request of `lane`, from what is known locally."""
        ...

    def submit(self, shard: int, submission: bytes, lane: Lane) -> Coroutine[None, None, SubmitResult]:
        """Make one submission durable in one shard, in flight from the call on; awaiting raises `Overloaded`."""
        ...

    async def dead_letters(self, fleet: str) -> tuple[int | None, int]:
        """The fleet's dead letters in ClickHouse, None while it does not say, and those journaled that it lacks."""
        ...

    async def keys(self, known_version: int) -> tuple[int, list[KeyRecord]] | None:
        """The key records and their version, or None when `known_version` is current."""
        ...

    async def note_uses(self, used: Mapping[str, int]) -> None:
        """Tell when keys (by id) were last used (µs)."""
        ...

    async def divide(self, replica: str, asked: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """The number of replicas, and the part of each rate limit in `asked` that `replica` may use from now on."""
        ...


class Platform(IntakePlatform, Protocol):
    """Everything: intake, live state, keys. Timestamps are microseconds since the epoch."""

    @property
    def warehouse(self) -> Warehouse:
        """The ClickHouse client, `pipeline.clickhouse.client.Warehouse`."""
        ...

    async def ready(self) -> dict[str, Any]:
        """`{"ready": bool, "reasons": [...]}`."""
        ...

    async def vehicles(self, fleet: str) -> list[dict[str, Any]]:
        """Known vehicles: vehicle_id, last_seen, frames."""
        ...

    async def positions(self, fleet: str) -> dict[str, Any]:
        """Where all vehicles are, in columns: see `pipeline.shard.positions.Positions.of_fleet`."""
        ...

    async def latest(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Latest value and window of every signal of a vehicle, or None when the fleet has no such vehicle."""
        ...

    async def summary(self, fleet: str) -> dict[str, Any]:
        """The fleet in numbers."""
        ...

    async def anomalies(
        self,
        fleet: str,
        *,
        vehicle_id: str | None = None,
        kind: str | None = None,
        start: int | None = None,
        end: int | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """Anomalies still in memory."""
        ...

    async def ledger(self, fleet: str, start: int = 0, end: int = 1 << 40) -> dict[str, Any]:
        """What became of every frame received, see `pipeline.shard.ledger.merged`; hours since the epoch."""
        ...

    async def gaps(self, fleet: str, vehicle_id: str) -> dict[str, Any] | None:
        """Frames of a vehicle that never came, by session, or None when the fleet has no such vehicle."""
        ...

    async def forget(self, fleet: str, vehicle_id: str, patience_s: float) -> dict[str, int]:
        """Remove a vehicle wherever the platform holds it; how much, by place. Raises `Overloaded` while it goes on."""
        ...

    async def events(self, cursors: dict[int, int], timeout_s: float) -> tuple[dict[int, int], list[dict[str, Any]]]:
        """Long poll over all shards: new cursors, and new anomalies with their `fleet`."""
        ...

    async def status(self) -> dict[str, Any]:
        """Health, partitions, lags."""
        ...

    async def request_move(self, shard: int, actor: int) -> int | None:
        """Have a shard moved to another partition actor soon; who holds it now, None where one of them is unknown."""
        ...

    async def create_key(
        self, fleet: str, scopes: Iterable[Scope], expires_at: int | None = None, vehicles: Iterable[str] = ()
    ) -> IssuedKey:
        """Make a key: see `KeyStore.create`."""
        ...

    async def list_keys(self, fleet: str | None) -> list[KeyRecord]:
        """Keys of one fleet, or of all."""
        ...

    async def revoke_key(self, key_id: str) -> KeyRecord | None:
        """Revoke a key; None when it is unknown."""
        ...

    async def rotate_key(self, key_id: str) -> IssuedKey | None:
        """Give a key a new secret; None when it cannot be."""
        ...
