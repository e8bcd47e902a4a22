"""Known frames: every request is a pure function of its number, so that nothing sent needs to be kept.

A simulated fleet drives for a minute; that minute is cut into requests and repeated, with times and counters that go
on. Request n belongs to fleet n % 2; both fleets have the same vehicle ids and the same traffic, so that a frame which
strays from one to the other, or is taken for the other's duplicate, shows. One vehicle in three keeps no counter. A
frame belongs to one request: what is repeated within a request, or by sending a request again, is a duplicate.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.frames.columns import FrameColumns
from pipeline.frames.schema import TIMESTAMP
from pipeline.frames.split import concat
from pipeline.types import I64, Bools
from simulator import FLEET_DBC
from simulator.body import arrow_stream
from simulator.fleet import Fleet
from simulator.injections import Injections

FLEETS: Final = ("default", "acme")
VEHICLES: Final = 300
CYCLE_US: Final = 60_000_000
_SIZES: Final = (1_000, 2_000)
_LATE: Final = 0.01
_REPEATED: Final = 0.01
_BAD_EVERY: Final = 15
"""Odd, so that every fleet has some."""
_BAD_ID: Final = 0x3FFF_FFFF
"""No arbitration id has 30 bits: the row is a dead letter."""

SKEWED_VEHICLES: Final = 20
"""The vehicles with the lowest numbers are those whose clocks can be wrong."""


class Body(NamedTuple):
    """A request as it is sent.

    Attributes:
        content: Arrow IPC stream.
        rows: all of them, duplicates and bad ones included.
        bad: rows that must become dead letters; their vehicle is `bad-NUMBER`.
    """

    content: bytes
    rows: int
    bad: int


class Traffic:
    """Requests number 0, 1, 2 … at `rate` frames/s over all fleets. 30 MB; a body takes a millisecond."""

    def __init__(self, seed: int, rate: float, base_us: int) -> None:
        """Let the fleet drive. `base_us` (µs since the epoch) is the time of the first frame."""
        self._seed = seed
        self._fleet_rate = rate / len(FLEETS)
        hz = self._fleet_rate / VEHICLES
        fleet = Fleet(VEHICLES, hz, seed, injections=Injections(late=_LATE), start_us=base_us)
        self._batch = concat([fleet.tick(base_us + CYCLE_US), fleet.drain()])
        self._names: pa.StringArray = self._batch.column("vehicle_id").dictionary
        self._vehicle: I64 = self._batch.column("vehicle_id").indices.to_numpy().astype(np.int64)
        self._time: I64 = self._batch.column("timestamp").cast(pa.int64()).to_numpy()
        self._sequence: I64 = self._batch.column("sequence").to_numpy().astype(np.int64)
        self._session = int(self._batch.column("session")[0].as_py())
        self._count = np.bincount(self._vehicle, minlength=VEHICLES)
        self._bounds = _cut(len(self._vehicle), np.random.default_rng(seed))
        self._part = np.repeat(np.arange(len(self._bounds) - 1), np.diff(self._bounds))
        self._order = np.argsort(self._vehicle, kind="stable")
        self._first = np.concatenate(([0], np.cumsum(self._count)))
        decoded = Decoder(load_catalogue({"default": (FLEET_DBC,)})).decode(FrameColumns.from_batch(self._batch))
        self._values = np.bincount(decoded.row, minlength=len(self._vehicle))

    @property
    def _parts(self) -> int:
        return len(self._bounds) - 1

    def due_s(self, number: int) -> float:
        """When a request is due, in seconds since the start: when the last of its frames is; ascending."""
        cycle, part = divmod(number // len(FLEETS), self._parts)
        begin, end = self._bounds[part : part + 2]
        share = number % len(FLEETS) / len(FLEETS)
        return cycle * CYCLE_US / 1e6 + float(end + share * (end - begin) * 0.5) / self._fleet_rate

    def body(self, number: int, skew_us: int) -> Body:
        """The request, sent at a time when the clocks of some vehicles are wrong by `skew_us`. O(rows)."""
        cycle, part = divmod(number // len(FLEETS), self._parts)
        own = np.arange(*self._bounds[part : part + 2])
        bad = int(number % _BAD_EVERY == _BAD_EVERY - 1)
        repeated = np.random.default_rng([self._seed, number]).choice(own, max(1, round(_REPEATED * len(own))))
        rows = np.concatenate((own, repeated, own[:bad]))
        taken = self._batch.take(pa.array(rows))
        vehicle = self._vehicle[rows]
        counted = _counted(vehicle)
        arbitration_id = taken.column("arbitration_id").to_numpy().copy()
        code = vehicle.astype(np.int32)
        if bad:
            arbitration_id[-1], code[-1] = _BAD_ID, VEHICLES
        names = pa.concat_arrays([self._names, pa.array([f"bad-{number}"])]) if bad else self._names
        batch = pa.record_batch(
            {
                "vehicle_id": pa.DictionaryArray.from_arrays(pa.array(code), names),
                "timestamp": pa.array(self._times(rows, np.full(len(rows), cycle), skew_us)).cast(TIMESTAMP),
                "arbitration_id": pa.array(arbitration_id),
                "data": taken.column("data"),
                "is_extended": taken.column("is_extended"),
                "channel": taken.column("channel"),
                "session": pa.array(np.full(len(rows), self._session, np.uint32), mask=~counted),
                "sequence": pa.array(
                    (self._sequence + cycle * self._count[self._vehicle])[rows].astype(np.uint64), mask=~counted
                ),
            }
        )
        return Body(arrow_stream(batch), len(rows), bad)

    def vehicle_ids(self, first: int, end: int) -> list[str]:
        """Ids of the vehicles number `first` to `end`."""
        return self._names[first:end].to_pylist()

    def expected(self, fleet: int, first: int, end: int, acknowledged: Bools, skew_us: I64) -> pl.DataFrame:
        """Every frame, once, that vehicles number `first` to `end` of a fleet have sent. O(frames).

        Args:
            fleet: its place in FLEETS.
            first, end: numbers of vehicles.
            acknowledged: bool[requests sent].
            skew_us: int64[requests sent], how wrong clocks were.

        Returns:
            The columns of ClickHouse's table `frames` that a vehicle decides on, with `time` in µs, and `request`,
            `acknowledged` and `values` (how many signals the frame carries).
        """
        own = self._order[self._first[first] : self._first[end]]
        cycles = len(acknowledged) // (len(FLEETS) * self._parts) + 1
        rows, cycle = np.tile(own, cycles), np.repeat(np.arange(cycles), len(own))
        request = (cycle * self._parts + self._part[rows]) * len(FLEETS) + fleet
        sent = request < len(acknowledged)
        rows, cycle, request = rows[sent], cycle[sent], request[sent]
        vehicle = self._vehicle[rows]
        counted = _counted(vehicle)
        taken = self._batch.take(pa.array(rows))
        return pl.DataFrame(
            {
                "vehicle_id": pl.from_arrow(self._names.take(pa.array(vehicle))),
                "time": self._times(rows, cycle, skew_us[request]),
                "session": pl.from_arrow(pa.array(np.full(len(rows), self._session, np.uint32), mask=~counted)),
                "sequence": pl.from_arrow(
                    pa.array((self._sequence[rows] + cycle * self._count[vehicle]).astype(np.uint64), mask=~counted)
                ),
                **{
                    name: pl.from_arrow(taken.column(name))
                    for name in ("channel", "arbitration_id", "is_extended", "data")
                },
                "request": request,
                "acknowledged": acknowledged[request],
                "values": self._values[rows],
            }
        )

    def _times(self, rows: I64, cycle: I64, skew_us: I64 | int) -> I64:
        wrong = self._vehicle[rows] < SKEWED_VEHICLES
        return self._time[rows] + cycle * CYCLE_US + np.where(wrong, skew_us, 0)


def _counted(vehicle: I64) -> Bools:
    """Which vehicles keep a counter."""
    return vehicle % 3 != 0


def _cut(rows: int, rng: np.random.Generator) -> I64:
    """int64[requests + 1], where requests begin and end; all but the last of a size in _SIZES."""
    sizes = rng.integers(*_SIZES, size=rows // _SIZES[0] + 1)
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    return np.append(bounds[bounds < rows], rows)
