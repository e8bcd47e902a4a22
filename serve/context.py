"""What every query endpoint starts from: the platform, and the caller's key."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes

from pipeline.history.cache import AnswerCache
from pipeline.keys.record import KeyRecord
from serve.access import Access
from serve.exports import Exports
from serve.intake import Intake
from serve.live import LiveFeed
from serve.platform import Platform
from serve.problems import ProblemError, forbidden
from serve.rate_limits import RateLimits
from serve.request_id import address_of


@dataclass(frozen=True, slots=True)
class Context:
    """What one query replica holds."""

    platform: Platform
    rates: RateLimits
    access: Access
    live: LiveFeed
    intake: Intake
    cache: AnswerCache
    exports: Exports


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key as bearer token.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="An API key.")


async def _caller(
    request: Request,
    needed: SecurityScopes,
    _bearer: Annotated[object, Security(_bearer)],
    _header: Annotated[object, Security(_header)],
) -> KeyRecord:
    """The caller's key record, or a refusal; one scope of several is enough."""
    context = _context(request)
    authorization, api_key = request.headers.get("authorization"), request.headers.get("x-api-key")
    address = address_of(dict(request.scope["headers"]), request.scope)
    record = await context.access.identify(authorization, api_key, address)
    caller = context.rates.caller(record)
    request.state.rate_headers = partial(context.rates.headers, caller)
    await context.rates.request(caller, "backfill")
    if record.scopes.isdisjoint(needed.scopes):
        raise ProblemError(forbidden(needed.scopes[-1]))
    return record


ContextDep = Annotated[Context, Depends(_context)]
QueryKey = Annotated[KeyRecord, Security(_caller, scopes=["query"])]
AdminKey = Annotated[KeyRecord, Security(_caller, scopes=["admin"])]
OperatorKey = Annotated[KeyRecord, Security(_caller, scopes=["admin", "query"])]

From = Annotated[
    str | None,
    Query(
        alias="from",
        description="Start, inclusive: RFC 3339 or integer microseconds since the epoch.",
        examples=["2026-01-31T12:00:00Z"],
    ),
]
To = Annotated[
    str | None,
    Query(
        alias="to",
        description="End, exclusive: RFC 3339 or integer microseconds.",
        examples=["1769864400000000"],
    ),
]
