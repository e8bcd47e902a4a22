"""What came of a run: a line for each kind of user, each threshold that was missed by name, and the exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from locust import events
from locust.env import Environment

from loadtest.options import bounds
from loadtest.tally import TALLIES, Tally, is_worker
from loadtest.thresholds import THRESHOLDS, Measured, missed, with_overrides

DONE: Final = "done"
"""The type under which the report shows requests with all their tries, by kind of user."""


@events.init.add_listener
def _check_options(environment: Environment, **_: object) -> None:
    try:
        with_overrides(THRESHOLDS, bounds(environment.parsed_options))
    except ValueError as error:
        sys.exit(f"loadtest: {error}")


@events.quitting.add_listener
def _judge(environment: Environment, **_: object) -> None:
    """Print and write the verdict, and choose the exit status, unless a master does."""
    if is_worker(environment):
        return
    options: Any = environment.parsed_options
    thresholds = with_overrides(THRESHOLDS, bounds(options))
    measured = {kind: _measured(environment, kind, tally) for kind, tally in TALLIES.by_kind.items()}
    lines = [line for kind, one in measured.items() for line in missed(kind, thresholds[kind], one)]
    crashes = getattr(environment.runner, "exceptions", {}).values()
    lines += [f"a user failed {crash['count']} times: {crash['msg']}" for crash in crashes]
    if not measured:
        lines.append("no user did anything")
    for kind, one in measured.items():
        print(
            f"{kind}: {one.per_s:,.0f}/s done, {one.share:.1%} of what was due; p50 {one.p50_ms:,.0f} ms, "
            f"p99 {one.p99_ms:,.0f} ms; {one.failed:,} of {one.requests:,} requests given up"
        )
    for line in lines:
        print(f"threshold missed: {line}")
    if options.summary:
        document = {
            "kinds": {kind: _document(one, TALLIES.of(kind)) for kind, one in measured.items()},
            "missed": lines,
        }
        Path(options.summary).write_text(json.dumps(document, indent=2) + "\n")
    environment.process_exit_code = 1 if lines else 0


def _measured(environment: Environment, kind: str, tally: Tally) -> Measured:
    stats = environment.stats
    entry = stats.get(kind, DONE)
    seconds = (stats.total.last_request_timestamp or 0.0) - stats.total.start_time
    return Measured(
        requests=entry.num_requests,
        failed=entry.num_failures,
        p50_ms=entry.get_response_time_percentile(0.5),
        p99_ms=entry.get_response_time_percentile(0.99),
        due=tally.due,
        acknowledged=tally.acknowledged,
        broken=tally.broken,
        seconds=max(seconds, 0.0),
    )


def _document(measured: Measured, tally: Tally) -> dict[str, Any]:
    figures = {"p50_ms": measured.p50_ms, "p99_ms": measured.p99_ms, "per_s": measured.per_s, "share": measured.share}
    counts = {"requests": measured.requests, "failed": measured.failed, "seconds": measured.seconds}
    return figures | counts | vars(tally)
