"""The rules of rows, over Arrow bodies and canonical batches, against their wording."""

from __future__ import annotations

import pyarrow as pa
import pytest
from frames_samples import LIMITS, NOW_US, expected_frame, expected_reason, row, shown, stream, table
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.frames.body import ARROW, read_body, warm
from pipeline.frames.columns import FrameColumns
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.frames.limits import FrameLimits
from pipeline.frames.reasons import MEANING, Reason
from pipeline.frames.schema import CANONICAL
from pipeline.frames.validate import revalidate

FRAMES = st.fixed_dictionaries(
    {
        "vehicle_id": st.one_of(
            st.sampled_from(["a", "b", "", "ü" * 64, "y" * 65, "\x7f", "x\x9f", "\xa0", "€\x80"]),
            st.none(),
            st.text(max_size=3),
        ),
        "timestamp": st.sampled_from([NOW_US, 946_684_800_000_000, 946_684_799_999_999, NOW_US + 10**12, -5, None]),
        "arbitration_id": st.sampled_from([0, 0x7FF, 0x800, 0x1FFFFFFF, 0x20000000, 2**32 - 1, 2**33, -1, None]),
        "data": st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"z" * 64, b"z" * 65, None])),
        "is_extended": st.sampled_from([True, False, None]),
        "channel": st.sampled_from([0, 255, 256, -1, None]),
        "session": st.sampled_from([0, 2**32 - 1, 2**32, -7, None]),
        "sequence": st.sampled_from([0, 2**63 - 1, -1, None]),
    }
)
GOOD = st.fixed_dictionaries(
    {
        "vehicle_id": st.sampled_from(["a", "b", "ü" * 64]),
        "timestamp": st.integers(946_684_800_000_000, NOW_US),
        "arbitration_id": st.integers(0, 0x1FFFFFFF),
        "data": st.binary(max_size=64),
        "is_extended": st.sampled_from([True, None]),
        "channel": st.integers(0, 255),
    }
).flatmap(lambda frame: st.sampled_from([frame | dict.fromkeys(("session", "sequence"), n) for n in (None, 7)]))
WIDE = dict.fromkeys(("arbitration_id", "channel", "session", "sequence"), pa.int64())
ID_KINDS = st.sampled_from([pa.utf8(), pa.string_view(), pa.dictionary(pa.int16(), pa.utf8())])
DATA_KINDS = st.sampled_from([pa.binary(), pa.large_binary(), pa.binary_view()])


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=20), ID_KINDS, DATA_KINDS, st.integers(1, 20))
def test_every_rule(rows: list[dict], vehicle: pa.DataType, data: pa.DataType, cut: int) -> None:
    parts = [part for part in (rows[:cut], rows[cut:]) if part]
    body = stream(*[table(part, vehicle_id=vehicle, data=data, **WIDE) for part in parts])
    parsed = read_body(body, ARROW, None, LIMITS, NOW_US)
    reasons = [expected_reason(r) for r in rows]
    good = [expected_frame(r) for r, reason in zip(rows, reasons, strict=True) if reason is None]
    assert parsed.received == len(rows)
    assert shown(parsed.frames) == good
    assert parsed.rejected.column("reason").to_pylist() == [reason for reason in reasons if reason]
    assert parsed.frames.schema == CANONICAL
    assert parsed.rejected.schema == DEAD_LETTERS
    parsed.frames.validate(full=True)
    parsed.rejected.validate(full=True)
    assert sorted(parsed.frames.column("vehicle_id").dictionary.to_pylist()) == sorted({r["vehicle_id"] for r in good})


@settings(max_examples=100, deadline=None)
@given(st.lists(GOOD, min_size=1, max_size=8), st.data())
def test_canonical_batches_are_checked_again(rows: list[dict], data: st.DataObject) -> None:
    frames = read_body(stream(table(rows)), ARROW, None, LIMITS, NOW_US).frames
    start = data.draw(st.integers(0, len(rows)))
    part = frames.slice(start)
    again = revalidate(part, LIMITS, NOW_US)
    assert again.rejected.num_rows == 0
    assert shown(again.frames) == [expected_frame(r) for r in rows[start:]]
    late = revalidate(part, FrameLimits(earliest="2200-01-01T00:00:00Z"), NOW_US)
    assert late.rejected.column("reason").to_pylist() == ["timestamp_too_old"] * (len(rows) - start)


def test_columns_are_aligned_and_read_only() -> None:
    rows = [row(), row(session=None, sequence=None), row(data=b"")]
    frames = read_body(stream(table(rows)), ARROW, None, LIMITS, NOW_US).frames
    columns = FrameColumns.from_batch(frames.slice(1))
    assert columns.counted.tolist() == [False, True]
    assert columns.sequence.tolist() == [0, 9]
    assert columns.timestamp.tolist() == [r["timestamp"] for r in rows[1:]]
    assert [columns.payload[a:b].tobytes() for a, b in zip(columns.offsets, columns.offsets[1:], strict=False)] == [
        b"\x01\x02\xff",
        b"",
    ]
    for name in FrameColumns.__slots__:
        if name != "vehicles":
            array = getattr(columns, name)
            assert array.flags.aligned, name
            assert array.flags.c_contiguous, name
            assert not array.flags.writeable, name


def test_every_reason_has_a_meaning_and_a_word_of_its_own() -> None:
    assert set(MEANING) == set(Reason)
    assert len({reason.word for reason in Reason}) == len(Reason)
    assert list(Reason) == sorted(Reason)


@pytest.mark.parametrize("field", ["earliest", "max_future_s"])
def test_limits_of_time(field: str) -> None:
    limits = FrameLimits(**{field: "2026-01-01T00:00:00.000001+00:00" if field == "earliest" else 1.5})
    edges = {
        "earliest": (1_767_225_600_000_001, 1_767_225_600_000_000),
        "max_future_s": (NOW_US + 1_500_000, NOW_US + 1_500_001),
    }
    good, bad = edges[field]
    parsed = read_body(stream(table([row(timestamp=good), row(timestamp=bad)])), ARROW, None, limits, NOW_US)
    assert [r["timestamp"] for r in shown(parsed.frames)] == [good]


def test_warm_runs() -> None:
    warm()
