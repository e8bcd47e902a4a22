"""The directory actor: what replicas must know: where partitions are, the configuration, keys, shares of limits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from actors.layout import Layout, fixed_layout
from actors.partition_actors import PartitionActors
from actors.placement import Placement, PlacementWriter, placed
from actors.rebalancer import Rebalancer, Renewal
from pipeline.config import CanfleetConfig
from pipeline.errors import Fenced
from pipeline.keys.record import IssuedKey, KeyRecord, Scope
from pipeline.keys.store import KeyStore
from pipeline.limits.shares import Shares
from pipeline.logs.handler import set_up_logs
from pipeline.privacy.key_file import secret_of
from pipeline.shard.loops import end_process

_WRITE_USES_S: Final = 60.0
_log: Final = logging.getLogger("canfleet.actors")


class DirectoryActor:
    """A Ray shell around layout and placement, the key store and the shares of rate limits.

    A thread of its own looks after the placement, since moves take their time.
    """

    def __init__(self, config: CanfleetConfig, bootstrap_key: str | None) -> None:
        """Open the key store in the data directory."""
        set_up_logs(config.logging, "directory")
        self._config = config
        self._layout = fixed_layout(config)
        self._secret = secret_of(config.privacy, config.data_dir)
        self._keys = KeyStore(config.data_dir / "keys.sqlite")
        self._used: dict[str, int] = {}
        self._wrote_uses_at = 0.0
        self._shares = Shares()
        if bootstrap_key:
            self._keys.bootstrap(bootstrap_key)
        # Before it is read: what a directory before this one writes from now on counts nothing.
        self._writer = PlacementWriter(config.data_dir)
        self._rebalancer = Rebalancer(
            placed(config.data_dir), config.scaling, PartitionActors(config), self._writer.write
        )
        self._look_now = threading.Event()
        threading.Thread(target=self._keep_balanced, name="rebalancer", daemon=True).start()

    def _keep_balanced(self) -> None:
        while True:
            self._look_now.wait(self._config.scaling.look_every_s)
            self._look_now.clear()
            try:
                self._writer.check()
                self._rebalancer.look()
            except Fenced as error:
                end_process(error)
            except Exception:  # noqa: BLE001 nobody else would see it; the next look begins from what is true then
                _log.exception("the placement of shards could not be looked after")

    def placement(self, known_version: int) -> Placement | None:
        """Which actor holds which shard; None when `known_version` is current."""
        current = self._rebalancer.placement
        return None if current.version == known_version else current

    def request_move(self, shard: int, actor: int) -> int | None:
        """Have a shard moved to another actor soon; who holds it now, or None where one of them is unknown."""
        placement = self._rebalancer.placement
        if not (0 <= shard < len(placement.actor_of) and 0 <= actor < placement.actors):
            return None
        self._rebalancer.request(shard, actor)
        self._look_now.set()
        return placement.actor_of[shard]

    def request_renewal(self) -> None:
        """Have every partition actor ended and begun anew soon, one after the other: with the code that is here."""
        self._rebalancer.request_renewal()
        self._look_now.set()

    def renewal(self) -> Renewal | None:
        """How the renewal goes that was asked for last; None where none was since this actor began."""
        return self._rebalancer.renewal

    def describe(self) -> tuple[CanfleetConfig, Layout]:
        """The configuration and the layout."""
        return self._config, self._layout

    def secret(self) -> bytes | None:
        """The secret behind pseudonyms, for the replicas that take frames in; None where there are none."""
        return self._secret

    def keys(self, known_version: int) -> tuple[int, list[KeyRecord]] | None:
        """All key records with their version; None when `known_version` is current."""
        if known_version == self._keys.version:
            return None
        return self._keys.snapshot()

    def create_key(self, fleet: str, scopes: list[Scope], expires_at: int | None, vehicles: list[str]) -> IssuedKey:
        """Make a key. Raises Fenced where another directory has begun."""
        self._writer.check()
        return self._keys.create(fleet, scopes, expires_at, vehicles)

    def note_uses(self, used: Mapping[str, int]) -> None:
        """Remember when keys (by id) were last used (µs); on disk within a minute, or when somebody asks."""
        for key_id, moment in used.items():
            self._used[key_id] = max(moment, self._used.get(key_id, 0))
        if time.monotonic() - self._wrote_uses_at >= _WRITE_USES_S:
            self._write_uses()

    def _write_uses(self) -> None:
        used, self._used = self._used, {}
        self._wrote_uses_at = time.monotonic()
        self._keys.touch(used)

    def list_keys(self, fleet: str | None) -> list[KeyRecord]:
        """Keys of one fleet, or of all."""
        self._write_uses()
        return self._keys.records(fleet)

    def revoke_key(self, key_id: str) -> KeyRecord | None:
        """Revoke a key. Raises Fenced where another directory has begun."""
        self._writer.check()
        return self._keys.revoke(key_id)

    def rotate_key(self, key_id: str) -> IssuedKey | None:
        """Give a key a new secret. Raises Fenced where another directory has begun."""
        self._writer.check()
        return self._keys.rotate(key_id)

    def divide(self, replica: str, asked: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """What a replica may use of the rate limits that it was asked for: see `Shares.divide`."""
        return self._shares.divide(replica, asked, time.monotonic())
