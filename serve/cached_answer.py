"""Answers through the cache: from memory where they are fresh, with a name (ETag) by which a client asks again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request, Response

from pipeline.history.cache import LIVE_S, AnswerCache, CachedAnswer, life_s
from serve.answers import NO_STORE, json_body

_HEADERS: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, X-API-Key"}

NOT_MODIFIED: Final[dict[int | str, dict[str, Any]]] = {
    304: {"description": "What `If-None-Match` names is the answer still.", "content": {}}
}
"""For an endpoint's OpenAPI responses."""
ETAG: Final[dict[str, Any]] = {
    "ETag": {
        "description": "Names the answer; send it back in `If-None-Match`. Absent where the answer is partial.",
        "schema": {"type": "string"},
        "example": '"5feceb66ffc86f38d952786c6d696c79"',
    }
}


@dataclass(frozen=True, slots=True)
class Made:
    """An answer that was made.

    Attributes:
        body: its bytes.
        life_s: seconds that it may be given again; 0: this once.
        media_type: of the body.
    """

    body: bytes
    life_s: float
    media_type: str = "application/json"

    @classmethod
    def of(cls, data: object, until: int, newest: int | None = None) -> Made:
        """`data` as JSON, about a range that ends at `until`; `newest` as in `life_s`."""
        return cls(json_body(data), life_s(until, time.time_ns() // 1000, newest))

    @classmethod
    def live(cls, data: object) -> Made:
        """`data` as JSON, from the live state of a fleet."""
        return cls(json_body(data), LIVE_S)


async def cached_answer(
    cache: AnswerCache, request: Request, fleet: str, question: Hashable, make: Callable[[], Awaitable[Made]]
) -> Response:
    """The answer to a fleet's question: the kept one, or else the one that `make` makes.

    `Cache-Control: no-cache` in the request has it made anew. 304 without a body where the client has it already.

    Raises:
        ProblemError, CanfleetError: what `make` raises; nothing is kept then.
    """
    kept = None if "no-cache" in request.headers.get("cache-control", "") else cache.get(fleet, question)
    if kept is None:
        generation = cache.generation(fleet)
        made = await make()
        if made.life_s <= 0:
            return Response(made.body, headers=NO_STORE, media_type=made.media_type)
        kept = CachedAnswer.of(made.body, made.media_type)
        cache.put(fleet, question, kept, made.life_s, generation)
    headers = _HEADERS | {"ETag": kept.etag}
    if _names(request.headers.get("if-none-match", ""), kept.etag):
        return Response(status_code=304, headers=headers)
    return Response(kept.body, headers=headers, media_type=kept.media_type)


def _names(if_none_match: str, etag: str) -> bool:
    """Whether the header names the tag; weakly compared (RFC 9110, 13.1.2), so that a proxy may have compressed it."""
    named = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return etag in named or "*" in named
