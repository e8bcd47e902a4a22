"""A range of a vehicle's frames as a file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, BinaryIO, Final

from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from pipeline.clickhouse.export import count_frames, fitting_end
from pipeline.history.log_files import MEDIA_TYPES, Format
from serve.answers import NO_STORE
from serve.asked import asked_range
from serve.context import ContextDep, From, QueryKey, To
from serve.moments import as_datetime
from serve.problem_examples import problem_responses
from serve.problems import ProblemError, range_too_large
from serve.vehicle_routes import VehicleId, known_vehicle, stored_as

router: Final = APIRouter(prefix="/v1/vehicles", tags=["vehicles"])

_CHUNK: Final = 1 << 20
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]")

_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The file.",
        "content": {
            media_type: {"schema": {"type": "string", "description": "The file."}, "example": "…"}
            for media_type in dict.fromkeys(MEDIA_TYPES.values())
        },
    }
}


@router.get(
    "/{vehicle_id}/export",
    summary="Frames of a range as a file",
    response_class=StreamingResponse,
    responses=_RESPONSES | problem_responses("not-found", "range-too-large", "warehouse-error"),
)
async def export_frames(
    *,
    context: ContextDep,
    key: QueryKey,
    vehicle_id: VehicleId,
    start: From = None,
    end: To = None,
    form: Annotated[
        Format,
        Query(alias="format", description="Of the file; the logs are as python-can writes them.", examples=["mf4"]),
    ] = "parquet",
) -> Response:
    """The stored frames of a vehicle in order of time: the last hour up to now unless a range is given.

    Parquet keeps every column that frames are sent with, and `received_at`; ASC, BLF and MF4 keep what those formats
    have: time, id, data, channel. A range with more frames than `history.max_export_frames` is refused, and the answer
    says how far it may go.
    """
    asked = asked_range(start, end)
    vehicle_id = stored_as(context, key, vehicle_id)
    await known_vehicle(context, key.fleet, vehicle_id)
    warehouse, most = context.platform.warehouse, context.platform.config.history.max_export_frames
    frames = await asyncio.to_thread(count_frames, warehouse, key.fleet, vehicle_id, asked.since, asked.until)
    if frames > most:
        fits = await asyncio.to_thread(fitting_end, warehouse, key.fleet, vehicle_id, asked.since, asked.until, most)
        raise ProblemError(range_too_large(frames, most, fits, as_datetime(fits).isoformat()))
    file = await context.exports.file(warehouse, key.fleet, vehicle_id, asked.since, asked.until, form)
    size = file.seek(0, 2)
    file.seek(0)
    name = f"{_ODD.sub('_', vehicle_id)}.{form}"
    headers = NO_STORE | {"Content-Length": str(size), "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(_chunks(file), headers=headers, media_type=MEDIA_TYPES[form])


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk
