"""Submissions and accepted records come back as they were, from bytes whose layout is fixed."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import JournalError
from pipeline.frames.columns import FrameColumns
from pipeline.frames.schema import CANONICAL
from pipeline.journal import Journal
from pipeline.submission import Counts, Submission, decode, decode_accepted, encode, encode_accepted
from pipeline.verdicts import DUPLICATE, NEW, UNVERIFIED

DEAD_LETTERS = pa.schema([(name, pa.utf8()) for name in ("stage", "reason", "payload")])

TEXTS = st.text(max_size=30)
COUNTERS = st.just((None, None)) | st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
ROWS = st.tuples(
    st.sampled_from(["car-1", "car-2", "Ünïcode"]),
    st.integers(-(2**60), 2**60),
    st.integers(0, 2**29 - 1),
    st.binary(max_size=64),
    st.booleans(),
    st.integers(0, 255),
    COUNTERS,
).map(lambda row: (*row[:-1], *row[-1]))


def frame_batch(rows: list[tuple]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * len(CANONICAL)
    arrays = []
    for field, values in zip(CANONICAL, columns, strict=True):
        if field.name == "vehicle_id":
            arrays.append(pa.array(values, pa.utf8()).dictionary_encode())
        elif field.name == "timestamp":
            arrays.append(pa.array(values, pa.int64()).cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=CANONICAL)


def dead_batch(rows: list[tuple[str, str, str]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) or [()] * 3
    return pa.RecordBatch.from_arrays([pa.array(values, pa.utf8()) for values in columns], schema=DEAD_LETTERS)


SUBMISSIONS = st.builds(
    Submission,
    fleet=TEXTS,
    received_at=st.integers(-(2**63), 2**63 - 1),
    request_id=TEXTS,
    frames=st.lists(ROWS, max_size=40).map(frame_batch),
    dead_letters=st.none() | st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=5).map(dead_batch),
    traceparent=st.none() | TEXTS,
)

EXAMPLE = Submission(
    fleet="default",
    received_at=1_700_000_000_123_456,
    request_id="r-1",
    frames=frame_batch([("car-1", 1_700_000_000_000_000, 0x123, b"\x01\x02", False, 1, 7, 9)] * 3),
    dead_letters=dead_batch([("validate", "timestamp is null", "{}")]),
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def same(left: Submission, right: Submission) -> None:
    assert replace(left, frames=None, dead_letters=None) == replace(right, frames=None, dead_letters=None)
    assert left.frames.schema == right.frames.schema
    assert left.frames.equals(right.frames)
    assert (left.dead_letters is None) == (right.dead_letters is None)
    if left.dead_letters is not None:
        assert left.dead_letters.equals(right.dead_letters)


def joined(buffers: list) -> bytes:
    return b"".join(bytes(memoryview(buffer)) for buffer in buffers)


@settings(max_examples=100, deadline=None)
@given(SUBMISSIONS)
def test_round_trip(submission: Submission) -> None:
    content = encode(submission)
    assert len(content) % 8 == 0
    decoded = decode(content)
    same(decoded, submission)
    decoded.frames.validate(full=True)
    assert len(FrameColumns.from_batch(decoded.frames)) == submission.frames.num_rows


@settings(max_examples=100, deadline=None)
@given(SUBMISSIONS, st.data())
def test_accepted_round_trip(submission: Submission, data: st.DataObject) -> None:
    n = submission.frames.num_rows
    values = st.sampled_from(
        data.draw(st.sampled_from([[NEW], [DUPLICATE], [NEW, UNVERIFIED], [NEW, DUPLICATE, UNVERIFIED]]))
    )
    verdicts = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), np.uint8)
    record = decode_accepted(joined(encode_accepted(encode(submission), verdicts)))
    duplicates = int((verdicts == DUPLICATE).sum())
    dead = submission.dead_letters.num_rows if submission.dead_letters else 0
    assert record.counts == Counts(n + dead, n - duplicates, duplicates, dead)
    if n and duplicates == n:
        same(record.submission, replace(submission, frames=frame_batch([])))
        assert record.kept is None
        assert record.unverified is None
        return
    same(record.submission, submission)
    assert (record.kept is None) == (duplicates == 0)
    if record.kept is not None:
        np.testing.assert_array_equal(record.kept, verdicts != DUPLICATE)
    assert (record.unverified is None) == (not (verdicts == UNVERIFIED).any())
    if record.unverified is not None:
        np.testing.assert_array_equal(record.unverified, verdicts == UNVERIFIED)


def test_slices_carry_their_own_rows_only() -> None:
    rows = [(f"car-{n % 3}", n, n, bytes([n]) * (n % 9), n % 2 == 0, n, n, n) for n in range(200)]
    part = frame_batch(rows).slice(77, 13)
    content = encode(replace(EXAMPLE, frames=part))
    assert decode(content).frames.to_pylist() == part.to_pylist()
    assert len(content) < len(encode(replace(EXAMPLE, frames=frame_batch(rows)))) // 2


def test_all_duplicates_keep_the_counts_and_the_dead_letters() -> None:
    rows = frame_batch([("car-1", n, 1, bytes(8), False, 0, 1, n) for n in range(5000)])
    content = encode(replace(EXAMPLE, frames=rows, dead_letters=None))
    verdicts = np.full(5000, DUPLICATE, np.uint8)
    assert len(joined(encode_accepted(content, verdicts))) < 200
    with_dead = decode_accepted(joined(encode_accepted(encode(replace(EXAMPLE, frames=rows)), verdicts)))
    assert with_dead.counts == Counts(5001, 0, 5000, 1)
    assert with_dead.submission.dead_letters is not None
    assert with_dead.submission.dead_letters.equals(EXAMPLE.dead_letters)


def test_nothing_is_copied() -> None:
    content = encode(EXAMPLE)
    begin = pa.py_buffer(content).address
    decoded = decode(content)
    for batch in (decoded.frames, decoded.dead_letters):
        for column in batch.columns:
            for buffer in column.buffers():
                assert buffer is None or begin <= buffer.address <= begin + len(content)
    assert any(
        buffer is not None and memoryview(buffer).obj is content
        for buffer in encode_accepted(content, np.zeros(3, np.uint8))
    )


def test_through_the_journal(tmp_path: Path) -> None:
    verdicts = np.array([NEW, DUPLICATE, UNVERIFIED], np.uint8)
    with Journal.open(tmp_path) as journal:
        for _ in range(3):
            journal.append(1, *encode_accepted(encode(EXAMPLE), verdicts))
        journal.sync()
        records = [decode_accepted(record.payload) for record in journal.read(0)]
    for record in records:
        same(record.submission, EXAMPLE)
        assert record.kept is not None
        assert record.kept.tolist() == [True, False, True]
        record.submission.frames.validate(full=True)


def test_header_of_version_1() -> None:
    content = encode(EXAMPLE)
    assert content[:32].hex(" ", 4) == "43465342 01000100 40222018 240a0600 03000000 01000000 07000300 37000000"
    assert (
        content[32:48]
        == (len(content) - 48 - 72 - int.from_bytes(content[40:48], "little")).to_bytes(8, "little") + (content[40:48])
    )
    assert content[48:120] == b"defaultr-1" + EXAMPLE.traceparent.encode() + bytes(7)
    accepted = joined(encode_accepted(content, np.array([NEW, DUPLICATE, UNVERIFIED], np.uint8)))
    assert accepted[:24].hex(" ", 4) == "43464143 01000300 03000000 02000000 01000000 01000000"
    assert accepted[24:40] == bytes([0b101]) + bytes(7) + bytes([0b100]) + bytes(7)
    assert accepted[40:] == content


def test_bytes_written_by_version_1_are_read() -> None:
    written = base64.b64decode((Path(__file__).parent / "submission_v1.b64").read_bytes())
    record = decode_accepted(written)
    same(record.submission, EXAMPLE)
    assert record.counts == Counts(4, 2, 1, 1)


@pytest.mark.parametrize("length", [0, 3, 47, 48, 100, -8, -1])
def test_a_part_is_refused(length: int) -> None:
    content = encode(EXAMPLE)
    with pytest.raises(JournalError):
        decode(content[:length])
    accepted = joined(encode_accepted(content, np.array([NEW, DUPLICATE, NEW], np.uint8)))
    with pytest.raises(JournalError):
        decode_accepted(accepted[:length])


def test_another_version_is_refused_by_name() -> None:
    content = bytearray(encode(EXAMPLE))
    content[4] = 2
    with pytest.raises(JournalError, match="submission of version 2"):
        decode(content)
    with pytest.raises(JournalError, match="no submission"):
        decode(b"x" * 100)
    with pytest.raises(JournalError, match="Arrow stream"):
        decode(encode(EXAMPLE)[:-500] + bytes(500))


def test_what_cannot_be_encoded_is_refused() -> None:
    with pytest.raises(JournalError, match="3 frames has 2 verdicts"):
        encode_accepted(encode(EXAMPLE), np.zeros(2, np.uint8))
    with pytest.raises(JournalError, match="schema"):
        encode(replace(EXAMPLE, frames=dead_batch([("a", "b", "c")])))
    with pytest.raises(JournalError, match="65,535"):
        encode(replace(EXAMPLE, request_id="x" * 70_000))
