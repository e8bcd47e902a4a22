"""Measure: what an endpoint that takes frames in tells the metrics, once a request."""

from __future__ import annotations

from actors.metrics import Metrics
from pipeline.metrics import ACKNOWLEDGEMENT_SECONDS, REFUSED_FRAMES, REFUSED_REQUESTS
from serve.asgi import PostEndpoint


def measure(endpoint: PostEndpoint, metrics: Metrics) -> None:
    """Have `endpoint` count its answers, named by the last part of its path."""
    name = endpoint.path.rpartition("/")[2]

    def answered(status: int, seconds: float) -> None:
        if status < 400:
            metrics.observe(ACKNOWLEDGEMENT_SECONDS, (name,), seconds)
        else:
            metrics.add(REFUSED_REQUESTS, (name, str(status)), 1)

    endpoint.on_answer = answered
    endpoint.on_refused_frames = lambda frames: metrics.add(REFUSED_FRAMES, (name,), frames)
