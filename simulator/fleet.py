"""A fleet of simulated vehicles as a source of canonical Arrow batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import ConfigError
from pipeline.frames.schema import CANONICAL, TIMESTAMP
from pipeline.types import I64
from simulator import FLEET_DBC
from simulator.driving import SIGNALS, models_of, new_vehicles
from simulator.encode import pack
from simulator.episodes import EPISODE, TRUTH
from simulator.injections import Episode, Injections, Kind, find_targets
from simulator.kernel import MOST_EXTRA, Plan, Vehicles, generate, row_dtype
from simulator.layout import load_database
from simulator.noise import vehicle_keys
from simulator.schedule import slot_schedule

_PART: Final = 65_536
_TRUTHS: Final = 4_096


class Fleet:
    """Vehicles `veh-00000` to `veh-…`, each sending one frame every 1 / `rate_hz` seconds.

    What vehicle number i sends depends on (seed, i, rate, start, injections) alone, not on the size of the fleet
    but for its offset within a slot, nor on how the time is cut into ticks. About 0.3 µs a frame.

    Attributes:
        dbc_path: the database that decodes the frames.
        vehicle_ids: Arrow utf8[V].
        frames, duplicates, late: distinct frames made so far, frames sent twice, frames held back.
    """

    def __init__(
        self,
        vehicles: int = 100,
        rate_hz: float = 5.0,
        seed: int = 1,
        *,
        dbc: Path | None = None,
        injections: Injections | None = None,
        start_us: int = 1_700_000_000_000_000,
    ) -> None:
        """Make the vehicles; `start_us` (µs since the epoch) is the first frame's time, its second the session.

        Raises:
            ConfigError: a number makes no sense.
            DatabaseError: the database does not load.
        """
        if not 1 <= vehicles <= 1_000_000:
            raise ConfigError(f"a fleet has 1 to 1,000,000 vehicles, not {vehicles}")
        if not 0.001 <= rate_hz <= 10_000:
            raise ConfigError(f"a vehicle sends 0.001 to 10,000 frames a second, not {rate_hz}")
        injections = injections or Injections()
        self.dbc_path = dbc or FLEET_DBC
        self.start_us = start_us
        self.frames = self.duplicates = self.late = 0
        self.vehicle_ids = pa.array([f"veh-{number:05d}" for number in range(vehicles)], pa.utf8())
        self._database = database = load_database(self.dbc_path)
        schedule = slot_schedule(database)
        models = models_of(database.signals)
        period_us = round(1e6 / rate_hz)
        targets = find_targets(database, schedule, models)
        behaviour = [SIGNALS[model] for model in models] if models is not None else []
        signals = len(database.signals)
        turns = np.bincount(schedule, minlength=len(database.messages)).astype(np.int64)
        turn = np.array([np.sum(schedule[:slot] == schedule[slot]) for slot in range(len(schedule))], np.int64)
        margin = np.minimum(2 * database.step, (database.high - database.low) / 4)
        margin[database.discrete] = 0.0
        self._plan = Plan(
            layout=database.layout,
            targets=targets,
            schedule=schedule,
            turn=turn,
            turns=turns,
            signal_message=database.signal_message,
            model=models if models is not None else np.zeros(signals, np.int64),
            noise=np.array([model.noise for model in behaviour] or np.zeros(signals), np.float64),
            motion=np.array([model.needs_motion for model in behaviour] or np.zeros(signals), np.float64),
            low=np.where(database.low == 0.0, 0.0, database.low + margin),
            high=database.high - margin,
            raw_low=database.raw_low,
            raw_high=database.raw_high,
            step=database.step,
            discrete=database.discrete,
            driving=models is not None,
            start_us=start_us,
            period_us=period_us,
            vehicles=vehicles,
            duplicates=float(injections.duplicates),
            late=float(injections.late),
            episode_chance=float(injections.anomalies) * period_us / 60e6 if len(targets.kinds) else 0.0,
        )
        keys = vehicle_keys(np.uint64(seed & 0xFFFFFFFFFFFFFFFF), vehicles)
        numbers = np.arange(vehicles, dtype=np.int64)
        self._fleet = Vehicles(
            key=keys,
            phase=(keys >> np.uint64(20)).astype(np.int64) % len(schedule),
            offset_us=numbers * period_us // vehicles,
            state=new_vehicles(keys),
            sequence=np.zeros(vehicles, np.uint64),
            episode=np.zeros(vehicles, EPISODE),
            frozen=np.zeros((vehicles, database.layout.words), np.uint64),
        )
        self._dtype = row_dtype(database.layout.words)
        self._held = np.zeros(0, self._dtype)
        self._truths: list[NDArray[Any]] = []
        self._next = 0
        self._until_us = start_us
        self._observed = np.zeros(len(SIGNALS))
        self._values = np.zeros(signals)

    def tick(self, until_us: int) -> pa.RecordBatch:
        """Frames due before `until_us`, in the order they are due; schema `CANONICAL`, one shared dictionary.

        Late frames and second sendings are due later than their timestamp; all others at their timestamp.
        """
        self._until_us = max(self._until_us, until_us)
        rows, unordered = self._rows(self._slots_before(until_us))
        if len(self._held) or unordered:
            rows = np.concatenate([self._held, rows])
            ready = rows["due"] < until_us
            self._held, rows = rows[~ready], rows[ready]
            rows = rows[np.argsort(rows["due"], kind="stable")]
        return self._batch(rows)

    def drain(self) -> pa.RecordBatch:
        """The frames still held back, when no more are to be made."""
        rows = self._held[np.argsort(self._held["due"], kind="stable")]
        self._held = self._held[:0]
        return self._batch(rows)

    def episodes(self) -> list[Episode]:
        """The truth about every episode begun so far, in order of planning."""
        return [self._episode(truth) for truths in self._truths for truth in truths]

    def write_truth(self, path: Path) -> None:
        """Write one JSON line per episode, then one with the totals.

        Raises:
            ConfigError: the file cannot be written.
        """
        totals = {"totals": {"frames": self.frames, "duplicates": self.duplicates, "late": self.late}}
        lines = [json.dumps(line) for line in [*(episode.as_json() for episode in self.episodes()), totals]]
        try:
            path.write_text("\n".join(lines) + "\n")
        except OSError as error:
            raise ConfigError(f"truth file {path}: {error.strerror}: choose a path that can be written") from error

    def _slots_before(self, until_us: int) -> int:
        """Global slots whose time is below `until_us`."""
        slot, within = divmod(max(0, until_us - self.start_us), self._plan.period_us)
        return slot * self._plan.vehicles + int(np.searchsorted(self._fleet.offset_us, within, "left"))

    def _rows(self, end: int) -> tuple[NDArray[Any], bool]:
        parts: list[NDArray[Any]] = []
        counts = np.zeros(4, np.int64)
        while self._next < end:
            rows = np.empty(min(end - self._next, _PART) * 5 // 4 + MOST_EXTRA + 2, self._dtype)
            truths = np.zeros(_TRUTHS, TRUTH)
            self._next, made, told = generate(
                self._plan, self._fleet, self._next, end, rows, truths, counts, self._observed, self._values
            )
            parts.append(rows[:made])
            if told:
                self._truths.append(truths[:told])
        self.frames += int(counts[0])
        self.duplicates += int(counts[1])
        self.late += int(counts[2])
        rows = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.zeros(0, self._dtype)
        return rows, bool(counts[3])

    def _batch(self, rows: NDArray[Any]) -> pa.RecordBatch:
        count = len(rows)
        offsets: NDArray[np.int32] = np.zeros(count + 1, np.int32)
        np.cumsum(rows["length"], out=offsets[1:])
        payload = np.empty(int(offsets[-1]), np.uint8)
        pack(rows["words"], np.arange(count), offsets.astype(np.int64), payload)
        session = np.full(count, self.start_us // 1_000_000 & 0xFFFFFFFF, np.uint32)
        columns = [
            pa.DictionaryArray.from_arrays(pa.array(rows["vehicle"]), self.vehicle_ids),
            pa.array(rows["timestamp"]).cast(TIMESTAMP),
            pa.array(rows["arbitration_id"]),
            pa.Array.from_buffers(pa.binary(), count, [None, pa.py_buffer(offsets.data), pa.py_buffer(payload.data)]),
            pa.array(rows["is_extended"]),
            pa.array(np.zeros(count, np.uint8)),
            pa.array(session),
            pa.array(rows["sequence"]),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=CANONICAL)

    def _episode(self, truth: np.void) -> Episode:
        message, signal = int(truth["message"]), int(truth["signal"])
        end = int(truth["end"])
        return Episode(
            vehicle_id=self.vehicle_ids[int(truth["vehicle"])].as_py(),
            kind=Kind(int(truth["kind"])).label,
            message=self._database.messages[message] if message >= 0 else None,
            signal=self._database.signals[signal] if signal >= 0 else None,
            arbitration_id=int(truth["arbitration_id"]),
            start=int(truth["start"]),
            end=end,
            complete=end < self._until_us,
        )


def warm_up(dbc: Path | None = None) -> None:
    """Compile the kernels, so that a fleet which starts now starts on time.

    Raises:
        DatabaseError: the database does not load.
    """
    fleet = Fleet(1, dbc=dbc)
    fleet.tick(fleet.start_us + 1_000_000)


def used_vehicles(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows with a dictionary of only the vehicles in them, as a small request should carry. O(n + V)."""
    column: Any = batch.column("vehicle_id")
    if len(column.dictionary) <= 64:
        return batch
    indices: I64 = column.indices.to_numpy()
    used = np.zeros(len(column.dictionary), np.bool_)
    used[indices] = True
    renumbered = (np.cumsum(used, dtype=np.int32) - 1).astype(np.int32)[indices]
    vehicles = column.dictionary.take(pa.array(np.flatnonzero(used)))
    return batch.set_column(
        batch.schema.get_field_index("vehicle_id"),
        CANONICAL.field("vehicle_id"),
        pa.DictionaryArray.from_arrays(renumbered, vehicles),
    )
