"""The vehicle index with vehicles forgotten at any offset, against a model that keeps every record."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.vehicles import VehicleIndex

STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.sampled_from("xyz")), max_size=30)


def of(index: VehicleIndex, fleet: str, vehicle: str, at: int | None) -> int:
    [found] = index.resolve(fleet, pa.array([vehicle]), at).tolist()
    return int(found)


@given(STEPS)
def test_every_record_finds_the_vehicle_of_its_time(steps: list[tuple[bool, str, str]]) -> None:
    index = VehicleIndex()
    met: list[tuple[int, str, str, int]] = []
    gone: list[int] = []
    for offset, (forget, fleet, vehicle) in enumerate(steps):
        if forget:
            known = index.of(fleet, vehicle)
            assert index.forget(fleet, vehicle, offset + 1) == known
            assert index.of(fleet, vehicle) is None
            if known is not None:
                assert index.name(known) == vehicle
                gone.append(known)
        else:
            found = of(index, fleet, vehicle, None)
            assert found not in gone
            met.append((offset, fleet, vehicle, found))
    before = len(index)
    for offset, fleet, vehicle, found in met:
        assert of(index, fleet, vehicle, offset) == found
    assert len(index) == before
    assert index.known == before - len(gone)
    for number in gone:
        index.erase(number)
        assert index.name(number) == ""
    again = VehicleIndex()
    again.restore(index.snapshot())
    for one in (index, again):
        assert one.known == before - len(gone)
        for fleet in "ab":
            assert not set(one.indices(fleet).tolist()) & set(gone)
    for fleet, vehicle in {(fleet, vehicle) for _, fleet, vehicle, _ in met}:
        assert of(again, fleet, vehicle, 0) not in gone
