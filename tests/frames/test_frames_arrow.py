"""Arrow IPC bodies: every layout that is promised, and every lie that a stream can tell."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pytest
from frames_samples import LIMITS, NOW_US, expected_frame, row, shown, stream, table
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BodyError, BodyTooLarge, CanfleetError
from pipeline.frames.body import ARROW, ParsedBody, read_body
from pipeline.frames.limits import FrameLimits
from pipeline.frames.schema import CANONICAL

ROWS = [row(), row(vehicle_id="bus-1", sequence=10, data=b""), row(arbitration_id=0x18FEF100, is_extended=True)]


def read(body: bytes, limits: FrameLimits = LIMITS) -> ParsedBody:
    return read_body(body, ARROW, None, limits, NOW_US)


def assert_all_good(body: bytes, rows: list[dict]) -> None:
    parsed = read(body)
    assert parsed.rejected.num_rows == 0
    assert parsed.frames.schema == CANONICAL
    parsed.frames.validate(full=True)
    assert shown(parsed.frames) == [expected_frame(r) for r in rows]


@pytest.mark.parametrize(
    "kind",
    [
        pa.utf8(),
        pa.large_utf8(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.utf8()),
        pa.dictionary(pa.uint16(), pa.large_utf8()),
        pa.dictionary(pa.uint64(), pa.utf8()),
    ],
    ids=str,
)
def test_vehicle_id_in_any_layout(kind: pa.DataType) -> None:
    assert_all_good(stream(table(ROWS, vehicle_id=kind)), ROWS)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()], ids=str)
def test_data_in_any_layout(kind: pa.DataType) -> None:
    assert_all_good(stream(table(ROWS, data=kind)), ROWS)


def test_data_of_fixed_size() -> None:
    rows = [row(data=b"12345678"), row(data=b"abcdefgh")]
    assert_all_good(stream(table(rows, data=pa.binary(8))), rows)


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_compressed_buffers(compression: str) -> None:
    rows = ROWS * 500
    assert_all_good(stream(table(rows), compression=compression), rows)


def test_columns_in_any_order_with_strangers_between() -> None:
    batch = table(ROWS)
    batch = batch.select(list(reversed(batch.schema.names)))
    batch = batch.add_column(2, "speed", pa.array([1.5, None, 2.5])).add_column(0, "note", pa.array(["x", "y", None]))
    assert_all_good(stream(batch), ROWS)


def test_optional_columns_may_be_absent_null_or_of_type_null() -> None:
    bare = [row(is_extended=..., channel=..., session=..., sequence=...), row(arbitration_id=0x800)]
    bare = [{k: r[k] for k in ("vehicle_id", "timestamp", "arbitration_id", "data")} for r in bare]
    assert_all_good(stream(table(bare)), bare)
    nulls = [r | {"is_extended": None, "channel": None, "session": None, "sequence": None} for r in bare]
    assert_all_good(stream(table(nulls)), bare)
    untyped = {name: pa.null() for name in ("is_extended", "channel", "session", "sequence")}
    assert_all_good(stream(table(nulls, **untyped)), bare)


def test_batches_of_a_stream_combine_over_replaced_dictionaries() -> None:
    kind = pa.dictionary(pa.int32(), pa.utf8())
    parts = [table([row(vehicle_id=v, sequence=i) for i, v in enumerate(ids)], vehicle_id=kind) for ids in ("ab", "bc")]
    parsed = read(stream(*parts))
    assert parsed.frames.column("vehicle_id").to_pylist() == ["a", "b", "b", "c"]
    assert parsed.frames.column("vehicle_id").dictionary.to_pylist() == ["a", "b", "c"]
    assert_all_good(stream(table(ROWS), table(ROWS[:1]), table(ROWS)), [*ROWS, *ROWS[:1], *ROWS])


def test_dictionary_deltas() -> None:
    kind = pa.dictionary(pa.int32(), pa.utf8())
    first = table([row(vehicle_id="a"), row(vehicle_id="b")])
    both = pa.array(["a", "b", "c"])
    second = table([row(), row()]).set_column(
        0, pa.field("vehicle_id", kind), pa.DictionaryArray.from_arrays(pa.array([2, 0], pa.int32()), both)
    )
    first = first.set_column(0, pa.field("vehicle_id", kind), first.column(0).dictionary_encode())
    parsed = read(stream(first, second, emit_dictionary_deltas=True))
    assert parsed.frames.column("vehicle_id").to_pylist() == ["a", "b", "c", "a"]


def test_dictionary_with_doubles_nulls_and_unused_entries() -> None:
    dictionary = pa.array(["unused", "a", None, "a", "b", ""])
    vehicle = pa.DictionaryArray.from_arrays(pa.array([1, 3, 2, 4, None], pa.int16()), dictionary)
    batch = table([row(sequence=i) for i in range(5)]).set_column(0, "vehicle_id", vehicle)
    parsed = read(stream(batch))
    assert parsed.frames.column("vehicle_id").to_pylist() == ["a", "a", "b"]
    assert parsed.frames.column("vehicle_id").dictionary.to_pylist() == ["a", "b"]
    assert parsed.rejected.column("reason").to_pylist() == ["vehicle_id_missing"] * 2


@pytest.mark.parametrize(
    ("unit", "value"), [("s", 1_700_000_000), ("ms", 1_700_000_000_123), ("ns", 1_700_000_000_123_456_789)]
)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin", "+05:30"])
def test_timestamps_of_any_unit_and_zone(unit: str, value: int, zone: str | None) -> None:
    """Arrow stores UTC whatever the zone; a column without one is taken as UTC."""
    parsed = read(stream(table([row(timestamp=value)], timestamp=pa.timestamp(unit, tz=zone))))
    per_second = {"s": 1, "ms": 1_000, "ns": 1_000_000_000}[unit]
    assert shown(parsed.frames)[0]["timestamp"] == value * 1_000_000 // per_second


def test_timestamps_past_the_range_of_microseconds_saturate() -> None:
    rows = [row(timestamp=2**62), row(timestamp=-(2**62)), row(timestamp=1_700_000_000)]
    parsed = read(stream(table(rows, timestamp=pa.timestamp("s", tz="UTC"))))
    assert parsed.rejected.column("reason").to_pylist() == ["timestamp_in_future", "timestamp_too_old"]
    assert parsed.frames.num_rows == 1


@pytest.mark.parametrize("kind", [pa.int8(), pa.int16(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()], ids=str)
def test_integers_of_any_width(kind: pa.DataType) -> None:
    rows = [row(arbitration_id=0x12, channel=3, session=4, sequence=5)]
    types = dict.fromkeys(("arbitration_id", "channel", "session", "sequence"), kind)
    assert_all_good(stream(table(rows, **types)), rows)


def test_integers_that_do_not_fit_reject_their_row_alone() -> None:
    rows = [
        row(),
        row(arbitration_id=-1),
        row(arbitration_id=2**40),
        row(channel=256),
        row(channel=-1),
        row(session=2**32),
        row(sequence=-5),
        row(arbitration_id=1 << 29),
    ]
    types = dict.fromkeys(("arbitration_id", "channel", "session", "sequence"), pa.int64())
    parsed = read(stream(table(rows, **types)))
    assert parsed.rejected.column("reason").to_pylist() == [
        "arbitration_id_negative",
        "arbitration_id_too_large",
        "channel_out_of_range",
        "channel_out_of_range",
        "session_out_of_range",
        "sequence_out_of_range",
        "arbitration_id_too_large",
    ]
    assert '"arbitration_id":-1,' in parsed.rejected.column("payload")[0].as_py()


@pytest.mark.parametrize("name", ["vehicle_id", "timestamp", "arbitration_id", "data"])
def test_missing_column_is_named(name: str) -> None:
    with pytest.raises(BodyError, match=f"column '{name}' .* is missing"):
        read(stream(table(ROWS).drop_columns([name])))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vehicle_id", pa.int64()),
        ("timestamp", pa.int64()),
        ("arbitration_id", pa.float64()),
        ("data", pa.utf8()),
        ("is_extended", pa.uint8()),
        ("channel", pa.utf8()),
        ("session", pa.float32()),
        ("sequence", pa.list_(pa.int8())),
        ("data", pa.null()),
        ("vehicle_id", pa.dictionary(pa.int8(), pa.int64())),
    ],
    ids=str,
)
def test_wrong_type_names_column_type_and_expectation(name: str, kind: pa.DataType) -> None:
    batch = table(ROWS)
    position = batch.schema.get_field_index(name)
    with pytest.raises(BodyError) as caught:
        read(stream(batch.set_column(position, name, pa.nulls(3, kind))))
    for word in (repr(name), str(kind), "expected"):
        assert word in str(caught.value)


def test_doubled_column_is_refused() -> None:
    batch = table(ROWS)
    with pytest.raises(BodyError, match="'data' is there 2 times"):
        read(stream(batch.append_column("data", batch.column("data"))))


def test_too_many_rows() -> None:
    with pytest.raises(BodyTooLarge, match="more than 5 rows"):
        read(stream(table(ROWS), table(ROWS)), FrameLimits(max_rows=5))


def test_too_many_messages() -> None:
    with pytest.raises(BodyTooLarge, match="messages"):
        read(stream(*[table(ROWS[:1])] * 5000))


def test_no_rows_and_no_batches() -> None:
    schema = table(ROWS).schema
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, schema).close()
    for body in (sink.getvalue().to_pybytes(), stream(table(ROWS).slice(0, 0))):
        parsed = read(body)
        assert parsed.received == 0
        assert parsed.frames.schema == CANONICAL


def test_body_at_an_odd_address() -> None:
    body = stream(table(ROWS * 100))
    shifted = memoryview(b"x" + body)[1:]
    parsed = read_body(shifted, ARROW, None, LIMITS, NOW_US)
    assert shown(parsed.frames) == [expected_frame(r) for r in ROWS * 100]
    parsed.frames.validate(full=True)


@pytest.mark.parametrize("keep", [0, 3, 8, 100, 400, -9])
def test_truncated(keep: int) -> None:
    body = stream(table(ROWS * 50), table(ROWS * 50))
    # Without its end mark a stream is still whole, so cut into the last batch as well.
    with pytest.raises(BodyError):
        read(body[: keep if keep >= 0 else len(body) + keep - 8])


def test_offsets_that_lie() -> None:
    rows = [row(data=b"abcdefgh"), row(data=b"ABCDEFGH"), row(data=b"01234567")]
    body = stream(table(rows))
    honest = struct.pack("<4i", 0, 8, 16, 24)
    for lie in ([0, 8, 16, 2**31 - 1], [0, 16, 8, 24], [-8, 8, 16, 24], [0, 2**30, 16, 24]):
        crafted = body.replace(honest, struct.pack("<4i", *lie))
        assert crafted != body
        with pytest.raises(BodyError):
            read(crafted)


def test_dictionary_indices_that_lie() -> None:
    for lie in (3, 2**31 - 1, -1, -(2**31)):
        indices = pa.array([0, lie, 1], pa.int32())
        vehicle = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
        with pytest.raises(BodyError):
            read(stream(table(ROWS).set_column(0, "vehicle_id", vehicle)))


def test_text_that_is_not_utf8() -> None:
    body = stream(table([row(vehicle_id="truck-12345")]))
    with pytest.raises(BodyError):
        read(body.replace(b"truck-12345", b"truck-\xff\xfe\xfd45"))


def test_buffers_that_claim_to_inflate_to_terabytes() -> None:
    body = stream(table(ROWS * 2000), compression="zstd")
    plain = struct.pack("<q", 6000 * 8)
    crafted = body.replace(plain, struct.pack("<q", 1 << 44))
    assert crafted != body
    with pytest.raises(BodyTooLarge, match="buffers"):
        read(crafted)


def test_views_that_overlap_do_not_multiply() -> None:
    """Each row shows the same 8 MiB: 8 TiB if they were copied out."""
    n, size = 1000, 8 << 20
    view = struct.pack("<i4sii", size, b"xxxx", 0, 0)
    for name, kind, reason in (
        ("data", pa.binary_view(), "data_too_long"),
        ("vehicle_id", pa.string_view(), "vehicle_id_too_long"),
    ):
        column = pa.Array.from_buffers(kind, n, [None, pa.py_buffer(view * n), pa.py_buffer(b"x" * size)])
        batch = table([row()] * n)
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
        parsed = read(stream(batch))
        assert set(parsed.rejected.column("reason").to_pylist()) == {reason}
        assert parsed.received == n
        assert parsed.rejected.nbytes < 2_000_000


def test_one_huge_id_used_by_every_row_does_not_multiply() -> None:
    vehicle = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), pa.array(["x" * 1_000_000]))
    parsed = read(stream(table([row()] * 2000).set_column(0, "vehicle_id", vehicle)))
    assert parsed.rejected.num_rows == 2000
    assert parsed.rejected.nbytes < 2_000_000


def test_large_shared_dictionary_is_not_walked_for_ever() -> None:
    dictionary = pa.array([f"{i:01000d}" for i in range(2000)])
    vehicle = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), dictionary)
    batch = table([row()]).set_column(0, "vehicle_id", vehicle)
    with pytest.raises(BodyTooLarge, match="dictionaries"):
        read(stream(*[batch] * 300))


def test_rejected_rows_can_be_sent_again() -> None:
    rows = [row(vehicle_id='q"uo\\te', timestamp=5, is_extended=None), row(timestamp=6, session=None, sequence=None)]
    parsed = read(stream(table(rows)))
    lines = "\n".join(parsed.rejected.column("payload").to_pylist()).encode()
    again = read_body(lines, "application/x-ndjson", None, FrameLimits(earliest="1970-01-01T00:00:00Z"), NOW_US)
    assert shown(again.frames) == [expected_frame(r) for r in rows]


SEEDS = [
    stream(table(ROWS * 4)),
    stream(*[table(r, vehicle_id=pa.dictionary(pa.int8(), pa.utf8())) for r in (ROWS * 4, ROWS[1:])]),
    stream(table(ROWS * 4, vehicle_id=pa.string_view(), data=pa.binary_view())),
    stream(table(ROWS * 40), compression="zstd"),
]


@settings(max_examples=400, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.sampled_from([0, 1, 127, 128, 255])), min_size=1, max_size=6
    ),
    cut=st.integers(0, 64),
)
def test_damaged_streams_never_do_worse_than_an_error(seed: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    body = bytearray(seed)
    for position, value in changes:
        body[position % len(body)] = value
    try:
        parsed = read(bytes(body[: len(body) - cut]))
    except CanfleetError:
        return
    parsed.frames.validate(full=True)
    parsed.rejected.validate(full=True)


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200))
def test_noise_is_no_stream(body: bytes) -> None:
    with pytest.raises(BodyError):
        read(body)
