"""Forgetting a vehicle, with scope `admin`."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.forget import being_rewritten
from serve.answers import json_answer
from serve.context import AdminKey, ContextDep
from serve.problem_examples import problem_responses
from serve.vehicle_routes import VehicleId

router: Final = APIRouter(prefix="/v1/vehicles", tags=["vehicles"])

PATIENCE_S: Final = 45.0
"""How long a request waits for the shards; they go on afterwards, and asking again tells."""
REWRITING_S: Final = 10.0
"""How long it then waits for ClickHouse to write parts anew."""
_LOOK_S: Final = 0.25


class Removed(BaseModel):
    """How much was removed, by place. `signals_1m` and `signals_1h` are rows of the rollups."""

    frames: int = Field(0, examples=[120000])
    signals: int = Field(0, examples=[730000])
    signals_1m: int = Field(0, examples=[2100])
    signals_1h: int = Field(0, examples=[42])
    anomalies: int = Field(0, examples=[3])
    dead_letters: int = Field(0, examples=[1])
    live_vehicles: int = Field(0, description="1 where the vehicle was known.", examples=[1])
    live_signals: int = Field(0, description="Latest values, with their windows and baselines.", examples=[42])
    live_sessions: int = Field(0, description="Sessions whose sequence gaps were followed.", examples=[2])
    live_anomalies: int = Field(0, description="Anomalies in memory.", examples=[3])
    journal_bytes: int = Field(
        0,
        description="What of the journal was dropped, all of it stored. Of all vehicles: for the bootstrap key alone.",
        examples=[67108864],
    )


class Forgotten(BaseModel):
    """What became of a vehicle."""

    vehicle_id: str = Field(description="The name that it was stored under.", examples=["truck-7"])
    removed: Removed
    rewriting: bool = Field(
        description="Whether ClickHouse still writes parts anew without the rows, which no query finds any more.",
        examples=[False],
    )


@router.delete(
    "/{vehicle_id}",
    summary="Forget a vehicle",
    response_model=Forgotten,
    responses=problem_responses("warehouse-error"),
)
async def forget_vehicle(context: ContextDep, key: AdminKey, vehicle_id: VehicleId) -> Response:
    """Erase a vehicle of the key's fleet wherever it is held, and say how much that was.

    It covers what was acknowledged before the request: live state, checkpoints, journal, every table on every volume,
    and dead letters that name the vehicle. What comes afterwards under the same id is a new vehicle, of which nothing
    is remembered. Repeating it is safe; a vehicle that is unknown has nothing to be removed. With 503 it is decided, or
    a shard is away: ask again until it is done.
    """
    platform = context.platform
    name = platform.pseudonyms.of(key.fleet, vehicle_id)
    # Stored before pseudonyms were turned on: it may stand there under both names.
    before = name != vehicle_id and await platform.latest(key.fleet, vehicle_id) is not None
    removed: dict[str, int] = {}
    try:
        for one in (name, vehicle_id) if before else (name,):
            for place, count in (await platform.forget(key.fleet, one, PATIENCE_S)).items():
                removed[place] = removed.get(place, 0) + count
    finally:
        context.cache.forget(key.fleet)
    if not key.is_bootstrap:
        removed.pop("journal_bytes", None)  # how much it was tells of what other fleets send
    rewriting = await _rewriting(platform.warehouse)
    return json_answer(Forgotten(vehicle_id=name, removed=Removed(**removed), rewriting=rewriting).model_dump())


async def _rewriting(warehouse: Warehouse) -> bool:
    deadline = time.monotonic() + REWRITING_S
    while await asyncio.to_thread(being_rewritten, warehouse):
        if time.monotonic() > deadline:
            return True
        await asyncio.sleep(_LOOK_S)
    return False
