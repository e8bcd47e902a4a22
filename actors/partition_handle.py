"""A partition actor as the platform calls it for one shard: through a line that knows whether it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from ray.exceptions import RayError, RayTaskError

from actors.line import Line
from actors.named_actor import NamedActor
from pipeline.errors import PartitionAway

CALL_TIMEOUT_S: Final = 20.0


class PartitionHandle:
    """One shard where it is at present. One event loop uses one handle.

    Attributes:
        line: what is known of the actor.
    """

    def __init__(self, shard: int, actor: NamedActor) -> None:
        """Call `actor`, which holds `shard`."""
        self._shard = shard
        self._actor = actor
        self.line: Final = Line(shard, self._call("ping"))

    async def ask(
        self,
        method: str,
        *arguments: Any,  # noqa: ANN401
        timeout_s: float = CALL_TIMEOUT_S,
        patient_s: float = 0.0,
    ) -> Any:  # noqa: ANN401
        """Call a method of the shard, which answers within `timeout_s` but may first wait, for up to `patient_s`.

        Raises:
            PartitionAway: the actor does not answer.
            PartitionMoved: it does not hold the shard.
        """
        call = self._call(method, self._shard, *arguments)
        return await self.line.ask(call, timeout_s + patient_s, patient=patient_s > 0)

    def _call(self, method: str, *arguments: Any) -> Callable[[], Awaitable[Any]]:  # noqa: ANN401
        async def call() -> Any:  # noqa: ANN401
            try:
                return await self._actor.call(method, *arguments)
            except RayTaskError as error:
                raise error.cause from error
            except RayError as error:
                raise PartitionAway(f"shard {self._shard} is away: {type(error).__name__}", 1.0) from error

        return call
