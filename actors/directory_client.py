"""What replicas and the command line ask the directory: keys, shares of limits, placement."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ray.exceptions import RayError, RayTaskError

from actors.named_actor import NamedActor
from actors.partition_handle import CALL_TIMEOUT_S
from actors.placement import Placement
from pipeline.errors import Overloaded
from pipeline.keys.record import IssuedKey, KeyRecord, Scope


class DirectoryClient:
    """The directory's side of the platform. One event loop uses one client.

    A call to a directory that is away, or that does not answer in time, raises Overloaded: retrying is right.
    """

    def __init__(self, directory: NamedActor) -> None:
        """Ask `directory`."""
        self._directory: Final = directory

    async def request_move(self, shard: int, actor: int) -> int | None:
        """Have a shard moved to another partition actor soon; who holds it now, None where one of them is unknown."""
        return await self._direct("request_move", shard, actor)

    # -- keys ---------------------------------------------------------------------------------------------------

    async def keys(self, known_version: int) -> tuple[int, list[KeyRecord]] | None:
        """Key records and their version; None when `known_version` is current."""
        return await self._direct("keys", known_version)

    async def note_uses(self, used: Mapping[str, int]) -> None:
        """Tell when keys (by id) were last used (µs)."""
        await self._direct("note_uses", dict(used))

    async def create_key(
        self, fleet: str, scopes: Iterable[Scope], expires_at: int | None = None, vehicles: Iterable[str] = ()
    ) -> IssuedKey:
        """Make a key."""
        issued: IssuedKey = await self._direct("create_key", fleet, list(scopes), expires_at, list(vehicles))
        return issued

    async def list_keys(self, fleet: str | None) -> list[KeyRecord]:
        """Keys of one fleet, or of all."""
        return await self._direct("list_keys", fleet)

    async def revoke_key(self, key_id: str) -> KeyRecord | None:
        """Revoke a key; None when it is unknown."""
        return await self._direct("revoke_key", key_id)

    async def rotate_key(self, key_id: str) -> IssuedKey | None:
        """Give a key a new secret; None when it cannot be."""
        return await self._direct("rotate_key", key_id)

    # -- rate limits --------------------------------------------------------------------------------------------

    async def divide(self, replica: str, asked: Mapping[str, float]) -> tuple[int, dict[str, float]]:
        """The number of replicas, and the part of each limit in `asked` that `replica` may use; see `Shares.divide`."""
        return await self._direct("divide", replica, asked)

    # -- inside -------------------------------------------------------------------------------------------------

    async def _placement(self, known_version: int) -> Placement | None:
        return await self._direct("placement", known_version)

    async def _direct(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401
        """Call the directory; its own exception as it raised it, and Overloaded where it does not answer."""
        try:
            return await asyncio.wait_for(self._directory.call(method, *arguments), CALL_TIMEOUT_S)
        except RayTaskError as error:
            raise error.cause from error
        except (RayError, TimeoutError) as error:
            raise Overloaded(f"directory is away: {type(error).__name__}", 1.0) from error
