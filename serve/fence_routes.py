"""The fleet's geofences as they are configured: outlines for a map."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from serve.answers import json_answer
from serve.context import ContextDep, QueryKey

router: Final = APIRouter(prefix="/v1", tags=["fleet"])


class _Answer(BaseModel):
    model_config = ConfigDict(extra="allow")


class FenceCircle(_Answer):
    """A fence around a point."""

    latitude: float = Field(description="Degrees.", examples=[48.137])
    longitude: float = Field(description="Degrees.", examples=[11.576])
    radius_m: float = Field(examples=[250.0])


class Fence(_Answer):
    """One fence: a circle or a polygon; the other is null."""

    name: str = Field(examples=["depot"])
    circle: FenceCircle | None
    polygon: list[tuple[float, float]] | None = Field(
        description="Corners in order, latitude first; the last is joined to the first.", examples=[None]
    )
    margin_m: float = Field(description="A vehicle has left once it is farther out than this.", examples=[30.0])


class Fences(_Answer):
    """The fences of a fleet, by name."""

    fences: list[Fence]


@router.get("/fleet/geofences", summary="The fleet's geofences", response_model=Fences)
async def fleet_geofences(context: ContextDep, key: QueryKey) -> Response:
    """The fences of `history.geofences` that are for the key's fleet.

    What a vehicle did at them tells `GET /v1/vehicles/{vehicle_id}/geofences`.
    """
    found: list[dict[str, Any]] = [
        {"name": name, **fence.model_dump(mode="json", include={"circle", "polygon", "margin_m"})}
        for name, fence in sorted(context.platform.config.history.fences_of(key.fleet).items())
    ]
    return json_answer({"fences": found})
