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

    Several threads may use it; registering new vehicles is serialised, everything else reads only.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fleets: list[str] = []
        self._by_fleet: dict[str, dict[str, int]] = {}
        self._names: list[str] = []
        self._fleet_of: list[int] = []

    def __len__(self) -> int:
        return len(self._names)

    def resolve(self, fleet: str, dictionary: pa.StringArray) -> I32:
        """Index of every vehicle id of one fleet's batch; unknown ones are registered.

        Args:
            fleet: the fleet that sent the batch.
            dictionary: utf8[k], the batch's vehicle dictionary.

        Returns:
            int32[k]. O(k) dictionary lookups.
        """
        ids = dictionary.to_pylist()
        known = self._by_fleet.get(fleet, {})
        found = np.fromiter(map(known.get, ids, repeat(-1)), np.int32, len(ids))
        missing = np.flatnonzero(found < 0)
        if len(missing):
            with self._lock:
                found[missing] = [self._register(fleet, ids[i]) for i in missing]
        return found

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
            by_fleet[fleets[fleet]][name] = index
        with self._lock:
            self._fleets, self._names, self._fleet_of, self._by_fleet = fleets, names, fleet_of, by_fleet

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
