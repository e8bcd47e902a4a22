"""Measure: what endpoints tell the metrics, once a request or message."""

from __future__ import annotations

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from actors.metrics import Metrics
from pipeline.history.cache import AnswerCache
from pipeline.metrics import (
    ACKNOWLEDGEMENT_SECONDS,
    ANSWER_SECONDS,
    CACHE_BYTES,
    CACHE_LOOKUPS,
    LETTERS_FILLED,
    REFUSED_FRAMES,
    REFUSED_REQUESTS,
    STREAMS,
    Metric,
)
from serve.asgi import PostEndpoint
from serve.dead_letter_room import DeadLetterRoom
from serve.stream import StreamEndpoint

PROBES: Final = ("/healthz", "/readyz")
"""Asked by machines each second, and refused on purpose while a platform starts: no part of what users are promised."""


def measure(endpoint: PostEndpoint, metrics: Metrics) -> None:
    """Have `endpoint` count its answers, named by the last part of its path."""
    name = endpoint.path.rpartition("/")[2]
    endpoint.on_answer = lambda status, seconds: _answered(metrics, name, status, seconds)
    endpoint.on_refused_frames = lambda frames: metrics.add(REFUSED_FRAMES, (name,), frames)


def measure_stream(endpoint: StreamEndpoint, metrics: Metrics) -> None:
    """Have `endpoint` count its answers, and its connections."""
    endpoint.on_answer = lambda status, seconds: _answered(metrics, "stream", status, seconds)
    metrics.keep_up(lambda: [(STREAMS, (), endpoint.connections)], "streams")


def measured(app: ASGIApp, metrics: Metrics) -> ASGIApp:
    """`app` with its answers counted, once the head of each has gone: a live feed goes on for hours behind it."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.monotonic()

        async def send_and_count(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                _tell(metrics, ANSWER_SECONDS, (), "query", message["status"], time.monotonic() - began)

        counts = scope["type"] == "http" and scope["path"] not in PROBES
        await app(scope, receive, send_and_count if counts else send)

    return wrapped


def measure_letters(room: DeadLetterRoom, metrics: Metrics) -> None:
    """Tell how full each fleet's dead letters are."""
    metrics.keep_up(lambda: [(LETTERS_FILLED, (fleet,), part) for fleet, part in room.filled().items()], "letters")


def measure_cache(cache: AnswerCache, metrics: Metrics) -> None:
    """Have `cache` count its look-ups, and tell its size."""
    cache.on_lookup = lambda hit: metrics.add(CACHE_LOOKUPS, ("hit" if hit else "miss",), 1)
    metrics.keep_up(lambda: [(CACHE_BYTES, (), cache.bytes)], "history-cache")


def _answered(metrics: Metrics, name: str, status: int, seconds: float) -> None:
    _tell(metrics, ACKNOWLEDGEMENT_SECONDS, (name,), name, status, seconds)


def _tell(metrics: Metrics, timed: Metric, labels: tuple[str, ...], endpoint: str, status: int, seconds: float) -> None:
    if status < 400:
        metrics.observe(timed, labels, seconds)
    else:
        metrics.add(REFUSED_REQUESTS, (endpoint, str(status)), 1)
