"""The schema of a cluster: the engine takes its syntax, and it has what the schema of one server has."""

from __future__ import annotations

import json
import re

import pytest
from clickhouse_process import HostProcess
from clickhouse_rows import signal_rows, store
from typer.testing import CliRunner

from canfleet.__main__ import app
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.cluster import cluster_schema
from pipeline.clickhouse.settings import FleetDays, RetentionSettings, WarehouseSettings
from pipeline.clickhouse.writer import Writer
from pipeline.errors import ConfigError, WarehouseError

COLUMNS = """
    SELECT arrayStringConcat(groupArray(name), ', ') AS names FROM system.columns
    WHERE database = currentDatabase() AND table = {table:String} AND default_kind != 'MATERIALIZED'
"""
DISTRIBUTED = re.compile(r"CREATE TABLE IF NOT EXISTS (\S+) +AS (\S+)\nENGINE = Distributed\(fleet, .*")
RETENTION = RetentionSettings(fleets={"it's": FleetDays(frames=3)})


def test_the_engine_takes_every_statement(warehouse: Warehouse) -> None:
    statements = cluster_schema("fleet", "canfleet", "hot_cold", RETENTION)
    for statement in statements:
        assert "ON CLUSTER fleet" in statement
        warehouse.rows("SELECT formatQuery({sql:String}) AS sql", {"sql": statement})
    with pytest.raises(WarehouseError, match="SYNTAX_ERROR"):
        warehouse.rows("SELECT formatQuery({sql:String}) AS sql", {"sql": statements[1].replace("ENGINE", "ENGIN")})
    assert sum("ENGINE = Replicated" in one for one in statements) == sum(
        "ENGINE = Distributed" in one for one in statements
    )
    assert any("WHERE fleet = 'it\\'s'" in one for one in statements)


def test_what_it_makes_answers_as_one_server_does(warehouse: Warehouse, host: HostProcess) -> None:
    """Run as one shard without a Keeper: the tables plain, the distributed ones as what they lead to."""
    database = "db_as_cluster"
    plain = Warehouse.connect(WarehouseSettings(url=host.url, database=database, storage_policy="hot_cold"))
    for statement in cluster_schema("fleet", database, "hot_cold", RETENTION):
        sql = statement.replace(" ON CLUSTER fleet", "")
        sql = re.sub(r"ENGINE = Replicated(\w+)\('[^']*', '[^']*'(?:, (\w+))?\)", r"ENGINE = \1(\2)", sql)
        sql = sql.replace("replicated_dedup", "non_replicated_dedup")
        if distributed := DISTRIBUTED.fullmatch(sql):
            name, over = distributed.groups()
            sql = f"CREATE TABLE {name} AS {over} ENGINE = Merge({database}, '^{over.partition('.')[2]}$')"
        plain.command(sql, database="default")
    store(Writer(warehouse), signal_rows(5_000, 1), "one")
    for table in ("signals", "signals_1m_states"):
        columns = warehouse.rows(COLUMNS, {"table": table})[0]["names"]
        whole = f"{warehouse.settings.database}.{table}"
        plain.command(f"INSERT INTO {table}_local ({columns}) SELECT {columns} FROM {whole}")
    for view in ("signals", "signals_1m", "signals_1h"):
        sql = "SELECT count() AS n, sum(cityHash64(* EXCEPT mean)) AS content FROM {view:Identifier}"
        [found] = plain.rows(sql, {"view": view})
        assert found["n"] > 10
        assert [found] == warehouse.rows(sql, {"view": view})
    plain.close()


@pytest.mark.parametrize("name", ["a-b", "x; DROP TABLE y", ""])
def test_names_are_names(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        cluster_schema(name, "canfleet", None, RETENTION)
    with pytest.raises(ConfigError, match="is no name"):
        cluster_schema("fleet", name, None, RETENTION)


def test_the_command_prints_both(host: HostProcess, warehouse: Warehouse) -> None:
    printed = CliRunner().invoke(app, ["schema", "--cluster", "fleet", "--json"])
    assert printed.exit_code == 0, printed.output
    assert json.loads(printed.stdout) == cluster_schema("fleet", "canfleet", None, RetentionSettings())
    pending = CliRunner().invoke(app, ["schema", "--clickhouse", host.url])
    assert pending.exit_code == 0, pending.output
    assert "-- 0001_frames" in pending.stdout or "-- nothing is pending" in pending.stdout
