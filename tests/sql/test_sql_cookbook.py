"""Every statement of docs/sql.md runs and returns rows: over a simulated fleet, and over a recorded drive."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from clickhouse_process import HostProcess
from sql_command import Done
from sql_cookbook import OF_DRIVE, SPEED, asked, question, questions, stamp
from sql_feed import SHARED, fill_with_drive

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings


def test_the_page_has_all_questions() -> None:
    assert [one.number for one in questions()] == list(range(1, 22))
    assert all(one.title.endswith("?") for one in questions())


@pytest.mark.parametrize("number", range(1, 22))
def test_it_runs_and_returns_rows(filled: Warehouse, run: Callable[..., Done], number: int) -> None:
    """As a person asks it: by the command, with parameters."""
    parameters = [part for name, value in asked(number).items() for part in ("--param", f"{name}={value}")]
    done = run(question(number).sql, *parameters, "--json", "--database", filled.settings.database)
    assert (done.code, done.errors) == (0, "")
    rows = json.loads(done.out)
    assert rows
    assert any(value not in {None, ""} for value in rows[0].values())


@pytest.fixture(scope="module")
def drive(host: HostProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Warehouse, dict[str, str]]]:
    if not SHARED.exists():
        pytest.skip("the real logs of ../shared/data are not here")
    warehouse = Warehouse.connect(WarehouseSettings(url=host.url, database="cookbook_drive", storage_policy="hot_cold"))
    migrate(warehouse)
    first, last = fill_with_drive(tmp_path_factory.mktemp("drive"), warehouse)
    yield warehouse, {"from": stamp(first), "to": stamp(last)}
    warehouse.close()


@pytest.mark.parametrize("number", OF_DRIVE)
def test_it_does_so_for_a_recorded_drive(drive: tuple[Warehouse, dict[str, str]], number: int) -> None:
    warehouse, times = drive
    one = question(number)
    assert warehouse.rows(one.sql, one.values(times | SPEED | OF_DRIVE[number]))
