"""The dashboard page and the API listing: static files, no other host, under a strict content policy."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response

from serve.docs_page import render
from serve.problems import ProblemError, not_found

router: Final = APIRouter(include_in_schema=False)

_FOLDER: Final = Path(__file__).parent / "page"
_TYPES: Final = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css"}
_FILES: Final = {str(path.relative_to(_FOLDER)): path for path in _FOLDER.rglob("*") if path.suffix in _TYPES}
"""What is served, by name: a path that a request makes up reaches no file."""
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


@router.get("/page/{name:path}")
async def part(request: Request, name: str) -> Response:
    """Its scripts and styles."""
    return _file(request, name)


@router.get("/docs")
async def docs(request: Request) -> Response:
    """The API as a page to read."""
    return Response(render(request.app.openapi()), headers=_HEADERS, media_type=_TYPES[".html"])


def _file(request: Request, name: str) -> Response:
    if name not in _FILES:
        raise ProblemError(not_found(f"the page has no file `{name[:64]}`"))
    body = _FILES[name].read_bytes()
    headers = _HEADERS | {"ETag": f'"{hashlib.sha256(body).hexdigest()[:32]}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=_TYPES[_FILES[name].suffix])
