"""The page's files as they are served: from this host alone, under its policy, and the library as it was published."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.exceptions import HTTPException

from serve import page_routes
from serve.answers import Boundary, on_http_exception

PAGE = Path(page_routes.__file__).parent / "page"
OWN = sorted(str(path.relative_to(PAGE)) for path in PAGE.rglob("*") if path.is_file() and "vendor" not in path.parts)
VENDORED = sorted(str(path.relative_to(PAGE)) for path in (PAGE / "vendor").rglob("*.*s"))
_ADDRESS = re.compile(r"[a-z]+://[\w.]+")


@contextmanager
def asked(path: str, **headers: str) -> Iterator[httpx.Response]:
    app = FastAPI()
    app.include_router(page_routes.router)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_middleware(Boundary)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://canfleet.test") as client:
            return await client.get(path, headers=headers)

    yield asyncio.run(ask())


@pytest.mark.parametrize("name", [*OWN, *VENDORED])
def test_every_file_is_served_under_the_policy_and_cached_by_its_content(name: str) -> None:
    with asked(f"/page/{name}") as answer:
        assert answer.status_code == 200
        assert answer.content == (PAGE / name).read_bytes()
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    with asked(f"/page/{name}", **{"If-None-Match": answer.headers["etag"]}) as again:
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("name", OWN)
def test_no_file_names_another_host_or_makes_markup_of_text(name: str) -> None:
    text = (PAGE / name).read_text()
    # The name of the SVG namespace is no address to fetch.
    assert set(_ADDRESS.findall(text)) <= {"http://www.w3.org"}
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        " style=",
        "localStorage",
    ):
        assert forbidden not in text


@pytest.mark.parametrize(
    "name", ["", "../page_routes.py", "%2e%2e/page_routes.py", "nothing.js", "vendor/uplot/README.md"]
)
def test_nothing_else_is_served(name: str) -> None:
    with asked(f"/page/{name}") as answer:
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


def test_every_import_of_a_module_leads_to_a_file() -> None:
    for name in OWN:
        for target in re.findall(r'from "(\./[^"]+|\.\./[^"]+)"', (PAGE / name).read_text()):
            assert ((PAGE / name).parent / target).resolve().is_file(), f"{name} imports {target}"


def test_every_module_is_fetched_at_once() -> None:
    named = re.findall(r'rel="modulepreload" href="/page/([^"]+)"', (PAGE / "index.html").read_text())
    assert sorted(named) == [name for name in OWN if name.endswith(".js") and name != "app.js"]


def test_the_library_is_the_one_its_readme_names() -> None:
    folder = PAGE / "vendor" / "uplot"
    named = dict(re.findall(r"^\| `(\S+)` \| `(\w{64})` \|$", (folder / "README.md").read_text(), re.MULTILINE))
    assert set(named) == {path.name for path in folder.iterdir()} - {"README.md"}
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in named} == named
    assert "MIT" in (folder / "LICENSE").read_text()
