"""What the misbehaving send, and which answers are held to be right."""

from __future__ import annotations

import json

from loadtest.misdeeds import PROBLEM, Misdeed, fault, misdeeds

BAD = Misdeed("bad", frozenset({400}))
ROW = Misdeed("row", frozenset({202}))


def answer(status: int, kind: str = PROBLEM) -> tuple[int, dict[str, str], bytes]:
    return status, {"Content-Type": kind}, json.dumps({"status": status}).encode()


def test_only_the_right_problem_is_right() -> None:
    assert fault(BAD, *answer(400)) is None
    assert fault(BAD, *answer(500)) == "500 instead of 400"
    assert fault(BAD, *answer(202)) == "202 instead of 400"
    assert fault(BAD, *answer(400, "text/html")) == "400 is no problem document"
    assert fault(BAD, 400, {"Content-Type": PROBLEM}, b'{"status": 500}') == "400, but the document says otherwise"


def test_a_refusal_for_now_must_say_when_to_come_again() -> None:
    assert fault(BAD, 429, {"Retry-After": "1"}, b"") is None
    assert fault(BAD, 503, {}, b"") == "503 without Retry-After"


def test_a_bad_row_must_become_a_dead_letter() -> None:
    counts = {"received": 1, "accepted": 0, "duplicates": 0, "dead_lettered": 1}
    assert fault(ROW, 202, {}, json.dumps(counts).encode()) is None
    wrong = counts | {"accepted": 1, "dead_lettered": 0}
    assert fault(ROW, 202, {}, json.dumps(wrong).encode()) == "a bad row was accepted"


def test_bombs_are_small_as_they_are_sent() -> None:
    for misdeed in misdeeds():
        assert len(misdeed.body) < (18 << 20 if misdeed.name == "17 MiB" else 200_000), misdeed.name
