"""What every query endpoint starts from: the platform, and the caller's key."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from pipeline.keys.record import KeyRecord, Scope
from serve.access import Access
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


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key as bearer token.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="An API key.")


class _Needs:
    """A dependency that answers with the caller's key record, or refuses."""

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    async def __call__(
        self,
        request: Request,
        _bearer: Annotated[object, Security(_bearer)],
        _header: Annotated[object, Security(_header)],
    ) -> KeyRecord:
        """Authenticate; one scope of several is enough."""
        context = _context(request)
        authorization, api_key = request.headers.get("authorization"), request.headers.get("x-api-key")
        address = address_of(dict(request.scope["headers"]), request.scope)
        record = await context.access.identify(authorization, api_key, address)
        caller = context.rates.caller(record)
        request.state.rate_headers = partial(context.rates.headers, caller)
        await context.rates.request(caller, "backfill")
        if record.scopes.isdisjoint(self._scopes):
            raise ProblemError(forbidden(self._scopes[-1]))
        return record


ContextDep = Annotated[Context, Depends(_context)]
QueryKey = Annotated[KeyRecord, Depends(_Needs("query"))]
AdminKey = Annotated[KeyRecord, Depends(_Needs("admin"))]
OperatorKey = Annotated[KeyRecord, Depends(_Needs("admin", "query"))]

From = Annotated[
    str | None, Query(alias="from", description="Start, inclusive: RFC 3339 or integer microseconds since the epoch.")
]
To = Annotated[str | None, Query(alias="to", description="End, exclusive: RFC 3339 or integer microseconds.")]
