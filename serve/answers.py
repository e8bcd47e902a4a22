"""How the query application answers: JSON, problems, and the boundary that turns every failure into one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_from_bytes

import orjson
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.faults import problem_of
from serve.problems import MEDIA_TYPE, Problem, ProblemError, bad_request, method_not_allowed, not_found
from serve.request_id import request_id_of
from serve.steady import SteadyBody

_ASCII: Final = bytes(range(128))
NO_STORE: Final = {"Cache-Control": "no-store"}


def json_body(data: object) -> bytes:
    """`data` as JSON; NaN and infinities, which JSON does not know, become null."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


def json_answer(data: object, status: int = 200, headers: Mapping[str, str] = NO_STORE) -> Response:
    """An answer of `data`: see `json_body`."""
    return Response(json_body(data), status, dict(headers), media_type="application/json")


def problem_answer(problem: Problem, request_id: str) -> Response:
    """`problem` as application/problem+json."""
    body = problem.body(f"urn:canfleet:request:{request_id}")
    return Response(body, problem.status, dict(problem.headers) | NO_STORE, media_type=MEDIA_TYPE)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer for what routing refuses: an unknown path or a wrong method."""
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, ProblemError):  # FastAPI calls whatever happens while it reads a body a 400
        problem = error.__cause__.problem
    elif error.status_code == 405:
        problem = method_not_allowed(_methods_of(request) or ["GET"])
    elif error.status_code == 400:
        problem = bad_request(str(error.detail))
    elif error.status_code == 404:
        problem = not_found(f"there is nothing at {request.url.path}")
    else:
        problem = Problem("http-error", error.status_code, "HTTP error", str(error.detail), error.headers or {})
    return problem_answer(problem, request.state.request_id)


def _methods_of(request: Request) -> set[str]:
    """The methods that the request's path has. The router tells those of the first route alone that the path fits."""
    return {
        method.upper()
        for template, methods in request.app.openapi()["paths"].items()
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", template), request.url.path, re.DOTALL)
        for method in methods
    }


async def on_validation_error(request: Request, error: Exception) -> Response:
    """Answer for a parameter or body that does not fit its model: 400, naming the first fault."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return problem_answer(bad_request(f"{where}: {first['msg']}"), request.state.request_id)


class Boundary:
    """ASGI middleware: gives each request its id, and answers whatever an endpoint raises with a problem."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(dict(scope["headers"]))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                rates = state["rate_headers"]() if "rate_headers" in state else ()
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *rates]
            await send(message)

        if not scope["query_string"].isascii():
            # As it should have been sent: the router fails where it needs the text of the URL.
            scope["query_string"] = quote_from_bytes(scope["query_string"], _ASCII).encode()
        try:
            await self._app(scope, SteadyBody(receive), send_with_id)
        except Exception as error:  # noqa: BLE001 (the boundary: faults.problem_of tells and logs all of them)
            problem = problem_of(error, request_id)
            # Once a stream has begun, its status is sent: all that is left is to end it.
            if not started:
                await problem_answer(problem, request_id)(scope, receive, send_with_id)
