"""How well raised anomalies match the injected truth."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ConfigError


@dataclass(frozen=True)
class Score:
    """Of one kind, or of all.

    Attributes:
        episodes: complete injected episodes; found: those with a matching anomaly.
        raised: anomalies that count, that is, true and false ones; false: those that no episode explains.
        secondary: anomalies that count neither way.
    """

    episodes: int
    found: int
    raised: int
    false: int
    secondary: int

    @property
    def recall(self) -> float:
        """Share of the episodes that were found; 1 where there were none."""
        return self.found / self.episodes if self.episodes else 1.0

    @property
    def precision(self) -> float:
        """Share of the counted anomalies that are true; 1 where there were none."""
        return 1.0 - self.false / self.raised if self.raised else 1.0


def score(
    truth: Iterable[Mapping[str, Any]], anomalies: Iterable[Mapping[str, Any]], tolerance_s: float = 10.0
) -> dict[str, Score]:
    """Scores by kind, and `overall`.

    The rule:

    - An anomaly is *true* if an episode of its vehicle and kind (and, where both name one, its signal, or for kinds
      about frames its arbitration id) spans its timestamp, from `start` to `end` + tolerance. The episode is found.
    - It is *secondary* if it is not true but falls, likewise, into any episode of its vehicle: a frozen message stops
      several signals, a spike is also a fast change, and the return of a value is a change as well. Secondary
      anomalies, and all within incomplete episodes, count neither as true nor as false.
    - Any other is *false*, and counts against its own kind's precision.
    - Incomplete episodes (the run ended within them) are not asked for.

    Args:
        truth: episodes as `Episode.as_json` gives them; a line with totals is passed over.
        anomalies: with vehicle_id, kind, timestamp (integer µs since the epoch, event time), and signal or
            arbitration_id where the kind has one.
        tolerance_s: slack behind an episode's end, in seconds.

    O((E + A) log) for the usual few episodes per vehicle.
    """
    slack = round(tolerance_s * 1e6)
    by_vehicle: dict[str, list[tuple[int, Mapping[str, Any]]]] = defaultdict(list)
    episodes: list[Mapping[str, Any]] = [line for line in truth if "totals" not in line]
    for number, episode in enumerate(episodes):
        by_vehicle[episode["vehicle_id"]].append((number, episode))
    found: set[int] = set()
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])  # true, false, secondary
    for anomaly in anomalies:
        at = int(anomaly["timestamp"])
        around = [
            (number, episode)
            for number, episode in by_vehicle.get(anomaly["vehicle_id"], ())
            if episode["start"] <= at <= episode["end"] + slack
        ]
        matching = [number for number, episode in around if _matches(episode, anomaly) and episode["complete"]]
        found.update(matching)
        counts[anomaly["kind"]][0 if matching else 2 if around else 1] += 1
    kinds = sorted({episode["kind"] for episode in episodes} | set(counts))
    scores = {kind: _score(kind, episodes, found, counts[kind]) for kind in kinds}
    totals = [sum(getattr(one, name) for one in scores.values()) for name in Score.__dataclass_fields__]
    return scores | {"overall": Score(*totals)}


def read_truth(path: Path) -> list[dict[str, Any]]:
    """The lines of a truth file.

    Raises:
        ConfigError: it cannot be read as JSON lines.
    """
    try:
        return [json.loads(line) for line in path.read_text().splitlines() if line]
    except (OSError, ValueError) as error:
        raise ConfigError(f"truth file {path}: {error}: give one that `canfleet simulate --truth` wrote") from error


def _matches(episode: Mapping[str, Any], anomaly: Mapping[str, Any]) -> bool:
    if episode["kind"] != anomaly["kind"]:
        return False
    if episode["signal"] is not None:
        # The platform may qualify a signal by its message, as in `EngineData.OilTemperature`.
        named = anomaly.get("signal")
        return not named or str(named).rpartition(".")[2] == episode["signal"]
    identifier = anomaly.get("arbitration_id")
    return identifier is None or episode["arbitration_id"] == identifier


def _score(kind: str, episodes: list[Mapping[str, Any]], found: set[int], counts: list[int]) -> Score:
    true, false, secondary = counts
    wanted = [number for number, episode in enumerate(episodes) if episode["kind"] == kind and episode["complete"]]
    return Score(len(wanted), len(found.intersection(wanted)), true + false, false, secondary)
