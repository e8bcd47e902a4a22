"""The schema for a ClickHouse cluster, from the same files: replicated tables on every shard, and over them distributed
ones under the names that everybody uses.
"""

from __future__ import annotations

import re
from typing import Final

from pipeline.clickhouse.migrate import known_migrations
from pipeline.clickhouse.retention import KINDS, ttl
from pipeline.clickhouse.settings import RetentionSettings
from pipeline.errors import ConfigError

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TABLE: Final = re.compile(
    r"CREATE TABLE IF NOT EXISTS (?P<name>\w+)\n(?P<columns>\(.*?\n\))\n"
    r"ENGINE = (?P<engine>\w+)(?:\((?P<given>\w+)\))?\n(?P<rest>.*)",
    re.DOTALL,
)
_MATERIALIZED: Final = re.compile(
    r"CREATE MATERIALIZED VIEW IF NOT EXISTS (\w+) TO (\w+) AS\n(.*)\bFROM (\w+)(.*)", re.DOTALL
)
_VIEW: Final = re.compile(r"CREATE VIEW IF NOT EXISTS (\w+) AS\n(.*)\bFROM (\w+)(.*)", re.DOTALL)
_ALTER: Final = re.compile(r"ALTER TABLE (\w+)\s+(.*)", re.DOTALL)
_COMMENTS: Final = re.compile(r"^--[^\n]*\n", re.MULTILINE)
_OWN_WINDOW: Final = "non_replicated_deduplication_window"
LOCAL: Final = "_local"
"""Behind the name of a table's part on one shard."""


def cluster_schema(cluster: str, database: str, storage_policy: str | None, retention: RetentionSettings) -> list[str]:
    """All statements for an empty cluster, in order.

    Every server needs the macros `{shard}` and `{replica}`. A vehicle's rows are on one shard, in every table, so that
    the hours of a minute are on the minute's shard; what has no vehicle goes by its fleet.

    Args:
        cluster: name in `remote_servers`.
        database: name of the database.
        storage_policy: with the volumes `hot` and `cold`; None: one volume.
        retention: becomes the TTLs.

    Raises:
        ConfigError: a name that is none, or a migration with a statement of an unknown kind.
    """
    for name in (cluster, database):
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} is no name: letters, digits and underscores")
    on, prefix = f"ON CLUSTER {cluster}", f"{database}."
    local: list[str] = [f"CREATE DATABASE IF NOT EXISTS {database} {on}"]
    distributed: list[str] = []
    views: list[str] = []
    for sql in _statements(storage_policy):
        if table := _TABLE.fullmatch(sql):
            name = table["name"]
            local.append(_replicated(table, on, database))
            key = "fleet, vehicle_id" if re.search(r"^\s+vehicle_id ", table["columns"], re.MULTILINE) else "fleet"
            distributed.append(
                f"CREATE TABLE IF NOT EXISTS {prefix}{name} {on} AS {prefix}{name}{LOCAL}\n"
                f"ENGINE = Distributed({cluster}, {database}, {name}{LOCAL}, cityHash64({key}))"
            )
        elif view := _MATERIALIZED.fullmatch(sql):
            name, target, select, source, rest = view.groups()
            local.append(
                f"CREATE MATERIALIZED VIEW IF NOT EXISTS {prefix}{name} {on} TO {prefix}{target}{LOCAL} AS\n"
                f"{select}FROM {prefix}{source}{LOCAL}{rest}"
            )
        elif view := _VIEW.fullmatch(sql):
            name, select, source, rest = view.groups()
            views.append(f"CREATE VIEW IF NOT EXISTS {prefix}{name} {on} AS\n{select}FROM {prefix}{source}{rest}")
        elif alter := _ALTER.fullmatch(sql):
            local.append(f"ALTER TABLE {prefix}{alter[1]}{LOCAL} {on}\n    {alter[2]}")
        else:
            raise ConfigError(f"a migration has a statement that no cluster form is known for: {sql[:80]!r}")
    return [*local, *_ttls(on, prefix, storage_policy, retention), *distributed, *views]


def _statements(storage_policy: str | None) -> list[str]:
    texts = (text for one in known_migrations() for text in one.statements(storage_policy))
    statements = [_COMMENTS.sub("", text).strip() for text in texts]
    # What a migration makes of rows that are there: in an empty cluster there are none.
    return [sql for sql in statements if not sql.startswith("INSERT ")]


def _replicated(table: re.Match[str], on: str, database: str) -> str:
    """The part of a table on one shard, as its replicas share it."""
    name, given = table["name"], f", {table['given']}" if table["given"] else ""
    path = f"'/clickhouse/tables/{{shard}}/{database}/{name}'"
    rest = table["rest"].replace(_OWN_WINDOW, "replicated_deduplication_window")
    return (
        f"CREATE TABLE IF NOT EXISTS {database}.{name}{LOCAL} {on}\n{table['columns']}\n"
        f"ENGINE = Replicated{table['engine']}({path}, '{{replica}}'{given})\n{rest}"
    )


def _ttls(on: str, prefix: str, storage_policy: str | None, retention: RetentionSettings) -> list[str]:
    found = []
    for table, kind in KINDS.items():
        alter = f"ALTER TABLE {prefix}{table}{LOCAL} {on}"
        if any(getattr(own, kind) is not None for own in retention.fleets.values()):
            found.append(f"{alter} MODIFY SETTING ttl_only_drop_parts = 0")
        if rules := ttl(retention, kind, storage_policy):
            found.append(f"{alter} MODIFY TTL {rules}")
    return found
