"""One call to a running platform's HTTP API, for the commands that talk to one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer

from pipeline.errors import CanfleetError

DEFAULT_URL: Final = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option(help="Base URL of the platform.")]
Key = Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="An API key.")]
AdminKey = Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="A key with scope admin.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def get(
    url: str, path: str, key: str | None, parameters: Mapping[str, Any] | None = None, timeout_s: float = 30.0
) -> Any:  # noqa: ANN401
    """The JSON answer of a GET; see `call`."""
    return call("GET", url, path, key, query=parameters, timeout_s=timeout_s)


def call(
    method: str,
    url: str,
    path: str,
    key: str | None,
    *,
    query: Mapping[str, Any] | None = None,
    body: object = None,
    timeout_s: float = 30.0,
) -> Any:  # noqa: ANN401
    """The JSON answer of a request with an optional JSON body; parameters that are None are left out.

    Raises:
        CanfleetError: nothing answers at `url`, or it answered with a problem.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    given = {name: value for name, value in (query or {}).items() if value is not None}
    try:
        answer = httpx.request(
            method, f"{url.rstrip('/')}{path}", headers=headers, params=given, json=body, timeout=timeout_s
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CanfleetError(f"nothing answers at {url}: {error or type(error).__name__}") from error
    if answer.is_success:
        return answer.json()
    raise _refused(answer, url, path)


def download(url: str, path: str, key: str, query: Mapping[str, Any], file: Path, timeout_s: float) -> int:
    """Write the body of a GET's answer to `file`, which appears once it is whole; its size in bytes.

    Raises:
        CanfleetError: as of `call`, or the file cannot be written.
    """
    given = {name: value for name, value in query.items() if value is not None}
    part = file.with_name(file.name + ".part")
    try:
        with httpx.stream(
            "GET",
            f"{url.rstrip('/')}{path}",
            headers={"Authorization": f"Bearer {key}"},
            params=given,
            timeout=timeout_s,
        ) as answer:
            if not answer.is_success:
                answer.read()
                raise _refused(answer, url, path)
            with part.open("wb") as sink:
                for piece in answer.iter_bytes():
                    sink.write(piece)
        part.replace(file)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        part.unlink(missing_ok=True)
        raise CanfleetError(f"nothing answers at {url}: {error or type(error).__name__}") from error
    except OSError as error:
        raise CanfleetError(f"{file} cannot be written: {error.strerror}") from error
    return file.stat().st_size


def _refused(answer: httpx.Response, url: str, path: str) -> CanfleetError:
    try:
        problem = answer.json()
        detail = problem.get("detail") or problem.get("title")
    except ValueError:
        detail = answer.text[:200]
    return CanfleetError(f"{url}{path} answered {answer.status_code}: {detail}")
