"""NDJSON and JSON bodies: the fast and the complete reader agree, and a bad row is rejected alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from frames_samples import (
    LIMITS,
    NOW_US,
    columns_of,
    expected_frame,
    expected_reason,
    json_row,
    ndjson,
    row,
    shown,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BodyError, BodyTooLarge, CanfleetError
from pipeline.frames.body import JSON, NDJSON, ParsedBody, read_body
from pipeline.frames.json_object import read_object
from pipeline.frames.json_reader import read_ndjson
from pipeline.frames.limits import FrameLimits
from pipeline.frames.rfc3339 import parse_rfc3339


def read_lines(body: bytes) -> ParsedBody:
    return read_body(body, NDJSON, None, LIMITS, NOW_US)


def read_list(body: bytes) -> ParsedBody:
    return read_body(body, JSON, None, LIMITS, NOW_US)


def test_lines_and_list_give_the_same_frames() -> None:
    rows = [row(sequence=i, vehicle_id=f"v{i % 3}") for i in range(50)]
    for parsed in (
        read_lines(ndjson(rows)),
        read_lines(ndjson(rows).replace(b"\n", b"\r\n\n  \t\r\n") + b"\n"),
        read_lines(b"\xef\xbb\xbf" + ndjson(rows)),
        read_list(b"[" + ndjson(rows).replace(b"\n", b",") + b"]"),
        read_list(b" \n[ " + ndjson(rows).replace(b"\n", b" ,\n ") + b" ] \n"),
        read_list(json.dumps([r | {"data": r["data"].hex()} for r in rows], indent=4).encode()),
    ):
        assert parsed.rejected.num_rows == 0
        assert shown(parsed.frames) == [expected_frame(r) for r in rows]
        assert parsed.frames.column("vehicle_id").dictionary.to_pylist() == ["v0", "v1", "v2"]
        parsed.frames.validate(full=True)


def test_empty_bodies() -> None:
    assert read_lines(b"").received == 0
    assert read_lines(b"\n \r\n").received == 0
    assert read_list(b" [ ] ").received == 0
    with pytest.raises(BodyError):
        read_list(b"")


BAD_LINES = [
    ("{", "not_json"),
    ("nonsense", "not_json"),
    ('{"vehicle_id": "a",}', "not_json"),
    ('{"vehicle_id": "a"} trailing', "not_json"),
    ("\x00", "not_json"),
    ("3", "not_an_object"),
    ("null", "not_an_object"),
    ('["vehicle_id"]', "not_an_object"),
    ("{}", "vehicle_id_missing"),
    (json_row(row(vehicle_id=None)), "vehicle_id_missing"),
    (json_row(row(vehicle_id=17)), "vehicle_id_wrong_type"),
    (json_row(row(vehicle_id="")), "vehicle_id_empty"),
    (json_row(row(vehicle_id="x" * 65)), "vehicle_id_too_long"),
    (json_row(row(vehicle_id="a\tb")), "vehicle_id_control_character"),
    (json_row(row(vehicle_id="a\x85b")), "vehicle_id_control_character"),
    (json_row(row(timestamp=...)), "timestamp_missing"),
    (json_row(row(timestamp="2024-02-30T00:00:00Z")), "timestamp_not_rfc3339"),
    (json_row(row(timestamp="2024-02-03T00:00:00")), "timestamp_not_rfc3339"),
    (json_row(row(timestamp="yesterday")), "timestamp_not_rfc3339"),
    (json_row(row(timestamp=1.7e9 + 0.5)), "timestamp_wrong_type"),
    (json_row(row(timestamp=True)), "timestamp_wrong_type"),
    (json_row(row(timestamp="1970-01-01T00:00:00Z")), "timestamp_too_old"),
    (json_row(row(timestamp=-1)), "timestamp_too_old"),
    (json_row(row(timestamp="2200-01-01T00:00:00Z")), "timestamp_in_future"),
    (json_row(row(timestamp=10**30)), "timestamp_in_future"),
    (json_row(row(timestamp=2**63)), "timestamp_in_future"),
    (json_row(row(timestamp=float("nan"))), "not_a_number"),
    (json_row(row(arbitration_id=float("inf"))), "not_a_number"),
    (json_row(row(session=float("nan"))), "not_a_number"),
    (json_row(row(arbitration_id="12")), "arbitration_id_wrong_type"),
    (json_row(row(arbitration_id=1.0)), "arbitration_id_wrong_type"),
    (json_row(row(arbitration_id=-3)), "arbitration_id_negative"),
    (json_row(row(arbitration_id=1 << 29, is_extended=True)), "arbitration_id_too_large"),
    (json_row(row(arbitration_id=1 << 70, is_extended=True)), "arbitration_id_too_large"),
    (json_row(row(arbitration_id=0x800, is_extended=False)), "arbitration_id_not_standard"),
    (json_row(row(data=None)), "data_missing"),
    (json_row(row(data=[1, 2])), "data_wrong_type"),
    (json_row(row(data="abc")), "data_not_hexadecimal"),
    (json_row(row(data="0x12")), "data_not_hexadecimal"),
    (json_row(row(data="ab cd ")), "data_not_hexadecimal"),
    (json_row(row(data="é0")), "data_not_hexadecimal"),
    (json_row(row(data=b"x" * 65)), "data_too_long"),
    (json_row(row(is_extended=1)), "is_extended_wrong_type"),
    (json_row(row(channel="can0")), "channel_wrong_type"),
    (json_row(row(channel=256)), "channel_out_of_range"),
    (json_row(row(session=-1)), "session_out_of_range"),
    (json_row(row(sequence=2**64)), "sequence_out_of_range"),
    (json_row(row(sequence=None)), "session_without_sequence"),
    (json_row(row(session=...)), "sequence_without_session"),
    (json_row(row(vehicle_id="", timestamp="x", data="zz")), "timestamp_not_rfc3339"),
]


@pytest.mark.parametrize(
    ("line", "reason"), BAD_LINES, ids=[f"{reason}-{i}" for i, (_, reason) in enumerate(BAD_LINES)]
)
def test_bad_row_is_rejected_alone_with_its_text(line: str, reason: str) -> None:
    before, after = row(sequence=1), row(sequence=2)
    body = f"{json_row(before)}\n{line}\n{json_row(after)}".encode()
    parsed = read_lines(body)
    assert shown(parsed.frames) == [expected_frame(before), expected_frame(after)]
    assert parsed.rejected.column("reason").to_pylist() == [reason]
    assert parsed.rejected.column("payload").to_pylist() == [line]
    stage = parsed.rejected.column("stage")[0].as_py()
    assert stage == (
        "parse" if reason.endswith(("json", "object", "number", "type", "rfc3339", "hexadecimal")) else "validate"
    )
    if reason != "not_json":
        in_list = read_list(b"[" + body.replace(b"\n", b",") + b"]")
        assert in_list.rejected.equals(parsed.rejected)
        assert in_list.frames.equals(parsed.frames)


def test_element_that_is_not_json_is_rejected_alone() -> None:
    good = json_row(row())
    parsed = read_list(f"[{good}, nonsense, {good},, {{'a': 1}}, {good}]".encode())
    assert parsed.frames.num_rows == 3
    assert parsed.rejected.column("payload").to_pylist() == ["nonsense", "", "{'a': 1}"]


def test_invalid_utf8_rejects_its_row_alone() -> None:
    body = ndjson([row(vehicle_id="a"), row(vehicle_id="zürich"), row(vehicle_id="b")])
    broken = json_row(row(vehicle_id="qqq")).encode().replace(b"qqq", b"q\xff\xfe")
    parsed = read_lines(body + b"\n" + broken)
    assert parsed.frames.column("vehicle_id").to_pylist() == ["a", "zürich", "b"]
    assert parsed.rejected.column("reason").to_pylist() == ["not_json"]
    assert "q\ufffd\ufffd" in parsed.rejected.column("payload")[0].as_py()


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        b"<html></html>",
        b'{"vehicle_id": "a"}',
        b"[",
        b'[{"vehicle_id": "a"',
        b'["abc',
        b"[]]",
        b"[] x",
        b"[}]",
    ],
)
def test_body_that_is_no_list(body: bytes) -> None:
    with pytest.raises(BodyError):
        read_list(body)


@pytest.mark.parametrize("body", [b"hello", b"hello\nworld", b"\x1f\x8b\x08\x00", b"\xff" * 100])
def test_body_without_one_json_line(body: bytes) -> None:
    with pytest.raises(BodyError, match="not JSON"):
        read_lines(body)


def test_too_many_rows() -> None:
    limits = FrameLimits(max_rows=3)
    for content_type, body in ((NDJSON, b"1\n" * 4), (JSON, b"[1,1,1,1]")):
        with pytest.raises(BodyTooLarge, match="more than 3 rows"):
            read_body(body, content_type, None, limits, NOW_US)
    assert read_body(b"1\n" * 3, NDJSON, None, limits, NOW_US).received == 3
    assert read_body(b"[1,1,1]", JSON, None, limits, NOW_US).received == 3


def test_deep_nesting_and_long_digits_are_no_crash() -> None:
    good = ndjson([row()])
    deep = b'{"x":' + b"[" * 100_000 + b"NaN" + b"]" * 100_000 + b"}"
    digits = b'{"vehicle_id":NaN,"timestamp":' + b"9" * 10_000 + b"}"
    parsed = read_lines(good + b"\n" + deep + b"\n" + digits)
    assert parsed.frames.num_rows == 1
    assert parsed.rejected.column("reason").to_pylist() == ["not_json", "not_json"]
    assert read_list(b"[" + good + b"," + deep + b"]").rejected.num_rows == 1


def test_lone_surrogates_are_no_text() -> None:
    line = json_row(row(vehicle_id="Q")).replace('"Q"', '"\\ud800"').replace('"channel": 2', '"x": NaN')
    parsed = read_lines(ndjson([row()]) + b"\n" + line.encode())
    assert parsed.rejected.column("reason").to_pylist() == ["vehicle_id_wrong_type"]


def slot(vehicle_id: str, slots: int) -> int:
    code = 14695981039346656037
    for byte in vehicle_id.encode():
        code = (code ^ byte) * 1099511628211 % 2**64
    return (code ^ (code >> 32)) % slots


def test_ids_made_to_collide_are_read_by_the_complete_reader() -> None:
    """60 rows are hashed into 128 slots: all of these want the same one."""
    colliding = (name for i in range(100_000) if slot(name := f"v{i}", 128) == 5)
    rows = [row(vehicle_id=next(colliding), sequence=i) for i in range(60)]
    assert shown(read_lines(ndjson(rows)).frames) == [expected_frame(r) for r in rows]


def rfc3339(text: str) -> int | None:
    letters = np.frombuffer(text.encode(), np.uint8)
    good, value = parse_rfc3339(letters, 0, len(letters))
    return value if good else None


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),
    st.integers(-23 * 60, 23 * 60),
    st.integers(0, 9),
    st.sampled_from("Tt "),
)
def test_rfc3339_agrees_with_the_standard_library(moment: datetime, minutes: int, digits: int, t: str) -> None:
    zone = timezone(timedelta(minutes=minutes))
    moment = moment.replace(tzinfo=zone)
    fraction = f"{moment.microsecond:06d}789"[:digits]
    kept = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    offset = "Z" if minutes == 0 else f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    text = f"{moment:%Y-%m-%d}".rjust(10, "0") + t + f"{moment:%H:%M:%S}" + (f".{fraction}" if digits else "") + offset
    assert rfc3339(text) == (kept - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.Z",
        "2024-13-01T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:61Z",
        "2024-01-01T00:00:00+0100",
        "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00ZZ",
        "2024-01-01T00:00:00.123456",
        "2024/01/01T00:00:00Z",
        "+024-01-01T00:00:00Z",
        "2024-01-01T00:00:00 Z",
    ],
)
def test_rfc3339_refuses(text: str) -> None:
    assert rfc3339(text) is None


def test_rfc3339_leap_second() -> None:
    assert rfc3339("2016-12-31T23:59:60Z") == rfc3339("2017-01-01T00:00:00Z")


NAMES = ["vehicle_id", "timestamp", "arbitration_id", "data", "is_extended", "channel", "session", "sequence", "other"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.integers(2**31, 2**33),
    st.integers(2**62, 2**65),
    st.integers(NOW_US - 10**12, NOW_US),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=66).map(bytes.hex),
    st.sampled_from(["2024-05-06T07:08:09.5+02:00", "2024-05-06", "a\u0000", "é"]),
    st.lists(st.integers(), max_size=2),
)
SPACE = st.sampled_from(["", " ", "\t", "  "])


@st.composite
def objects(draw: st.DrawFn) -> str:
    """Text of an object: any names in any order, even twice, with any values and any white space."""
    members = draw(st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=10))
    if draw(st.booleans()):
        members = list({**row(data="0102ff"), **dict(members)}.items())
    ascii_only = draw(st.booleans())
    texts = [
        f'{draw(SPACE)}"{k}"{draw(SPACE)}:{draw(SPACE)}{json.dumps(v, ensure_ascii=ascii_only)}{draw(SPACE)}'
        for k, v in members
    ]
    return "{" + ",".join(texts) + "}"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(objects(), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 999), st.integers(0, 127)), max_size=2),
)
def test_fast_reader_agrees_with_the_complete_one(texts: list[str], changes: list[tuple[int, int]]) -> None:
    body = bytearray("\n".join(texts).encode())
    for position, byte in changes:
        body[position % len(body)] = byte
    lines = [line.strip(b" \t\r") for line in bytes(body).split(b"\n")]
    slow = [read_object(line) for line in lines if line]
    if not slow or all(read.fault == 1 for read in slow):
        return
    fast = columns_of(read_ndjson(bytes(body), LIMITS))
    expected = [
        (
            read.vehicle_id,
            read.timestamp if read.present & 1 else None,
            read.arbitration_id if read.present & 2 else None,
            read.data if read.present & 4 else None,
            read.extended,
            read.channel,
            read.session if read.present & 8 else None,
            read.sequence if read.present & 16 else None,
            read.fault,
        )
        for read in slow
    ]
    assert fast == expected


FRAMES = st.fixed_dictionaries(
    {
        "vehicle_id": st.one_of(st.sampled_from(["a", "b", "", "ü" * 64, "y" * 65]), st.none(), st.text(max_size=3)),
        "timestamp": st.sampled_from([NOW_US, 946_684_800_000_000, 946_684_799_999_999, 0, NOW_US + 10**12, None]),
        "arbitration_id": st.sampled_from([0, 0x7FF, 0x800, 0x1FFFFFFF, 0x20000000, -1, None]),
        "data": st.one_of(st.binary(max_size=8), st.sampled_from([b"", b"z" * 64, b"z" * 65, None])),
        "is_extended": st.sampled_from([True, False, None]),
    },
    optional={
        "channel": st.sampled_from([0, 255, 256, None]),
        "session": st.sampled_from([0, 2**32 - 1, 2**32, None]),
        "sequence": st.sampled_from([0, 2**64 - 1, 2**64, None]),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(FRAMES, max_size=12))
def test_every_good_row_is_kept_and_every_bad_one_named(rows: list[dict]) -> None:
    parsed = read_lines(ndjson(rows))
    reasons = [expected_reason(r) for r in rows]
    assert parsed.received == len(rows)
    assert shown(parsed.frames) == [
        expected_frame(r) for r, reason in zip(rows, reasons, strict=True) if reason is None
    ]
    assert parsed.rejected.column("reason").to_pylist() == [reason for reason in reasons if reason]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.text(alphabet='[]{}",: \n\\x1aN', max_size=60).map(str.encode)))
def test_noise_is_an_error_or_is_counted(body: bytes) -> None:
    for content_type in (JSON, NDJSON):
        try:
            parsed = read_body(body, content_type, None, LIMITS, NOW_US)
        except CanfleetError:
            continue
        assert parsed.frames.num_rows == 0
        if content_type == NDJSON:
            assert parsed.received == sum(
                bool(line.strip(b" \t\r")) for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n")
            )
