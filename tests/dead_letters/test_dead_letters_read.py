"""Dead letters read as frames again: row by row what the reader of bodies says of each line alone."""

from __future__ import annotations

import json

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BodyError
from pipeline.frames.body import NDJSON, read_body
from pipeline.frames.letters import read_letters
from pipeline.frames.limits import FrameLimits
from pipeline.frames.reasons import MEANING, Reason, meaning_of

LIMITS = FrameLimits()
NOW = 1_769_860_800_000_000
FRAME = {"vehicle_id": "v1", "timestamp": NOW, "arbitration_id": 256, "data": "00ff", "session": 1, "sequence": 2}

faults = st.sampled_from(
    [
        {},
        {"vehicle_id": "ü"},
        {"vehicle_id": ""},
        {"vehicle_id": None},
        {"timestamp": "x"},
        {"timestamp": NOW * 2},
        {"arbitration_id": 1 << 29},
        {"data": "0"},
        {"data": "00" * 65},
        {"session": None},
    ]
)
good_or_bad = faults.map(lambda fault: json.dumps(FRAME | fault))
payloads = st.one_of(good_or_bad, st.text(st.characters(exclude_characters="\n\ufffd", codec="utf-8"), max_size=12))


def alone(payload: str) -> tuple[list[dict], list[tuple[str, str]]]:
    """What POST /v1/frames makes of a body of this one line."""
    try:
        parsed = read_body(payload.encode(), NDJSON, None, LIMITS, NOW)
    except BodyError:
        return [], [("parse", "not_json")]
    if not parsed.received:
        return [], [("parse", "not_json")]
    return parsed.frames.to_pylist(), [(row["stage"], row["reason"]) for row in parsed.rejected.to_pylist()]


@settings(deadline=None)  # the first example compiles the kernels
@given(st.lists(payloads, max_size=30))
def test_each_letter_fares_as_its_line_would_alone(texts: list[str]) -> None:
    ids = [f"id-{i}" for i in range(len(texts))]
    parsed = read_letters(pa.array(ids, pa.utf8()), pa.array(texts, pa.utf8()), LIMITS, NOW)
    frames, rejected = [], []
    for letter, text in zip(ids, texts, strict=True):
        good, bad = alone(text)
        frames += good
        rejected += [{"stage": stage, "reason": reason, "payload": letter} for stage, reason in bad]
    assert parsed.frames.to_pylist() == frames
    assert parsed.rejected.to_pylist() == rejected


def test_a_row_over_several_lines_is_one_row_and_two_rows_are_none() -> None:
    texts = [json.dumps(FRAME, indent=2) + "\n", f"{json.dumps(FRAME)}\n{json.dumps(FRAME)}"]
    parsed = read_letters(pa.array(["one", "two"]), pa.array(texts), LIMITS, NOW)
    assert parsed.frames.num_rows == 1
    assert [(row["payload"], row["reason"]) for row in parsed.rejected.to_pylist()] == [("two", "not_json")]


def test_bytes_that_were_no_text_are_not_guessed_at() -> None:
    body = json.dumps(FRAME).encode() + b"\n" + json.dumps(FRAME | {"vehicle_id": "x"}).encode().replace(b"x", b"\xff")
    [letter] = read_body(body, NDJSON, None, LIMITS, NOW).rejected.to_pylist()
    assert "\ufffd" in letter["payload"]
    parsed = read_letters(pa.array(["id"]), pa.array([letter["payload"]]), LIMITS, NOW)
    assert parsed.frames.num_rows == 0
    assert parsed.rejected.to_pylist() == [{"stage": "parse", "reason": "not_json", "payload": "id"}]


def test_every_reason_has_words() -> None:
    assert {meaning_of(reason.word) for reason in Reason} == set(MEANING.values())
    assert meaning_of("of_another_version") is None
