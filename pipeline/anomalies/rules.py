"""Settings, resolved once into one row of numbers per signal, which the kernel reads instead of names."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from pipeline.anomalies.settings import AnomalySettings, SignalOverride
from pipeline.types import F64, Bools

RULE = np.dtype(
    [
        ("low", np.float64),  # out_of_range: lowest and highest normal value, tolerance included
        ("high", np.float64),
        ("span", np.float64),  # width of the range, infinite where unknown
        ("circle", np.bool_),  # the range is a full circle: its ends are neighbours
        ("rest_low", np.float64),  # at or beyond these, near a bound, the signal is at rest
        ("rest_high", np.float64),
        ("z", np.float64),  # sudden_deviation; infinite switches it off
        ("margin", np.float64),
        ("at_once", np.float64),  # jump that is reported without waiting for the next value
        ("limit", np.float64),  # rate_of_change: configured limit, infinite where learned
        ("factor", np.float64),  # times the learned rate; infinite where configured or off
        ("still_s", np.float64),  # stuck; infinite switches it off
        ("still_samples", np.float64),
        ("still_factor", np.float64),
        ("discrete", np.bool_),  # states, not quantities: only out_of_range applies
    ],
    align=True,
)

FRAME_RULE = np.dtype(
    [
        ("cycles", np.float64),  # missing_message; infinite switches it off
        ("absent_s", np.float64),
        ("faster", np.float64),  # flood; infinite switches it off
        ("burst", np.int64),
        ("burst_us", np.int64),
        ("unknown", np.bool_),  # unknown_arbitration_id
        ("background_us", np.int64),
        ("unknown_ids", np.int64),
        ("warm_frames", np.int64),
        ("warm_samples", np.int64),
        ("warm_us", np.int64),
    ],
    align=True,
)

_REST: Final = 0.02
"""Share of the range next to a bound where a signal is at rest: a released pedal, a standing wheel."""

_CIRCLES: Final = (360.0, 2.0 * math.pi)
"""Widths of the range of an angle, in degrees and in radians."""

_Model = TypeVar("_Model", bound=BaseModel)


def resolve_signals(
    settings: AnomalySettings,
    names: Sequence[str],
    minimum: F64,
    maximum: F64,
    discrete: Bools,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Rules of every signal, and the override patterns that match none of them.

    Args:
        settings: general thresholds and overrides.
        names: `Message.Signal` of each of `k` signals.
        minimum: float64[k], NaN where the database has none.
        maximum: float64[k], likewise.
        discrete: bool[k], signals whose values are states.

    Complexity: O(k · overrides), once at start.
    """
    rules = np.zeros(len(names), RULE)
    used: set[str] = set()
    for index, name in enumerate(names):
        detectors = {key: getattr(settings, key) for key in SignalOverride.model_fields}
        for pattern, override in settings.signals.items():
            if fnmatchcase(name, pattern):
                used.add(pattern)
                for key in override.model_fields_set:
                    detectors[key] = _merged(detectors[key], getattr(override, key))
        rules[index] = _rule(detectors, float(minimum[index]), float(maximum[index]), bool(discrete[index]))
    return rules, tuple(pattern for pattern in settings.signals if pattern not in used)


def resolve_frames(settings: AnomalySettings, *, have_databases: bool) -> NDArray[Any]:
    """One row of rules about frames, shape (1,). Without any database no id is unknown: there is nothing to know."""
    missing, flood, unknown = settings.missing_message, settings.flood, settings.unknown_arbitration_id
    rule = np.zeros(1, FRAME_RULE)
    rule["cycles"] = missing.cycles if missing.enabled else math.inf
    rule["absent_s"] = missing.seconds
    rule["faster"] = flood.factor if flood.enabled else math.inf
    rule["burst"] = flood.frames
    rule["burst_us"] = round(flood.seconds * 1e6)
    rule["unknown"] = unknown.enabled and have_databases
    rule["background_us"] = round(unknown.background_seconds * 1e6)
    rule["unknown_ids"] = unknown.ids_per_vehicle
    rule["warm_frames"] = settings.warmup_frames
    rule["warm_samples"] = settings.warmup_samples
    rule["warm_us"] = round(settings.warmup_seconds * 1e6)
    return rule


def _merged(base: _Model, override: _Model) -> _Model:
    """`base` with the fields that the override names explicitly."""
    return base.model_copy(update={key: getattr(override, key) for key in override.model_fields_set})


def _rule(detectors: dict[str, Any], minimum: float, maximum: float, discrete: bool) -> tuple[Any, ...]:
    bounds, jump, rate, stuck = (detectors[key] for key in SignalOverride.model_fields)
    low = minimum if bounds.minimum is None else bounds.minimum
    high = maximum if bounds.maximum is None else bounds.maximum
    known = math.isfinite(low) and math.isfinite(high) and high > low
    size = max((abs(bound) for bound in (low, high) if math.isfinite(bound)), default=0.0)
    slack = bounds.tolerance * size
    span = high - low if known else math.inf
    return (
        low - slack if bounds.enabled and not math.isnan(low) else -math.inf,
        high + slack if bounds.enabled and not math.isnan(high) else math.inf,
        span,
        any(abs(span - circle) <= 0.005 * circle for circle in _CIRCLES),
        low + _REST * span if known else 0.0,
        high - _REST * span if known else math.inf,
        jump.z if jump.enabled else math.inf,
        jump.margin,
        jump.range_share * span,
        rate.per_second if rate.enabled and rate.per_second is not None else math.inf,
        rate.factor if rate.enabled and rate.per_second is None else math.inf,
        stuck.seconds if stuck.enabled else math.inf,
        stuck.samples,
        stuck.factor,
        discrete,
    )
