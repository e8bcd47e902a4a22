"""A partition actor as the rest of the platform calls it: through a line that knows whether it is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from ray.exceptions import RayError, RayTaskError

from actors.line import Line
from pipeline.errors import Overloaded, PartitionAway
from pipeline.lanes.lane import Lane

CALL_TIMEOUT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """What one shard did with one submission: counts of rows, all durable. See `pipeline.shard.commit.Receipt`."""

    accepted: int
    duplicates: int
    dead_lettered: int
    duplicate_rows: bytes


class PartitionHandle:
    """One event loop uses one handle.

    Attributes:
        line: what is known of the actor.
    """

    def __init__(self, shard: int, actor: Any) -> None:  # noqa: ANN401 an actor's handle
        """Call `actor`, which holds `shard`."""
        self.line: Final = Line(shard, self._call("ping"))
        self._shard = shard
        self._actor = actor
        self._in_flight = 0

    def admit(self, bound: int) -> None:
        """Refuse a request before any work is spent on it.

        Raises:
            PartitionAway: the actor does not answer.
            Overloaded: more than `bound` bytes of submissions are under way from here.
        """
        self.line.check()
        if self._in_flight > bound:
            raise Overloaded(f"shard {self._shard} has {self._in_flight >> 20} MiB in flight", 1.0)

    def submit(self, submission: bytes, lane: Lane) -> Coroutine[None, None, SubmitResult]:
        """See `PlatformClient.submit`."""
        self._in_flight += len(submission)
        return self._submitted(submission, lane)

    async def ask(
        self,
        method: str,
        *arguments: Any,  # noqa: ANN401
        timeout_s: float = CALL_TIMEOUT_S,
        patient_s: float = 0.0,
    ) -> Any:  # noqa: ANN401
        """Call a method, which answers within `timeout_s` but may first wait on purpose, for up to `patient_s`.

        Raises:
            PartitionAway: the actor does not answer.
        """
        return await self.line.ask(self._call(method, *arguments), timeout_s + patient_s, patient=patient_s > 0)

    async def _submitted(self, submission: bytes, lane: Lane) -> SubmitResult:
        try:
            return SubmitResult(*await self.ask("submit", submission, lane))
        finally:
            self._in_flight -= len(submission)

    def _call(self, method: str, *arguments: Any) -> Callable[[], Awaitable[Any]]:  # noqa: ANN401
        async def call() -> Any:  # noqa: ANN401
            try:
                return await getattr(self._actor, method).remote(*arguments)
            except RayTaskError as error:
                raise error.cause from error
            except RayError as error:
                raise PartitionAway(f"shard {self._shard} is away: {type(error).__name__}", 1.0) from error

        return call
