"""From an exception to the problem a client is told: the one place where errors become answers."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ray.exceptions import RayActorError, RayError, RayTaskError

from pipeline.errors import CanfleetError, Overloaded, WarehouseAway
from serve.problems import Problem, ProblemError, away, from_error, unexpected

_log: Final = logging.getLogger("canfleet.serve")


def problem_of(error: Exception, request_id: str) -> Problem:
    """The problem that `error` stands for; what nobody foresaw is logged with its traceback."""
    # Ray raises an actor's exception as a hybrid of RayTaskError and the original, whose text is a traceback.
    cause = error.cause if isinstance(error, RayTaskError) else error
    named = {"request_id": request_id}
    match cause:
        case WarehouseAway():
            _log.warning("request %s: %s", request_id, cause, extra=named)
            return away("ClickHouse")
        case CanfleetError():
            problem = from_error(cause, request_id)
            # What a handler says itself is meant, such as the 503 of /readyz while a platform starts.
            if problem.status >= 500 and not isinstance(cause, Overloaded | ProblemError):
                _log.error("request %s failed: %s", request_id, cause, exc_info=error, extra=named)
            return problem
        case RayActorError() | asyncio.TimeoutError() | TimeoutError():
            _log.warning("request %s: part of the platform is away: %s", request_id, cause, extra=named)
            return away("A part of the platform")
        case RayError() if not isinstance(cause, RayTaskError):
            _log.warning("request %s: Ray could not do it: %s", request_id, cause, extra=named)
            return away("A part of the platform")
        case _:
            _log.error("request %s failed", request_id, exc_info=error, extra=named)
            return unexpected(request_id)
