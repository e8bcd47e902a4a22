"""Dead letters over HTTP, with scope `admin`: look at them, send them again, delete them."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from pipeline.clickhouse.dead_letters import DeadLetters, LetterFilter, is_letter_id
from pipeline.frames.reasons import meaning_of
from serve.answers import json_answer
from serve.context import AdminKey, ContextDep, From, To
from serve.dead_letter_models import LETTER, DeadLetter, DeadLetterPage, Purged, Replayed, ReplayRequest
from serve.dead_letter_replay import replay
from serve.intake import Origin
from serve.moments import LATEST_US, moment
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, bad_request, not_found
from serve.request_id import traceparent_of

router: Final = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])

MAX_LISTED: Final = 1_000
_LIST_BYTES: Final = 4 << 20

LetterId = Annotated[str, Path(description="Id of a dead letter.", examples=[LETTER])]
Reason = Annotated[
    str | None, Query(max_length=64, description="Refused for this reason.", examples=["timestamp_in_future"])
]
Stage = Annotated[
    str | None,
    Query(max_length=64, description="Refused at this stage: `parse`, `validate` or `store`.", examples=["validate"]),
]


def _filter(reason: Reason = None, stage: Stage = None, start: From = None, end: To = None) -> LetterFilter:
    """Which dead letters are meant, by the query string; `from` and `to` are times of receipt."""
    return _matching(reason, stage, start, end)


FilterDep = Annotated[LetterFilter, Depends(_filter)]


@router.get("", summary="Dead letters", response_model=DeadLetterPage, responses=problem_responses("warehouse-error"))
async def list_dead_letters(
    context: ContextDep,
    key: AdminKey,
    wanted: FilterDep,
    limit: Annotated[int, Query(ge=1, le=MAX_LISTED, description="Most of one page.", examples=[100])] = 100,
    cursor: Annotated[str | None, Query(description="`next` of the page before.", examples=[LETTER])] = None,
) -> Response:
    """Dead letters of the key's fleet, newest first, page by page, and how many there are of each reason.

    A page ends early where its payloads are large. A dead letter is listed some moments after its request was answered.
    """
    letters = DeadLetters(context.platform.warehouse)
    find = partial(letters.page, key.fleet, wanted, limit=limit, max_bytes=_LIST_BYTES, cursor=_cursor(cursor))
    page = await asyncio.to_thread(find)
    reasons = await asyncio.to_thread(letters.reasons, key.fleet, wanted)
    found = [_told(letter) for letter in page.letters.to_pylist()]
    return json_answer({"dead_letters": found, "reasons": reasons, "next": page.next})


@router.get(
    "/{letter_id}",
    summary="One dead letter",
    response_model=DeadLetter,
    responses=problem_responses("not-found", "warehouse-error"),
)
async def show_dead_letter(context: ContextDep, key: AdminKey, letter_id: LetterId) -> Response:
    """One dead letter, whole."""
    letters = DeadLetters(context.platform.warehouse)
    letter = await asyncio.to_thread(letters.one, key.fleet, letter_id)
    if letter is None:
        raise ProblemError(not_found(await asyncio.to_thread(_gone, letters, key.fleet, letter_id)))
    return json_answer(_told(letter))


@router.post(
    "/replay",
    summary="Send dead letters again",
    response_model=Replayed,
    responses=problem_responses("warehouse-error"),
)
async def replay_dead_letters(request: Request, context: ContextDep, key: AdminKey, asked: ReplayRequest) -> Response:
    """Send dead letters again, as they are or one of them mended.

    A row that is good now is accepted like any other, and leaves the dead letters once it is durable; one that fails
    again stays as it is, and the answer names its reason. It may be repeated: no frame is stored twice. One call tries
    `limit` letters; send `next` as `cursor` until it is null.
    """
    if (asked.ids is None) == (asked.filter is None):
        raise ProblemError(bad_request("give either `ids` or `filter`; the filter {} is every dead letter"))
    if asked.payload is not None and (asked.ids is None or len(asked.ids) != 1):
        raise ProblemError(bad_request("a mended `payload` goes with exactly one id in `ids`"))
    if asked.filter is not None:
        given = asked.filter
        wanted = _matching(given.reason, given.stage, _text(given.start), _text(given.end))
    else:
        wanted = LetterFilter(ids=tuple(dict.fromkeys(asked.ids or ())))
        for letter in wanted.ids:
            if not is_letter_id(letter):
                raise ProblemError(bad_request(f"`{letter[:64]}` is no id of a dead letter"))
    answer = await replay(
        DeadLetters(context.platform.warehouse),
        context.intake,
        context.platform.config.limits,
        Origin(key.fleet, time.time_ns() // 1000, request.state.request_id, traceparent_of(dict(request.headers.raw))),
        wanted,
        cursor=_cursor(asked.cursor),
        limit=asked.limit,
        mended=asked.payload,
    )
    return json_answer(answer)


@router.delete("", summary="Delete dead letters", response_model=Purged, responses=problem_responses("warehouse-error"))
async def purge_dead_letters(
    context: ContextDep,
    key: AdminKey,
    wanted: FilterDep,
    everything: Annotated[
        bool, Query(alias="all", description="Needed where no filter is given.", examples=[True])
    ] = False,
) -> Response:
    """Delete the dead letters that a filter means, for good."""
    if wanted == LetterFilter() and not everything:
        raise ProblemError(bad_request("give a filter, or all=true to delete every dead letter of the fleet"))
    count = await asyncio.to_thread(DeadLetters(context.platform.warehouse).purge, key.fleet, wanted)
    return json_answer({"purged": count})


@router.delete(
    "/{letter_id}",
    summary="Delete one dead letter",
    response_model=Purged,
    responses=problem_responses("not-found", "warehouse-error"),
)
async def purge_dead_letter(context: ContextDep, key: AdminKey, letter_id: LetterId) -> Response:
    """Delete one dead letter, for good."""
    letters = DeadLetters(context.platform.warehouse)
    count = 0
    if is_letter_id(letter_id):
        count = await asyncio.to_thread(letters.purge, key.fleet, LetterFilter(ids=(letter_id,)))
    if not count:
        raise ProblemError(not_found(await asyncio.to_thread(_gone, letters, key.fleet, letter_id)))
    return json_answer({"purged": count})


def _matching(reason: str | None, stage: str | None, start: str | None, end: str | None) -> LetterFilter:
    since, until = moment(start, "from") or 0, moment(end, "to")
    until = LATEST_US if until is None else until
    if since >= until:
        raise ProblemError(bad_request("`from` must lie before `to`"))
    return LetterFilter(stage=stage or "", reason=reason or "", start=since, end=until)


def _text(given: str | int | None) -> str | None:
    return None if given is None else str(given)


def _cursor(given: str | None) -> str:
    if given and not is_letter_id(given):
        raise ProblemError(bad_request("`cursor` must be `next` of an earlier answer"))
    return given or ""


def _told(letter: dict[str, Any]) -> dict[str, Any]:
    return letter | {"meaning": meaning_of(letter["reason"])}


def _gone(letters: DeadLetters, fleet: str, letter: str) -> str:
    state = letters.state(fleet, letter)
    became = "" if state is None else f" any more: it was {state['state']}"
    return f"fleet `{fleet}` has no dead letter `{letter[:64]}`{became}"
