"""Log lines, and how many of them: nothing held back is lost from the count, nothing is written too often."""

from __future__ import annotations

import io
import json
import logging
import math
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.logs.handler import MOST, LimitedHandler, set_up_logs
from pipeline.logs.lines import JsonLines, TextLines
from pipeline.logs.repeats import MOST_KINDS, OTHERS, Kind, Repeats
from pipeline.logs.settings import LoggingSettings
from serve.faults import problem_of
from serve.problems import ProblemError, not_ready

INTERVAL_S = 60.0
KINDS = [Kind("a", 30, "one %s"), Kind("a", 30, "two"), Kind("b", 40, "one %s")]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, levels = list(root.handlers), {name: logging.getLogger(name).level for name in ("actors", "canfleet")}
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(KINDS), st.floats(0, 40), st.booleans()), max_size=80),
)
def test_what_passes_and_what_is_told_are_all(most: int, steps: list[tuple[Kind, float, bool]]) -> None:
    """Messages at any times, and a teller that looks now and then, or never."""
    repeats, now = Repeats(most, INTERVAL_S), 0.0
    passed: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    held: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for kind, pause_s, tells in steps:
        now += pause_s
        (passed if repeats.passes(kind, now) else held)[kind].append(now)
        if tells:
            for of, count in repeats.told(now):
                assert count <= len(held[of])
                del held[of][:count]
            again = repeats.tell_at()
            assert (again is None) == (not any(held.values()))
            assert again is None or again > now
            assert all(now - since < INTERVAL_S for moments in held.values() for since in moments)
    for kind, moments in passed.items():
        assert moments or not held[kind], "the first is always written"
        assert all(len(interval) <= most for interval in intervals(moments))
    assert dict(repeats.told(math.inf)) == {kind: len(moments) for kind, moments in held.items() if moments}
    assert repeats.told(math.inf) == []
    assert repeats.tell_at() is None


def intervals(moments: list[float]) -> Iterator[list[float]]:
    """What passed, by interval, each of which begins with the first that passes behind the last one's end."""
    rest = moments
    while rest:
        yield [moment for moment in rest if moment < rest[0] + INTERVAL_S]
        rest = [moment for moment in rest if moment >= rest[0] + INTERVAL_S]


def test_templates_without_end_take_no_memory_without_end() -> None:
    repeats = Repeats(2, 60.0)
    every = [repeats.passes(Kind("a", 30, f"message {i}"), 0.0) for i in range(3 * MOST_KINDS)]
    assert sum(every) == MOST_KINDS + 2
    assert repeats.told(60.0) == [(OTHERS, 2 * MOST_KINDS - 2)]
    assert repeats.passes(Kind("a", 30, "new"), 60.0)
    assert len(repeats._intervals) == 1, "those of the minute before are forgotten"


def test_a_fault_in_every_frame_fills_no_disk(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LoggingSettings(), "partition-0")
    log = logging.getLogger("actors.of_the_tests")
    for i in range(20_000):
        log.warning("frame %d is odd", i)
    log.info("something else")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == MOST + 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}Z WARNING actors\.of_the_tests: frame 0 is odd", lines[0])
    assert lines[-1].endswith("INFO actors.of_the_tests: something else")
    set_up_logs(LoggingSettings(), "partition-0")
    assert capfd.readouterr().err.endswith(f"… and {20_000 - MOST:,} more: frame %d is odd\n")


def test_how_many_were_held_back_is_told_without_another_message(capfd: pytest.CaptureFixture[str]) -> None:
    handler = LimitedHandler(TextLines(), Repeats(1, 0.05))
    for _ in range(5):
        handler.handle(logging.LogRecord("actors", logging.ERROR, "", 0, "no room", None, None))
    teller = handler._teller
    assert teller is not None
    teller.join(30)
    first, more = capfd.readouterr().err.splitlines()
    assert first.endswith("ERROR actors: no room")
    assert more.endswith("ERROR actors: … and 4 more: no room")


def test_json_has_what_is_known(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LoggingSettings(format="json", level="WARNING"), "gateway")
    log = logging.getLogger("canfleet.of_the_tests")
    log.info("left out")
    log.warning("shard %d →\n", 3, extra={"shard": "shard-3"})
    try:
        raise ValueError("odd")
    except ValueError:
        log.exception("request %s failed", "r-1", extra={"request_id": "r-1"})
    logging.getLogger("some.library").info("left out too")
    first, second = map(json.loads, capfd.readouterr().err.splitlines())
    assert first | {"time": ""} == {
        "time": "",
        "level": "WARNING",
        "logger": "canfleet.of_the_tests",
        "message": "shard 3 →\n",
        "role": "gateway",
        "shard": "shard-3",
    }
    assert second["request_id"] == "r-1"
    assert second["exception"].endswith("ValueError: odd")
    assert "shard" not in second
    # Formatted, not logged: pytest's own report of what was logged holds no half of a character.
    odd = logging.LogRecord("canfleet", logging.WARNING, "", 0, "\udc80", None, None)
    assert json.loads(JsonLines("gateway").format(odd).encode())["message"] == "\udc80"


def test_it_is_written_where_serve_has_taken_print_and_stderr_away(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_logs(LoggingSettings(), "gateway")
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr("builtins.print", lambda *objects, **options: None)
    assert problem_of(ValueError("odd"), "r-1").status == 500
    first, *_, last = capfd.readouterr().err.splitlines()
    assert first.endswith("ERROR canfleet.serve: request r-1 failed")
    assert last == "ValueError: odd"


def test_what_a_handler_says_itself_is_no_fault(capfd: pytest.CaptureFixture[str]) -> None:
    set_up_logs(LoggingSettings(), "query")
    assert problem_of(ProblemError(not_ready(["shard 0 recovers"])), "r-1").status == 503
    assert capfd.readouterr().err == ""


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"logging\.format"):
        load_config(None, {"logging.format": "xml"})
