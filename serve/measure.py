"""Measure: what endpoints that take frames in tell the metrics, once a request or message."""

from __future__ import annotations

from actors.metrics import Metrics
from pipeline.history.cache import AnswerCache
from pipeline.metrics import (
    ACKNOWLEDGEMENT_SECONDS,
    CACHE_BYTES,
    CACHE_LOOKUPS,
    REFUSED_FRAMES,
    REFUSED_REQUESTS,
    STREAMS,
)
from serve.asgi import PostEndpoint
from serve.stream import StreamEndpoint


def measure(endpoint: PostEndpoint, metrics: Metrics) -> None:
    """Have `endpoint` count its answers, named by the last part of its path."""
    name = endpoint.path.rpartition("/")[2]
    endpoint.on_answer = lambda status, seconds: _answered(metrics, name, status, seconds)
    endpoint.on_refused_frames = lambda frames: metrics.add(REFUSED_FRAMES, (name,), frames)


def measure_stream(endpoint: StreamEndpoint, metrics: Metrics) -> None:
    """Have `endpoint` count its answers, and its connections."""
    endpoint.on_answer = lambda status, seconds: _answered(metrics, "stream", status, seconds)
    metrics.keep_up(lambda: [(STREAMS, (), endpoint.connections)], "streams")


def measure_cache(cache: AnswerCache, metrics: Metrics) -> None:
    """Have `cache` count its look-ups, and tell its size."""
    cache.on_lookup = lambda hit: metrics.add(CACHE_LOOKUPS, ("hit" if hit else "miss",), 1)
    metrics.keep_up(lambda: [(CACHE_BYTES, (), cache.bytes)], "history-cache")


def _answered(metrics: Metrics, name: str, status: int, seconds: float) -> None:
    if status < 400:
        metrics.observe(ACKNOWLEDGEMENT_SECONDS, (name,), seconds)
    else:
        metrics.add(REFUSED_REQUESTS, (name, str(status)), 1)
