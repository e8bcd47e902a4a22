"""A frame's way: received, made durable, processed, stored; and whatever holds it up."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build

from deploy.grafana.source import prometheus
from deploy.grafana.source.panels import Shown, board, chart, number, red_from, row
from deploy.grafana.source.prometheus import asks, per_second, quantile, slope, total, worst
from pipeline import metrics


def dashboard() -> build.Dashboard:
    """The dashboard `canfleet-pipeline`."""
    page = board("pipeline", "A frame's way through every stage, and what holds it up.", since="now-1h", refresh="10s")
    stages = {
        "Now": _now(),
        "Received and acknowledged": _intake(),
        "Refused: breaker, lanes, rate limits": _refused(),
        "Processed": _processed(),
        "Stored": _stored(),
        "Dead letters and gaps": _lost(),
        "The machines": _machines(),
    }
    for title, panels in stages.items():
        page = page.with_row(row(title))
        for panel in panels:
            page = page.with_panel(panel)
    return page


def _now() -> list[Shown]:
    behind = f"{total(metrics.PENDING)} / clamp_min({per_second(metrics.STORED)}, 1)"
    return [
        asks(number("Received", "cps"), {"received": per_second(metrics.RECEIVED)}),
        asks(
            number("Acknowledged within (p99)", "s", meaning=metrics.ACKNOWLEDGEMENT_SECONDS.meaning),
            {"p99": quantile(metrics.ACKNOWLEDGEMENT_SECONDS, 0.99)},
        ),
        asks(number("Stored", "cps"), {"stored": per_second(metrics.STORED)}),
        asks(
            number("Behind", "s", meaning="Pending frames, at the speed at which frames are stored."), {"lag": behind}
        ),
        asks(
            red_from(number("Shards without ClickHouse", meaning=metrics.WAREHOUSE_UP.meaning), 1),
            {"away": f"count({prometheus.exported(metrics.WAREHOUSE_UP)} == 0) or vector(0)"},
        ),
        asks(
            red_from(number("Shards away", meaning=metrics.PARTITION_AWAY.meaning), 1),
            {"away": f"count(max by (shard) ({prometheus.exported(metrics.PARTITION_AWAY)}) == 1) or vector(0)"},
        ),
    ]


def _intake() -> list[Shown]:
    return [
        asks(chart("Received by fleet", "cps"), {"{{fleet}}": per_second(metrics.RECEIVED, "fleet")}),
        asks(
            chart("Acknowledgement", "s", meaning=metrics.ACKNOWLEDGEMENT_SECONDS.meaning),
            {
                "{{endpoint}} p50": quantile(metrics.ACKNOWLEDGEMENT_SECONDS, 0.5, "endpoint"),
                "{{endpoint}} p99": quantile(metrics.ACKNOWLEDGEMENT_SECONDS, 0.99, "endpoint"),
            },
        ),
        asks(
            chart("Requests that failed, over an hour", "percentunit", meaning="The objective is 0.1 %."),
            {"{{service}}": prometheus.FAILED_RATIO},
        ),
        asks(
            chart("Questions", "s", meaning=metrics.ANSWER_SECONDS.meaning),
            {"p50": quantile(metrics.ANSWER_SECONDS, 0.5), "p99": quantile(metrics.ANSWER_SECONDS, 0.99)},
        ),
        asks(
            chart("Vehicles", meaning=f"Known: {metrics.VEHICLES.meaning} Connected: {metrics.STREAMS.meaning}"),
            {"known": f"sum({worst(metrics.VEHICLES)})", "connected": total(metrics.STREAMS)},
        ),
        asks(
            chart("Journal", "bytes", meaning=metrics.JOURNAL.meaning), {"{{shard}}": total(metrics.JOURNAL, "shard")}
        ),
    ]


def _refused() -> list[Shown]:
    lanes = "503: no room for this lane, 429: beyond a rate limit, 401 and 403: keys, 4xx: the caller's mistake."
    return [
        asks(
            chart("Refused requests by status", "reqps", meaning=lanes),
            {"{{status}}": per_second(metrics.REFUSED_REQUESTS, "status")},
        ),
        asks(
            chart("Rate limits and room", "reqps", meaning="429: a limit; 503: no room, or a shard that is away."),
            {
                "limited": per_second(metrics.REFUSED_REQUESTS, only='status="429"'),
                "no room": per_second(metrics.REFUSED_REQUESTS, only='status="503"'),
            },
        ),
        asks(
            chart("Frames refused for want of room", "cps", meaning=metrics.REFUSED_FRAMES.meaning),
            {"{{endpoint}}": per_second(metrics.REFUSED_FRAMES, "endpoint")},
        ),
        asks(
            chart(
                "Breakers open", meaning="To a shard: its requests are refused. To ClickHouse: what is stored waits."
            ),
            {
                "to shard {{shard}}": worst(metrics.PARTITION_AWAY),
                "from shard {{shard}} to ClickHouse": worst(metrics.BREAKER_OPEN),
            },
        ),
    ]


def _processed() -> list[Shown]:
    return [
        asks(
            chart("Accepted and duplicates", "cps"),
            {"accepted": slope(metrics.ACCEPTED), "duplicates": per_second(metrics.DUPLICATES)},
        ),
        asks(
            chart("Waiting to be decoded", "bytes", meaning=metrics.UNPROCESSED.meaning),
            {"shard {{shard}}": total(metrics.UNPROCESSED, "shard")},
        ),
        asks(
            chart("Taking the journal in again", meaning=metrics.RECOVERING.meaning),
            {"shard {{shard}}": worst(metrics.RECOVERING)},
        ),
        asks(
            chart("Age of the newest checkpoint", "s", meaning=metrics.CHECKPOINT_AGE.meaning),
            {"shard {{shard}}": worst(metrics.CHECKPOINT_AGE)},
        ),
    ]


def _stored() -> list[Shown]:
    return [
        asks(
            chart("Age of the oldest not stored", "s", width=24, meaning=metrics.UNSTORED_AGE.meaning),
            {"shard {{shard}}": worst(metrics.UNSTORED_AGE)},
        ),
        asks(chart("Stored by shard", "cps"), {"shard {{shard}}": per_second(metrics.STORED, "shard")}),
        asks(
            chart("Pending frames", meaning=metrics.PENDING.meaning),
            {"shard {{shard}}": total(metrics.PENDING, "shard")},
        ),
        asks(
            chart("Backlog", "bytes", meaning=metrics.BACKLOG.meaning),
            {"shard {{shard}}": total(metrics.BACKLOG, "shard")},
        ),
        asks(
            chart("Inserts", "s", meaning=metrics.INSERT_SECONDS.meaning),
            {
                "{{table}} p50": quantile(metrics.INSERT_SECONDS, 0.5, "table"),
                "{{table}} p99": quantile(metrics.INSERT_SECONDS, 0.99, "table"),
            },
        ),
    ]


def _lost() -> list[Shown]:
    return [
        asks(
            chart("Dead letters", "cps", width=8, meaning=metrics.DEAD_LETTERED.meaning),
            {"{{fleet}}": per_second(metrics.DEAD_LETTERED, "fleet")},
        ),
        asks(
            chart("Dead letters, of their bound", "percentunit", width=8, meaning=metrics.LETTERS_FILLED.meaning),
            {"{{fleet}}": worst(metrics.LETTERS_FILLED, "fleet")},
        ),
        asks(
            chart("Missing frames", width=8, meaning=metrics.MISSING.meaning),
            {"{{fleet}}": total(metrics.MISSING, "fleet")},
        ),
    ]


def _machines() -> list[Shown]:
    disk = f"{prometheus.NODE_DISK_USED} / ({prometheus.NODE_DISK_USED} + {prometheus.NODE_DISK_FREE})"
    return [
        asks(chart("Disk used", "percentunit", width=6), {"{{ip}}": f"max by (ip) ({disk})"}),
        asks(chart("Disk free", "bytes", width=6), {"{{ip}}": f"min by (ip) ({prometheus.NODE_DISK_FREE})"}),
        asks(chart("Processors", "percent", width=6), {"{{ip}}": f"max by (ip) ({prometheus.NODE_CPU})"}),
        asks(chart("Memory", "bytes", width=6), {"{{ip}}": f"max by (ip) ({prometheus.NODE_MEMORY_USED})"}),
        asks(
            chart("Room for the journal", "bytes", meaning=metrics.JOURNAL_ROOM.meaning),
            {"shard {{shard}}": f"min by (shard) ({prometheus.exported(metrics.JOURNAL_ROOM)})"},
        ),
        asks(
            chart("Memory of processes", "bytes"),
            {"{{Component}} on {{ip}}": f"sum by (ip, Component) ({prometheus.PROCESS_MEMORY})"},
        ),
        asks(
            chart("Spans of traces dropped", "cps", width=24, meaning=metrics.DROPPED_SPANS.meaning),
            {"dropped": per_second(metrics.DROPPED_SPANS)},
        ),
    ]
