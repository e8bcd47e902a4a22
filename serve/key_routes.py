"""Managing API keys over HTTP, with scope `admin`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from pipeline.keys.record import IssuedKey, KeyRecord
from serve.access import WAIT_S
from serve.answers import json_answer
from serve.context import AdminKey, Context, ContextDep
from serve.key_models import KeyInfo, KeyRequest, Keys, NewKey
from serve.problem_examples import problem_responses
from serve.problems import Problem, ProblemError, not_found, other_fleet

router: Final = APIRouter(prefix="/v1/keys", tags=["keys"])

KeyId = Annotated[str, Path(description="Id of a key, as `GET /v1/keys` lists it.", examples=["k3j5h2g8d9s1"])]


@router.post(
    "",
    summary="Make a key",
    status_code=201,
    response_description="Made.",
    response_model=NewKey,
    responses=problem_responses("other-fleet"),
)
async def create_key(context: ContextDep, key: AdminKey, wanted: KeyRequest) -> Response:
    """Make a key. Its text is in this answer and nowhere else. Only the bootstrap key serves other fleets."""
    if wanted.fleet != key.fleet and not key.is_bootstrap:
        raise ProblemError(other_fleet(key.fleet))
    vehicles = [context.platform.pseudonyms.pattern(wanted.fleet, glob) for glob in wanted.vehicles]
    issued = await context.platform.create_key(wanted.fleet, wanted.scopes, wanted.expires_at, vehicles)
    return json_answer(_issued(issued), 201)


@router.get("", summary="Keys", response_model=Keys, responses=problem_responses("other-fleet"))
async def list_keys(
    context: ContextDep,
    key: AdminKey,
    fleet: Annotated[
        str | None, Query(max_length=64, description="Of this fleet alone; for the bootstrap key.", examples=["north"])
    ] = None,
) -> Response:
    """Keys of the caller's fleet; of every fleet, or the one asked for, to the bootstrap key."""
    if not key.is_bootstrap:
        if fleet not in (None, key.fleet):
            raise ProblemError(other_fleet(key.fleet))
        fleet = key.fleet
    return json_answer({"keys": [_info(record) for record in await context.platform.list_keys(fleet)]})


@router.delete("/{key_id}", summary="Revoke a key", response_model=KeyInfo, responses=problem_responses("not-found"))
async def revoke_key(context: ContextDep, key: AdminKey, key_id: KeyId) -> Response:
    """Revoke a key. It answers once every replica has heard of it: from then on the key opens nothing."""
    await _manageable(context, key, key_id)
    record = await context.platform.revoke_key(key_id)
    if record is None:
        raise ProblemError(_unknown(key_id))
    await asyncio.sleep(WAIT_S)
    return json_answer(_info(record))


@router.post(
    "/{key_id}/rotate",
    summary="Give a key a new secret",
    response_model=NewKey,
    responses=problem_responses("not-found"),
)
async def rotate_key(context: ContextDep, key: AdminKey, key_id: KeyId) -> Response:
    """Give a key a new secret; the old text goes on working for an hour."""
    await _manageable(context, key, key_id)
    issued = await context.platform.rotate_key(key_id)
    if issued is None:
        raise ProblemError(not_found(f"key `{key_id}` is revoked, or set at start, and cannot be rotated"))
    return json_answer(_issued(issued))


async def _manageable(context: Context, key: KeyRecord, key_id: str) -> None:
    """Refuse with 404 unless `key` may manage `key_id`: another fleet's key looks like none."""
    records = await context.platform.list_keys(None if key.is_bootstrap else key.fleet)
    if all(record.id != key_id for record in records):
        raise ProblemError(_unknown(key_id))


def _unknown(key_id: str) -> Problem:
    return not_found(f"there is no key `{key_id}` that this key may manage")


def _info(record: KeyRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "fleet": record.fleet,
        "scopes": sorted(record.scopes),
        "created": record.created,
        "last_used": record.last_used,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "vehicles": list(record.vehicles),
    }


def _issued(issued: IssuedKey) -> dict[str, Any]:
    return _info(issued.record) | {"key": issued.text}
