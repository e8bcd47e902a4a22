"""A named actor as its callers hold it: found again by its name where it was ended and another begun in its place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import ray
from ray.exceptions import ActorDiedError

from actors import names

_log: Final = logging.getLogger("canfleet.actors")


class NamedActor:
    """One event loop calls through one of these.

    Ray restarts an actor that crashes under the handle that everybody has. One that a renewal ended is dead for ever to
    those who hold its handle, and its successor has another.
    """

    def __init__(self, handle: Any, find: Callable[[], Awaitable[Any]]) -> None:  # noqa: ANN401 an actor's handle
        """Call through `handle` until its actor has died; `find` a handle anew then, or raise ValueError."""
        self._handle = handle
        self._find = find
        self._finding: asyncio.Task[None] | None = None

    @classmethod
    async def called(cls, name: str) -> NamedActor:
        """The platform's actor of that name on this Ray cluster. Raises ValueError where there is none."""

        def find() -> Awaitable[Any]:
            return asyncio.to_thread(ray.get_actor, name, namespace=names.NAMESPACE)

        return cls(await find(), find)

    async def call(self, method: str, *arguments: Any) -> Any:  # noqa: ANN401
        """Call a method. A call that fails is not made again: nobody knows what became of it.

        Raises:
            RayError: what Ray raises. Soon after ActorDiedError calls go to who has the name then.
        """
        handle = self._handle
        try:
            return await getattr(handle, method).remote(*arguments)
        except ActorDiedError:
            # Behind the answer: whoever called is told at once, also while nobody knows names.
            if handle is self._handle and self._finding is None:
                self._finding = asyncio.get_running_loop().create_task(self._look_up())
            raise

    async def _look_up(self) -> None:
        try:
            self._handle = await self._find()
        except ValueError as error:
            _log.debug("nobody has the name of an actor that has died: %s", error)
        finally:
            self._finding = None
