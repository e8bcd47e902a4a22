"""The query deployment at `/`: REST, the live feed, dead letters, keys, health, and the dashboard page."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pipeline.history.cache import AnswerCache
from serve import (
    dead_letter_routes,
    drive_routes,
    export_routes,
    fence_routes,
    fleet_history_routes,
    fleet_routes,
    forget_routes,
    health_routes,
    history_routes,
    key_routes,
    ledger_routes,
    move_routes,
    page_routes,
    position_routes,
    storage_routes,
    vehicle_routes,
)
from serve.access import Access
from serve.answers import Boundary, on_http_exception, on_validation_error
from serve.context import Context
from serve.exports import Exports
from serve.intake import Intake
from serve.live import LiveFeed
from serve.openapi import document
from serve.platform import Platform
from serve.rate_limits import RateLimits


def build_query_app(platform: Platform) -> FastAPI:
    """The ASGI application that answers from `platform`."""
    app = FastAPI(
        title="canfleet",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        generate_unique_id_function=lambda route: route.name,
        # A redirect would go to whatever host the request names.
        redirect_slashes=False,
    )
    rates = RateLimits(platform)
    cache = AnswerCache(platform.config.history.cache_bytes)
    app.state.context = Context(
        platform, rates, Access(platform, rates), LiveFeed(platform), Intake(platform), cache, Exports()
    )
    for module in (
        vehicle_routes,
        history_routes,
        fleet_history_routes,
        drive_routes,
        export_routes,
        forget_routes,
        fleet_routes,
        position_routes,
        fence_routes,
        ledger_routes,
        dead_letter_routes,
        key_routes,
        storage_routes,
        move_routes,
        health_routes,
        page_routes,
    ):
        app.include_router(module.router)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_middleware(Boundary)

    def openapi() -> dict[str, Any]:
        return document(app)

    # FastAPI's documented way to extend the schema is to replace this method.
    app.openapi = openapi  # type: ignore[method-assign]
    return app
