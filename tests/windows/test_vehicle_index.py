"""The vehicle index: one number per fleet and vehicle, for good."""

from __future__ import annotations

import threading

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.vehicles import VehicleIndex

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "ü"]), st.lists(NAMES, max_size=8)), max_size=8))
def test_numbers_are_dense_stable_and_survive_a_restart(batches: list[tuple[str, list[str]]]) -> None:
    vehicles = VehicleIndex()
    known: dict[tuple[str, str], int] = {}
    for fleet, names in batches:
        for name, number in zip(names, vehicles.resolve(fleet, pa.array(names, pa.utf8())).tolist(), strict=True):
            assert known.setdefault((fleet, name), number) == number
    restored = VehicleIndex()
    restored.resolve("other", pa.array(["gone after restore"]))
    restored.restore(vehicles.snapshot())
    for index in (vehicles, restored):
        assert sorted(known.values()) == list(range(len(index)))
        for (fleet, name), number in known.items():
            assert (index.of(fleet, name), index.fleet(number), index.name(number)) == (number, fleet, name)
        for fleet in ("a", "b", "ü", "other"):
            assert index.indices(fleet).tolist() == sorted(n for (f, _), n in known.items() if f == fleet)
    assert restored.of("other", "gone after restore") is None


def test_fleets_do_not_share_vehicles() -> None:
    vehicles = VehicleIndex()
    assert vehicles.resolve("a", pa.array(["x", "y"])).tolist() == [0, 1]
    assert vehicles.resolve("b", pa.array(["y", "x", "y"])).tolist() == [2, 3, 2]
    assert vehicles.of("c", "x") is None


def test_threads_that_meet_the_same_vehicles_agree() -> None:
    vehicles = VehicleIndex()
    names = pa.array([f"v{k}" for k in range(500)])
    results: list[list[int]] = []
    start = threading.Barrier(4)

    def work() -> None:
        start.wait()
        results.append(vehicles.resolve("fleet", names).tolist())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == results[0] for result in results)
    assert sorted(results[0]) == list(range(500)) == list(range(len(vehicles)))
