"""Partitions: the same for ever, the same as the documented algorithm, and evenly filled."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.partitioning import partition_of

GOLDEN: dict[tuple[str, str], int] = {
    ("default", "truck-7"): 574,
    ("default", "vehicle-000001"): 865,
    ("default", "vehicle-000002"): 660,
    ("north", "truck-7"): 449,
    ("", ""): 507,
    ("default", ""): 612,
    ("flotte-ü", "véhicule"): 560,
    ("default", "W" * 64): 937,
}


def hash64(fleet: str, vehicle: str) -> int:
    """The algorithm as the module's docstring has it."""
    h = 14695981039346656037
    for byte in f"{fleet}\0{vehicle}".encode():
        h = (h ^ byte) * 1099511628211 % 2**64
    h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD % 2**64
    h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53 % 2**64
    return h ^ (h >> 33)


def test_golden_values() -> None:
    """Never change these: vehicles would lose their state."""
    for (fleet, vehicle), partition in GOLDEN.items():
        assert partition_of(fleet, pa.array([vehicle]), 1024).tolist() == [partition]


@given(st.text(max_size=8), st.lists(st.text(max_size=10), max_size=8), st.integers(1, 2**31 - 1), st.integers(0, 8))
def test_agrees_with_the_documented_algorithm(fleet: str, vehicles: list[str], partitions: int, start: int) -> None:
    column = pa.array(vehicles, pa.utf8()).slice(start)
    expected = [hash64(fleet, vehicle) % partitions for vehicle in vehicles[start:]]
    found = partition_of(fleet, column, partitions)
    assert found.dtype == np.int32
    assert found.tolist() == expected


@pytest.mark.parametrize("partitions", [2, 8, 16, 60, 64, 256])
@pytest.mark.parametrize("pattern", ["{}", "vehicle-{:06d}", "WDB{:014d}", "{:x}"])
def test_partitions_are_filled_evenly(pattern: str, partitions: int) -> None:
    """Chi-squared of 20,000 like-named vehicles, within five standard deviations of what chance would give."""
    vehicles = pa.array([pattern.format(i) for i in range(20_000)])
    counts = np.bincount(partition_of("default", vehicles, partitions), minlength=partitions)
    expected = len(vehicles) / partitions
    chi_squared = float(((counts - expected) ** 2 / expected).sum())
    freedom = partitions - 1
    assert abs(chi_squared - freedom) < 5 * (2 * freedom) ** 0.5 + 5


def test_fleets_are_apart() -> None:
    vehicles = pa.array([f"v{i}" for i in range(1000)])
    same = partition_of("a", vehicles, 64) == partition_of("b", vehicles, 64)
    assert 0 < same.sum() < 50
