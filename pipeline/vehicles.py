"""The vehicles of a shard: (fleet, vehicle id) to a dense index."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.types import I32


class VehicleIndex:
    """Numbers vehicles 0, 1, 2 … in order of first sight; a number is never given twice.

    A vehicle that is forgotten keeps its number and loses its name; what comes under that name later is a new vehicle.
    While records of the old one must still be read, its number is found by their offset: see `resolve`.

    Several threads may use it; registering new vehicles is serialised, everything else reads only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fleets: list[str] = []
        self._by_fleet: dict[str, dict[str, int]] = {}
        self._names: list[str] = []
        self._fleet_of: list[int] = []
        self._past: dict[str, dict[str, list[tuple[int, int]]]] = {}

    def __len__(self) -> int:
        """How many numbers are given out."""
        return len(self._names)

    @property
    def known(self) -> int:
        """How many vehicles there are, those left out that are forgotten."""
        return sum(len(vehicles) for vehicles in list(self._by_fleet.values()))

    def resolve(self, fleet: str, dictionary: pa.StringArray, at: int | None = None) -> I32:
        """Index of every vehicle id of one fleet's batch; unknown ones are registered.

        Args:
            fleet: the fleet that sent the batch.
            dictionary: utf8[k], the batch's vehicle dictionary.
            at: the journal offset of the batch's record; None for one that is about to be written.

        Returns:
            int32[k]. O(k) dictionary lookups.
        """
        ids = dictionary.to_pylist()
        known = self._known_at(fleet, at)
        found = np.fromiter(map(known.get, ids, repeat(-1)), np.int32, len(ids))
        missing = np.flatnonzero(found < 0)
        if len(missing):
            with self._lock:
                found[missing] = [self._register(fleet, ids[i]) for i in missing]
        return found

    def forget(self, fleet: str, vehicle: str, until: int) -> int | None:
        """Take a vehicle's name from what comes from journal offset `until` on; its index, None where there is none.

        Records before `until` still find it, and `name` still tells it, until `erase`. O(1).
        """
        with self._lock:
            index = self._by_fleet.get(fleet, {}).pop(vehicle, None)
            if index is not None:
                self._past.setdefault(fleet, {}).setdefault(vehicle, []).append((until, index))
            return index

    def erase(self, index: int) -> None:
        """Forget the very name of a forgotten vehicle: no record of it will be read again. O(vehicles forgotten)."""
        with self._lock:
            fleet, vehicle = self.fleet(index), self._names[index]
            past = {
                name: [entry for entry in entries if entry[1] != index]
                for name, entries in self._past.get(fleet, {}).items()
            }
            self._past[fleet] = {name: entries for name, entries in past.items() if entries}
            if vehicle:
                self._names[index] = ""

    def _known_at(self, fleet: str, at: int | None) -> dict[str, int]:
        """The fleet's vehicles by id as they were at a journal offset. O(1), O(vehicles) while one is forgotten."""
        known, past = self._by_fleet.get(fleet, {}), self._past.get(fleet)
        if at is None or not past:
            return known
        then = {
            vehicle: next((index for until, index in entries if at < until), None) for vehicle, entries in past.items()
        }
        return known | {vehicle: index for vehicle, index in then.items() if index is not None}

    def of(self, fleet: str, vehicle: str) -> int | None:
        """Index of a vehicle, None where the fleet never sent it. O(1)."""
        return self._by_fleet.get(fleet, {}).get(vehicle)

    def name(self, index: int) -> str:
        """Vehicle id of an index. O(1)."""
        return self._names[index]

    def fleet(self, index: int) -> str:
        """Fleet of an index. O(1)."""
        return self._fleets[self._fleet_of[index]]

    def indices(self, fleet: str) -> I32:
        """int32[k], the fleet's vehicles in order of first sight. O(k)."""
        return np.array(list(self._by_fleet.get(fleet, {}).values()), np.int32)

    def snapshot(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all state; strings as UTF-8 bytes and the lengths of each."""
        with self._lock:
            return {
                **_encode("fleets", self._fleets),
                **_encode("names", self._names),
                "fleet_of": np.array(self._fleet_of, np.int32),
            }

    def restore(self, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
        """Take over what `snapshot` gave, in place of everything known so far."""
        fleets, names = _decode("fleets", arrays), _decode("names", arrays)
        fleet_of = arrays["fleet_of"].tolist()
        by_fleet: dict[str, dict[str, int]] = {fleet: {} for fleet in fleets}
        for index, (name, fleet) in enumerate(zip(names, fleet_of, strict=True)):
            if name:
                by_fleet[fleets[fleet]][name] = index
        with self._lock:
            self._fleets, self._names, self._fleet_of, self._by_fleet = fleets, names, fleet_of, by_fleet
            self._past = {}

    def _register(self, fleet: str, vehicle: str) -> int:
        # Another thread may have registered the same vehicle between the lookup and the lock.
        known = self._by_fleet.get(fleet)
        if known is None:
            self._fleets.append(fleet)
            known = self._by_fleet[fleet] = {}
        index = known.get(vehicle)
        if index is None:
            index = len(self._names)
            self._fleet_of.append(self._fleets.index(fleet))
            self._names.append(vehicle)
            # Last, so that whoever finds the index also finds its name and fleet.
            known[vehicle] = index
        return index


def _encode(name: str, strings: Sequence[str]) -> dict[str, np.ndarray[Any, Any]]:
    encoded = [text.encode() for text in strings]
    return {
        f"{name}.bytes": np.frombuffer(b"".join(encoded), np.uint8).copy(),
        f"{name}.lengths": np.array([len(text) for text in encoded], np.int32),
    }


def _decode(name: str, arrays: Mapping[str, np.ndarray[Any, Any]]) -> list[str]:
    data = arrays[f"{name}.bytes"].tobytes()
    ends = np.cumsum(arrays[f"{name}.lengths"], dtype=np.int64).tolist()
    return [data[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=bool(ends))]
