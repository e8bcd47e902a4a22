"""One request to the platform, and what its answer means for the batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

import httpx

from edge.backoff import retry_after_s
from edge.body import HEADERS, body
from edge.errors import SettingsError
from edge.run import Batch


class Verdict(Enum):
    """What is to become of a batch."""

    TAKEN = auto()
    """202: durable at the platform."""
    BUSY = auto()
    """429 or 503: later, when the platform says."""
    AWAY = auto()
    """No answer, or one of a server in trouble: later."""
    KEY_REFUSED = auto()
    """401 or 403: later, when somebody has mended the key."""
    CONTENT_REFUSED = auto()
    """400, 413 or 415: never as it is."""
    UNEXPECTED = auto()
    """Anything else, as a wrong URL gives: later, when somebody has looked."""


@dataclass(frozen=True)
class Answer:
    """An answer, understood.

    Attributes:
        verdict: what is to become of the batch.
        detail: the platform's words, or the reason why there are none.
        retry_after_s: the least time to wait.
        duplicates, dead_lettered: the platform's counts, with `Verdict.TAKEN`.
    """

    verdict: Verdict
    detail: str = ""
    retry_after_s: float = 0.0
    duplicates: int = 0
    dead_lettered: int = 0


_VERDICTS: Final = {
    400: Verdict.CONTENT_REFUSED,
    401: Verdict.KEY_REFUSED,
    403: Verdict.KEY_REFUSED,
    408: Verdict.AWAY,
    413: Verdict.CONTENT_REFUSED,
    415: Verdict.CONTENT_REFUSED,
    429: Verdict.BUSY,
    503: Verdict.BUSY,
}


class Delivery:
    """Sends batches to one platform over one connection. For one thread; `close` it at the end."""

    def __init__(self, url: str, key: Callable[[], str], *, timeout_s: float = 15.0) -> None:
        """Send to the platform at `url`.

        Args:
            url: base URL, `https://…` or `http://…`.
            key: gives the API key of each request, which may change.
            timeout_s: how long each step of a request may take.

        Raises:
            SettingsError: `url` is none.
        """
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise SettingsError(f"{url!r} is no URL ({error}): give one like https://canfleet.example.com") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise SettingsError(f"{url!r} is no URL: give one like https://canfleet.example.com")
        self.url = url.rstrip("/")
        self._key = key
        self._client = httpx.Client(timeout=httpx.Timeout(timeout_s, connect=min(5.0, timeout_s)))

    def send(self, batch: Batch, *, backfill: bool) -> Answer:
        """Post a batch, in the backfill lane if it is `backfill`.

        Raises:
            SettingsError: the key cannot be read, or is none that a header can carry.
        """
        key = self._key()
        if not key.isascii() or not key.isprintable():
            raise SettingsError("the API key has characters that no key has: give it as it was printed")
        headers = {**HEADERS, "Authorization": f"Bearer {key}"}
        if backfill:
            headers["X-Canfleet-Lane"] = "backfill"
        try:
            answer = self._client.post(f"{self.url}/v1/frames", content=body(batch), headers=headers)
        except httpx.HTTPError as error:
            return Answer(Verdict.AWAY, f"{self.url}: {error or type(error).__name__}")
        return self._understood(answer, len(batch.frames))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _understood(self, answer: httpx.Response, frames: int) -> Answer:
        document = _document(answer)
        if answer.status_code == httpx.codes.ACCEPTED:
            received = document.get("received", frames)
            if received == frames:
                return Answer(Verdict.TAKEN, "", 0.0, _count(document, "duplicates"), _count(document, "dead_lettered"))
            return Answer(Verdict.UNEXPECTED, f"{self.url} says it received {received!r} of {frames} frames")
        otherwise = Verdict.AWAY if answer.is_server_error else Verdict.UNEXPECTED
        words = document.get("detail") or document.get("title") or answer.text[:200].strip() or "no explanation"
        return Answer(
            _VERDICTS.get(answer.status_code, otherwise),
            f"{self.url} answered {answer.status_code}: {words}",
            retry_after_s(answer.headers.get("Retry-After")),
        )


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; empty where it holds none, as the answers of proxies do."""
    try:
        document = json.loads(answer.content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _count(document: dict[str, Any], name: str) -> int:
    value = document.get(name, 0)
    return value if isinstance(value, int) else 0
