"""Which lane a request belongs to, by ids, names, database attributes and age."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.decode.databases import load_catalogue
from pipeline.decode.matching import parameter_group
from pipeline.frames.schema import CANONICAL, MAX_EXTENDED_ID, TIMESTAMP
from pipeline.frames.split import concat
from pipeline.lanes.classify import Classifier
from pipeline.lanes.lane import Lane
from pipeline.lanes.settings import LaneSettings
from simulator import FLEET_DBC

NOW = 1_760_000_000_000_000
MINUTE = 60_000_000

DATABASE = """VERSION ""
BU_: X
BO_ 16 Airbag: 8 X
 SG_ Fired : 0|8@1+ (1,0) [0|0] "" X
BO_ 32 AirbagTest: 8 X
 SG_ Lamp : 0|8@1+ (1,0) [0|0] "" X
BO_ 48 Doors: 8 X
 SG_ Open : 0|8@1+ (1,0) [0|0] "" X
BO_ 64 Marked: 8 X
 SG_ A : 0|8@1+ (1,0) [0|0] "" X
BO_ 2566834686 Faults: 8 X
 SG_ B : 0|8@1+ (1,0) [0|0] "" X
BA_DEF_ BO_ "Urgency" ENUM "critical","normal";
BA_DEF_ BO_ "CanfleetPriority" INT 0 3;
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","reserved","J1939PG";
BA_DEF_DEF_ "Urgency" "normal";
BA_DEF_DEF_ "CanfleetPriority" 0;
BA_DEF_DEF_ "VFrameFormat" "StandardCAN";
BA_ "CanfleetPriority" BO_ 64 1;
BA_ "CanfleetPriority" BO_ 2566834686 1;
BA_ "VFrameFormat" BO_ 2566834686 3;
BA_ "Urgency" BO_ 48 0;
BA_ "Urgency" BO_ 16 1;
"""
FAULTS = 2566834686 & MAX_EXTENDED_ID


def frames(*ids: tuple[int, bool], timestamps: list[int] | None = None) -> pa.RecordBatch:
    n = len(ids)
    return pa.RecordBatch.from_arrays(
        [
            pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array(["v"])),
            pa.array(timestamps or [NOW] * n, TIMESTAMP),
            pa.array([number for number, _ in ids], pa.uint32()),
            pa.array([b""] * n, pa.binary()),
            pa.array([extended for _, extended in ids], pa.bool_()),
            pa.array([0] * n, pa.uint8()),
            pa.array([None] * n, pa.uint32()),
            pa.array([None] * n, pa.uint64()),
        ],
        schema=CANONICAL,
    )


@pytest.fixture
def classifier_of(tmp_path: Path):
    path = tmp_path / "marked.dbc"
    path.write_text(DATABASE)
    catalogue = load_catalogue({"default": [path]})
    return lambda **settings: Classifier.of_catalogue(LaneSettings(**settings), catalogue)


def critical_ids(classifier: Classifier) -> set[int]:
    """Of the database's ids, those that make a request critical."""
    ids = [(16, False), (32, False), (48, False), (64, False), (FAULTS, True)]
    return {one[0] for one in ids if classifier.lane(frames(one), NOW) is Lane.CRITICAL}


def test_messages_are_critical_by_attribute_name_and_id(classifier_of) -> None:
    assert critical_ids(classifier_of()) == {64, FAULTS}
    assert critical_ids(classifier_of(critical_attribute=None)) == set()
    assert critical_ids(classifier_of(critical_attribute="Urgency")) == {48}
    assert critical_ids(classifier_of(critical_attribute=None, critical_messages=("Airbag",))) == {16}
    assert critical_ids(classifier_of(critical_attribute=None, critical_messages=("Air*", "Doors"))) == {16, 32, 48}
    assert critical_ids(classifier_of(critical_attribute=None, critical_ids=(16, "0x30"))) == {16, 48}


def test_the_simulated_cars_diagnostics_are_critical() -> None:
    classifier = Classifier.of_catalogue(LaneSettings(), load_catalogue({"default": [FLEET_DBC]}))
    assert classifier.lane(frames((128, False)), NOW) is Lane.CRITICAL
    assert classifier.lane(frames((256, False)), NOW) is Lane.LIVE


def test_eleven_and_twentynine_bits_are_told_apart() -> None:
    short, long = Classifier(LaneSettings(critical_ids=("080",))), Classifier(LaneSettings(critical_ids=("00000080",)))
    assert [one.lane(frames((0x80, False)), NOW) for one in (short, long)] == [Lane.CRITICAL, Lane.LIVE]
    assert [one.lane(frames((0x80, True)), NOW) for one in (short, long)] == [Lane.LIVE, Lane.CRITICAL]
    large = Classifier(LaneSettings(critical_ids=(0x18FECA00,)))
    assert large.lane(frames((0x18FECA00, True)), NOW) is Lane.CRITICAL


@given(sender=st.integers(0, 255), priority=st.integers(0, 7), other=st.integers(0, MAX_EXTENDED_ID))
def test_a_j1939_message_is_critical_from_every_sender(sender: int, priority: int, other: int) -> None:
    catalogue = load_catalogue({"default": [Path(__file__).parents[1] / "decode" / "samples" / "j1939.dbc"]})
    message = next(one for one in catalogue.messages if one.is_j1939)
    classifier = Classifier.of_catalogue(LaneSettings(critical_messages=(message.name,)), catalogue)
    group = parameter_group(message.arbitration_id)
    same = priority << 26 | group << 8 | sender
    assert classifier.lane(frames((same, True)), NOW) is Lane.CRITICAL
    expected = Lane.CRITICAL if parameter_group(other) == group else Lane.LIVE
    assert classifier.lane(frames((other, True)), NOW) is expected


@given(
    st.lists(st.tuples(st.sampled_from([0x10, 0x20, 0x30]), st.booleans(), st.integers(-1200, 60)), max_size=8),
    st.sets(st.sampled_from([0x10, 0x20, 0x30])),
)
def test_a_request_is_as_urgent_as_its_least_urgent_frame_and_as_old_as_its_newest(rows, critical) -> None:
    classifier = Classifier(LaneSettings(critical_ids=tuple(critical)))
    batch = frames(*[row[:2] for row in rows], timestamps=[NOW + age * 1_000_000 for _, _, age in rows])
    if rows and all(number in critical and not extended for number, extended, _ in rows):
        expected = Lane.CRITICAL
    elif rows and all(age < -600 for _, _, age in rows):
        expected = Lane.BACKFILL
    else:
        expected = Lane.LIVE
    assert classifier.lane(batch, NOW) is expected


def test_the_age_of_backfill_is_a_setting() -> None:
    old = frames((1, False), timestamps=[NOW - 2 * MINUTE])
    assert Classifier(LaneSettings()).lane(old, NOW) is Lane.LIVE
    assert Classifier(LaneSettings(backfill_after_s=60)).lane(old, NOW) is Lane.BACKFILL


@pytest.mark.parametrize("wrong", [-1, 1 << 29, "nothing", "0x20000000", ""])
def test_what_is_no_id_is_refused_at_the_start(wrong: int | str) -> None:
    with pytest.raises(ValidationError):
        LaneSettings(critical_ids=(wrong,))


@given(st.lists(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4), min_size=1, max_size=6))
def test_many_requests_at_once_have_the_lanes_they_have_alone(requests):
    classifier = Classifier(LaneSettings(critical_ids=(0x80,)))
    batches = [
        frames(
            *[(0x80 if critical else 0x81, False) for critical, _ in rows],
            timestamps=[NOW - 60 * MINUTE if past else NOW for _, past in rows],
        )
        for rows in requests
    ]
    starts = np.cumsum([0, *[len(rows) for rows in requests[:-1]]])
    lanes = classifier.lanes(concat(batches), starts, NOW)
    assert lanes.tolist() == [classifier.lane(batch, NOW) for batch in batches]
