"""What the warehouse takes on disk, for the bootstrap key: its tables hold every fleet's rows."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from pipeline.clickhouse.storage import overview
from serve.answers import json_answer
from serve.context import AdminKey, ContextDep
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, not_the_operator

router: Final = APIRouter(prefix="/v1", tags=["operation"])

MOST_FRAMES_PER_S: Final = 1e9


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class StorageTier(_Answer):
    """One table on one tier."""

    table: str = Field(examples=["frames"])
    tier: str = Field(description="`hot` or `cold`.", examples=["hot"])
    parts: int = Field(examples=[12])
    rows: int = Field(examples=[4_320_000_000])
    bytes: int = Field(description="On disk, indexes and marks included.", examples=[31_000_000_000])
    ratio: float = Field(description="Uncompressed bytes of the columns by compressed ones.", examples=[6.2])
    usd_per_month: float = Field(description="At the configured price.", examples=[2.48])


class StorageMonth(_Answer):
    """What a rate takes, extrapolated from what the present rows take."""

    frames_per_s: float = Field(examples=[50_000.0])
    bytes_per_frame: float = Field(description="Of everything that a frame becomes, hot.", examples=[10.4])
    month_bytes: float = Field(description="Of 30 days, hot.", examples=[1.35e12])
    month_usd: float = Field(description="A month's price of those bytes.", examples=[108.0])
    kept_hot_bytes: float = Field(description="Hot, once the retention is reached.", examples=[9.1e11])
    kept_cold_bytes: float = Field(description="Cold, likewise.", examples=[7.8e12])
    kept_usd: float = Field(description="A month's price of both.", examples=[252.2])


class Storage(_Answer):
    """What the warehouse takes, and what it will."""

    tiers: list[StorageTier]
    inserted_per_s: dict[str, float] = Field(
        description="Rows that each table got a second, over the last five minutes.", examples=[{"frames": 49_870.0}]
    )
    month: StorageMonth | None = Field(description="Null while there are no frames to learn from.")


@router.get(
    "/storage",
    summary="What the warehouse takes",
    response_model=Storage,
    responses=problem_responses("every-fleet", "warehouse-error"),
)
async def storage(
    context: ContextDep,
    key: AdminKey,
    rate: Annotated[
        float | None,
        Query(
            ge=0,
            le=MOST_FRAMES_PER_S,
            allow_inf_nan=False,
            description="Frames a second to extrapolate to; the rate of the last five minutes if absent.",
            examples=[50_000],
        ),
    ] = None,
) -> Response:
    """Parts, rows, bytes, compression and cost by table and tier, and what a month takes.

    For the bootstrap key, since the numbers are of all fleets together. Answered also while the cold volume is away.
    """
    if not key.is_bootstrap:
        raise ProblemError(not_the_operator("The storage is that of all fleets together"))
    found = await asyncio.to_thread(partial(overview, context.platform.warehouse, rate))
    return json_answer(asdict(found))
