"""One call to a running platform's HTTP API, for the commands that talk to one."""

from __future__ import annotations

from typing import Annotated, Any, Final

import httpx
import typer

from pipeline.errors import CanfleetError

DEFAULT_URL: Final = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option(help="Base URL of the platform.")]
Key = Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="An API key.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def get(url: str, path: str, key: str | None, parameters: dict[str, Any] | None = None, timeout_s: float = 30) -> Any:  # noqa: ANN401
    """The JSON answer of a GET.

    Raises:
        CanfleetError: nothing answers at `url`, or it answered with a problem.
    """
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{url.rstrip('/')}{path}", headers=headers, params=parameters, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CanfleetError(f"nothing answers at {url}: {error or type(error).__name__}") from error
    if answer.is_success:
        return answer.json()
    try:
        problem = answer.json()
        detail = problem.get("detail") or problem.get("title")
    except ValueError:
        detail = answer.text[:200]
    raise CanfleetError(f"{url}{path} answered {answer.status_code}: {detail}")
