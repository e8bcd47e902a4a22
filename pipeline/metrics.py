"""Every metric of canfleet: name, type, unit, labels, meaning. Nothing is measured that is not in this list.

Ray exports them in Prometheus' text format, with `ray_` before the name. They are brought up to date from counts that
exist anyway, once a second, or once a request or insert: never once a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a number does over time."""

    COUNTER = "counter"
    """It only grows, from zero at the start of the process."""
    GAUGE = "gauge"
    """It is what it is now. Counts that a restart does not lose are gauges too: they do not start again at zero."""
    HISTOGRAM = "histogram"
    """Observations by size: three counters, `…_bucket` with the label `le`, `…_sum`, `…_count`."""


UNITS: Final = {
    "frames": "frames",
    "requests": "requests",
    "lookups": "questions",
    "spans": "spans",
    "streams": "connections",
    "vehicles": "vehicles",
    "bytes": "bytes",
    "seconds": "seconds",
    "up": "0 or 1",
    "open": "0 or 1",
    "away": "0 or 1",
    "recovering": "0 or 1",
    "filled": "part of 1",
}
"""By the last word of a metric's name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: its last word tells the unit, see `UNITS`.
        kind: its type.
        labels: names of the labels, in the order in which values are given.
        meaning: one line for people.
        bounds: upper bounds of a histogram's buckets.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """What its numbers are; of a histogram, those that are observed."""
        return UNITS[self.name.rpartition("_")[2]]


_OF_FLEET: Final = ("shard", "fleet")
_OF_SHARD: Final = ("shard",)
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# The ledger, by shard and fleet; the sums over the shards are the totals of /v1/ledger.
RECEIVED: Final = Metric(
    "canfleet_ledger_received_frames", Kind.GAUGE, _OF_FLEET, "Frames received; accepted + duplicates + dead letters."
)
ACCEPTED: Final = Metric("canfleet_ledger_accepted_frames", Kind.GAUGE, _OF_FLEET, "Frames accepted; stored + pending.")
DUPLICATES: Final = Metric(
    "canfleet_ledger_duplicate_frames", Kind.GAUGE, _OF_FLEET, "Frames dropped because they were accepted before."
)
DEAD_LETTERED: Final = Metric(
    "canfleet_ledger_dead_lettered_frames",
    Kind.GAUGE,
    _OF_FLEET,
    "Frames refused for their content, kept as dead letters.",
)
STORED: Final = Metric(
    "canfleet_ledger_stored_frames", Kind.GAUGE, _OF_FLEET, "Accepted frames that ClickHouse has confirmed."
)
PENDING: Final = Metric(
    "canfleet_ledger_pending_frames", Kind.GAUGE, _OF_FLEET, "Accepted frames on their way to ClickHouse."
)
# Sequence gaps: what vehicles counted and we never got.
MISSING: Final = Metric(
    "canfleet_missing_frames", Kind.GAUGE, _OF_FLEET, "Frames that vehicles counted and that never came."
)
# Lags and sizes of a shard.
VEHICLES: Final = Metric("canfleet_vehicles", Kind.GAUGE, _OF_SHARD, "Vehicles that a shard knows.")
BACKLOG: Final = Metric(
    "canfleet_backlog_bytes", Kind.GAUGE, _OF_SHARD, "Journal bytes that are processed and not in ClickHouse."
)
UNPROCESSED: Final = Metric(
    "canfleet_unprocessed_bytes", Kind.GAUGE, _OF_SHARD, "Committed frames that wait to be decoded, in bytes."
)
UNSTORED_AGE: Final = Metric(
    "canfleet_unstored_age_seconds",
    Kind.GAUGE,
    _OF_SHARD,
    "Since the oldest frame or dead letter was received that ClickHouse lacks; 0 where it lacks none.",
)
JOURNAL: Final = Metric("canfleet_journal_bytes", Kind.GAUGE, _OF_SHARD, "Size of the journal on disk.")
JOURNAL_ROOM: Final = Metric(
    "canfleet_journal_room_bytes",
    Kind.GAUGE,
    _OF_SHARD,
    "What the journal may still grow, by its disk and its bounds, before live requests are refused; below 0 they are.",
)
CHECKPOINT_AGE: Final = Metric(
    "canfleet_checkpoint_age_seconds",
    Kind.GAUGE,
    _OF_SHARD,
    "Since the newest checkpoint was written, or since the start where none was yet.",
)
RECOVERING: Final = Metric(
    "canfleet_recovering",
    Kind.GAUGE,
    _OF_SHARD,
    "1 while a shard takes in again what came after its checkpoint, and new frames wait for that, else 0.",
)
WAREHOUSE_UP: Final = Metric(
    "canfleet_warehouse_up", Kind.GAUGE, _OF_SHARD, "1 while inserts into ClickHouse succeed, 0 after one that failed."
)
BREAKER_OPEN: Final = Metric(
    "canfleet_warehouse_breaker_open",
    Kind.GAUGE,
    _OF_SHARD,
    "1 while ClickHouse is not asked, or only now and then, since it did not answer, else 0.",
)
INSERT_SECONDS: Final = Metric(
    "canfleet_insert_seconds",
    Kind.HISTOGRAM,
    ("shard", "table"),
    "How long inserts into ClickHouse took, those that succeeded.",
    _SECONDS,
)
# The breaker before each partition actor, as each process of the HTTP API sees it.
PARTITION_AWAY: Final = Metric(
    "canfleet_partition_away",
    Kind.GAUGE,
    _OF_SHARD,
    "1 while a process of the HTTP API refuses requests for a shard whose actor does not answer, else 0.",
)
# Requests, as the replicas see them; `endpoint` is frames, stream, logs, or query for everything else.
ACKNOWLEDGEMENT_SECONDS: Final = Metric(
    "canfleet_acknowledgement_seconds",
    Kind.HISTOGRAM,
    ("endpoint",),
    "From a request's headers, or a message of a stream, to its 202.",
    _SECONDS,
)
ANSWER_SECONDS: Final = Metric(
    "canfleet_answer_seconds",
    Kind.HISTOGRAM,
    (),
    "From a question of any other kind to the head of its answer, those without an error; not of /healthz and /readyz.",
    _SECONDS,
)
STREAMS: Final = Metric("canfleet_streams", Kind.GAUGE, (), "Vehicles connected to /v1/stream.")
REFUSED_REQUESTS: Final = Metric(
    "canfleet_refused_requests", Kind.COUNTER, ("endpoint", "status"), "Requests answered with an error, by status."
)
REFUSED_FRAMES: Final = Metric(
    "canfleet_refused_frames",
    Kind.COUNTER,
    ("endpoint",),
    "Frames of requests that were parsed and then refused for want of room; a log's wait for room counts each time.",
)
LETTERS_FILLED: Final = Metric(
    "canfleet_dead_letters_filled",
    Kind.GAUGE,
    ("fleet",),
    "Part of dead_letters.max_rows that a fleet's dead letters take, as a process that takes frames in counted last.",
)

# The cache of answers about the past, of each process that answers queries.
CACHE_LOOKUPS: Final = Metric(
    "canfleet_history_cache_lookups",
    Kind.COUNTER,
    ("result",),
    "Questions about the past: hit, answered from memory, or miss; hits over both is the hit rate.",
)
CACHE_BYTES: Final = Metric("canfleet_history_cache_bytes", Kind.GAUGE, (), "Memory of the answers that are kept.")
DROPPED_SPANS: Final = Metric(
    "canfleet_trace_dropped_spans",
    Kind.COUNTER,
    (),
    "Spans of traces that were let go, since the collector did not take them or too many waited for it.",
)

LEDGER: Final = {
    "received": RECEIVED,
    "accepted": ACCEPTED,
    "duplicates": DUPLICATES,
    "dead_lettered": DEAD_LETTERED,
    "stored": STORED,
    "pending": PENDING,
}
"""By field of `Tally.as_dict`."""

OF_STATUS: Final = {
    "vehicles": VEHICLES,
    "unprocessed_bytes": UNPROCESSED,
    "unstored_journal_bytes": BACKLOG,
    "unstored_age_s": UNSTORED_AGE,
    "journal_bytes": JOURNAL,
    "journal_room_bytes": JOURNAL_ROOM,
    "checkpoint_age_s": CHECKPOINT_AGE,
    "recovering": RECOVERING,
}
"""By field of a shard in `/v1/status`, whose names are older and stay."""

ALL: Final = (
    *LEDGER.values(),
    MISSING,
    VEHICLES,
    BACKLOG,
    UNPROCESSED,
    UNSTORED_AGE,
    JOURNAL,
    JOURNAL_ROOM,
    CHECKPOINT_AGE,
    RECOVERING,
    WAREHOUSE_UP,
    BREAKER_OPEN,
    INSERT_SECONDS,
    PARTITION_AWAY,
    ACKNOWLEDGEMENT_SECONDS,
    ANSWER_SECONDS,
    STREAMS,
    REFUSED_REQUESTS,
    REFUSED_FRAMES,
    LETTERS_FILLED,
    CACHE_LOOKUPS,
    CACHE_BYTES,
    DROPPED_SPANS,
)
"""In the order of docs/metrics.md."""
