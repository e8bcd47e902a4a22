"""W3C trace contexts, `00-<trace id>-<span id>-<flags>`: what they say, without OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterable

_SAMPLED = 1


def is_sampled(traceparent: str) -> bool:
    """Whether the spans of a well-formed trace context are recorded."""
    return bool(int(traceparent[-2:], 16) & _SAMPLED)


def trace_id_of(traceparent: str) -> str:
    """The 32 hexadecimal digits that all spans of a trace share."""
    return traceparent[3:35]


def span_id_of(traceparent: str) -> str:
    """The 16 hexadecimal digits of the span whose children are begun."""
    return traceparent[36:52]


def sampled(traceparents: Iterable[str], most: int) -> list[str]:
    """Those whose spans are recorded, in their order, `most` at most."""
    found = [one for one in traceparents if is_sampled(one)]
    return found[:most]
