"""The dashboard page and the API listing: static files, no other host, under a strict content policy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from serve.docs_page import render

router: Final = APIRouter(include_in_schema=False)

_FOLDER: Final = Path(__file__).parent / "page"
_TYPES: Final = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


@router.get("/")
async def page(request: Request) -> Response:
    """The dashboard page."""
    return _file(request, "index.html")


@router.get("/page/app.js")
async def script(request: Request) -> Response:
    """Its script."""
    return _file(request, "app.js")


@router.get("/page/style.css")
async def style(request: Request) -> Response:
    """Its style."""
    return _file(request, "style.css")


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API as a page to read."""
    return Response(render(request.app.openapi()), headers=_HEADERS, media_type=_TYPES[".html"])


def _file(request: Request, name: str) -> Response:
    body = (_FOLDER / name).read_bytes()
    headers = _HEADERS | {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=_TYPES[Path(name).suffix])
