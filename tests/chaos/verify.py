"""After the last fault: wait until all is stored, then hold ClickHouse against what was acknowledged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import polars as pl

from canfleet import api
from canfleet.benchmark.verify import wait_until
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import CanfleetError
from pipeline.types import I64, Bools
from tests.chaos.compare import Difference, compare
from tests.chaos.traffic import FLEETS, VEHICLES, Traffic

STORE_TIMEOUT_S: Final = 300.0
_COMPARE_TIMEOUT_S: Final = 600
"""For one answer of ClickHouse, which goes through all there is after half an hour of chaos."""
_VEHICLES_AT_ONCE: Final = 50
_EXAMPLES: Final = 3

_FRAMES: Final = """
SELECT vehicle_id, toUnixTimestamp64Micro(f.timestamp) AS time, session, sequence, channel, arbitration_id,
    is_extended, data
FROM frames AS f WHERE fleet = {fleet:String} AND vehicle_id IN {vehicles:Array(String)}
"""
_STRAY: Final = (
    "SELECT count() AS n FROM frames WHERE fleet NOT IN {fleets:Array(String)} OR vehicle_id NOT LIKE 'veh-%'"
)
_SIGNALS: Final = "SELECT count() AS n, countIf(isFinite(value)) AS finite FROM signals"
_SIGNALS_OF: Final = "SELECT count() AS n FROM signals WHERE fleet IN {fleets:Array(String)}"
_DOUBLED_SIGNALS: Final = """
SELECT sum(rows - distinct) AS n FROM (
    SELECT count() AS rows, uniqExact(message, signal, timestamp) AS distinct
    FROM signals GROUP BY fleet, vehicle_id SETTINGS optimize_aggregation_in_order = 1)
"""
_ROLLED_UP: Final = (
    "SELECT (SELECT sum(count) FROM signals_1m) AS minutes, (SELECT sum(count) FROM signals_1h) AS hours"
)
_ROLLUPS_APART: Final = """
SELECT fleet, vehicle_id, message, signal, toString(timestamp) AS at,
    (raw.count, raw.min, raw.max) AS of_values, (rolled.count, rolled.min, rolled.max) AS of_rollup
FROM (
    SELECT fleet, vehicle_id, message, signal, {start}(s.timestamp) AS timestamp,
        count() AS count, min(value) AS min, max(value) AS max
    FROM signals AS s WHERE isFinite(value) AND vehicle_id IN {{vehicles:Array(String)}} GROUP BY ALL) AS raw
FULL JOIN (SELECT * FROM {table} WHERE vehicle_id IN {{vehicles:Array(String)}}) AS rolled
    USING (fleet, vehicle_id, message, signal, timestamp)
WHERE raw.count != rolled.count OR raw.min != rolled.min OR raw.max != rolled.max
"""
_ROLLUPS: Final = {"signals_1m": "toStartOfMinute", "signals_1h": "toStartOfHour"}
_LETTERS: Final = "SELECT DISTINCT toInt64OrZero(extract(payload, 'bad-([0-9]+)')) AS n FROM dead_letters"


@dataclass(slots=True)
class Verdict:
    """What ClickHouse and the ledger say.

    Attributes:
        frames: row by row; see `Difference`.
        stray: rows of fleets or vehicles that nobody sent as.
        signals, signals_expected, signals_doubled: values stored, those of the stored frames, rows too many.
        rollups_apart: minutes and hours of a signal whose count, minimum or maximum is not that of its values.
        rollups_lack: values that the minutes count less, or more where negative, than there are.
        examples: the first few of the rollups that are apart.
        letters_lost: acknowledged bad rows without a dead letter.
        ledgers: by fleet, as `/v1/ledger` gives them, with `differences`, empty where it is exact.
        stored_after_s: how long it took after the last request until nothing was pending; None: something still is.
    """

    frames: Difference = field(default_factory=Difference)
    stray: int = 0
    signals: int = 0
    signals_expected: int = 0
    signals_doubled: int = 0
    rollups_apart: int = 0
    rollups_lack: int = 0
    examples: list[str] = field(default_factory=list)
    letters_expected: int = 0
    letters_lost: int = 0
    ledgers: dict[str, dict[str, Any]] = field(default_factory=dict)
    stored_after_s: float | None = None

    def faults(self) -> list[str]:
        """Everything that is not as promised, a line each; empty where all is."""
        found = {name: getattr(self.frames, name) for name in ("lost", "doubled", "unexpected", "changed")}
        lines = [f"{count} frames {name}" for name, count in found.items() if count]
        counts = {
            name: getattr(self, name)
            for name in ("stray", "signals_doubled", "rollups_apart", "rollups_lack", "letters_lost")
        }
        lines += [f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count]
        if self.signals != self.signals_expected:
            lines.append(f"{self.signals} signals stored, the stored frames carry {self.signals_expected}")
        lines += [f"ledger of {fleet}: {line}" for fleet, one in self.ledgers.items() for line in one["differences"]]
        return lines

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self) | {"faults": self.faults()}


def verify(
    url: str,
    keys: list[str],
    clickhouse: str,
    traffic: Traffic,
    acknowledged: Bools,
    skews_us: I64,
    bad: list[int],
    others: Sequence[str] = (),
) -> Verdict:
    """Wait, then compare everything.

    Args:
        url, keys: of the platform, the keys in the order of FLEETS.
        clickhouse: URL of its ClickHouse.
        traffic: what was sent.
        acknowledged, skews_us: by request, see `Traffic.expected`.
        bad: numbers of the acknowledged requests that had a bad row.
        others: further fleets that sent, of which nothing is known but that their values and rollups must agree.

    Raises:
        CanfleetError: the platform or ClickHouse does not answer any more.
    """
    warehouse = Warehouse.connect(WarehouseSettings(url=clickhouse, timeout_s=_COMPARE_TIMEOUT_S))
    verdict = Verdict(letters_expected=len(bad))
    try:
        ledgers = _settled(url, keys, verdict)
        wait_until(lambda: not _rollups_lack(warehouse), STORE_TIMEOUT_S / 2, 0.5)
        for number, fleet in enumerate(FLEETS):
            stored = 0
            for first in range(0, VEHICLES, _VEHICLES_AT_ONCE):
                end = min(first + _VEHICLES_AT_ONCE, VEHICLES)
                expected = traffic.expected(number, first, end, acknowledged, skews_us)
                rows = _stored(warehouse, fleet, traffic.vehicle_ids(first, end))
                found = compare(expected, rows)
                verdict.frames.add(found)
                stored += found.stored
            verdict.ledgers[fleet] = ledgers[fleet] | {"differences": _differences(ledgers[fleet], stored)}
        verdict.stray = _count(warehouse, _STRAY, {"fleets": [*FLEETS, *others]})
        verdict.signals = _count(warehouse, _SIGNALS_OF, {"fleets": list(FLEETS)})
        verdict.signals_expected = verdict.frames.values
        verdict.signals_doubled = _count(warehouse, _DOUBLED_SIGNALS)
        verdict.rollups_lack = _rollups_lack(warehouse)
        apart = [row for rows in _rollups_apart(warehouse, traffic) for row in rows]
        verdict.rollups_apart = len(apart)
        verdict.examples = [f"rollup apart: {row}" for row in apart[:_EXAMPLES]]
        letters = set(warehouse.arrow(_LETTERS).column("n").to_pylist())
        verdict.letters_lost = len(set(bad) - letters)
    finally:
        warehouse.close()
    return verdict


def _settled(url: str, keys: list[str], verdict: Verdict) -> dict[str, dict[str, Any]]:
    """The fleets' ledgers once nothing is pending, or the time is up."""
    latest: dict[str, dict[str, Any]] = {}

    def nothing_pending() -> bool:
        try:
            for fleet, key in zip(FLEETS, keys, strict=True):
                latest[fleet] = api.get(url, "/v1/ledger", key)
        except CanfleetError:
            return False  # restarting still
        return not any(ledger["pending"] for ledger in latest.values())

    waited_s = wait_until(nothing_pending, STORE_TIMEOUT_S)
    verdict.stored_after_s = waited_s if waited_s < STORE_TIMEOUT_S else None
    if len(latest) < len(FLEETS):
        raise CanfleetError(f"{url} has not answered for {STORE_TIMEOUT_S:g} s")
    return latest


def _differences(ledger: dict[str, Any], rows: int) -> list[str]:
    """What does not add up in a ledger, when `rows` frames are stored."""
    parts = ledger["accepted"] + ledger["duplicates"] + ledger["dead_lettered"]
    pairs = {
        "received against accepted + duplicates + dead-lettered": (ledger["received"], parts),
        "accepted against stored": (ledger["accepted"], ledger["stored"]),
        "pending against 0": (ledger["pending"], 0),
        "stored against the rows in ClickHouse": (ledger["stored"], rows),
    }
    return [f"{what}: {left} and {right}" for what, (left, right) in pairs.items() if left != right]


def _stored(warehouse: Warehouse, fleet: str, vehicles: list[str]) -> pl.DataFrame:
    rows = warehouse.arrow(_FRAMES, {"fleet": fleet, "vehicles": vehicles}, output_format_arrow_string_as_string=0)
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col("vehicle_id").cast(pl.String))


def _rollups_lack(warehouse: Warehouse) -> int:
    finite = int(warehouse.rows(_SIGNALS)[0]["finite"])
    rolled = warehouse.rows(_ROLLED_UP)[0]
    lack = finite - int(rolled["minutes"] or 0)
    return lack or finite - int(rolled["hours"] or 0)


def _rollups_apart(warehouse: Warehouse, traffic: Traffic) -> Iterator[list[dict[str, Any]]]:
    for table, start in _ROLLUPS.items():
        for first in range(0, VEHICLES, _VEHICLES_AT_ONCE):
            vehicles = traffic.vehicle_ids(first, min(first + _VEHICLES_AT_ONCE, VEHICLES))
            yield warehouse.rows(_ROLLUPS_APART.format(table=table, start=start), {"vehicles": vehicles})


def _count(warehouse: Warehouse, sql: str, parameters: dict[str, Any] | None = None) -> int:
    return int(warehouse.rows(sql, parameters)[0]["n"] or 0)
