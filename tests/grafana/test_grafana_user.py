"""The user `dashboards`: deploy/clickhouse/users.d/dashboards.xml in the engine, and the same limits in the host.

chDB's connections are those of the user `default`, so the file's user is given that name; the rest is as it is.
Not tested, for chDB has no network: `networks`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
from clickhouse_process import HostProcess
from grafana_macros import Range, expanded
from grafana_pages import statements

from actors.clickhouse_host.dashboards_user import LIMITS, USER
from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.migrate import migrate
from pipeline.clickhouse.settings import WarehouseSettings

FILE = Path(__file__).parents[2] / "deploy" / "clickhouse" / "users.d" / "dashboards.xml"
HERE = Path(__file__).parent
USERS = "<clickhouse><profiles><default/></profiles><quotas><default/></quotas></clickhouse>"

REFUSED = [
    ("SELECT * FROM canfleet.t", 396),
    ("SELECT count() FROM default.secrets", 497),
    ("INSERT INTO canfleet.t SELECT 1", 497),
    ("DROP TABLE canfleet.t", 497),
    ("SELECT * FROM file('/etc/hostname', 'LineAsString')", 497),
    ("SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int32')", 497),
    ("SELECT count() FROM numbers(2000000000)", 158),
    ("SELECT 1 SETTINGS max_execution_time = 60", 452),
    ("SELECT 1 SETTINGS max_result_rows = 0", 452),
    ("SELECT 1 SETTINGS readonly = 0", 164),
]
"""Statements that the user must not run, and the codes of their errors."""
CHOSEN = {"fleet": "f", "vehicle": "v", "signal": "m.s", "kind": "$__all"}
DASHBOARDS = [expanded(one.sql, Range(0, 60), CHOSEN) for one in statements()]


def run(folder: Path, config: Path, statements: list[str], password: str = "") -> list[str]:
    """Each statement's answer, from an engine in a process of its own; chDB logs in without a password."""
    done = subprocess.run(
        [sys.executable, HERE / "limited_engine.py", folder, config],
        input="".join(json.dumps(one) + "\n" for one in statements),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"CANFLEET_DASHBOARDS_PASSWORD": password},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with data, and a configuration under which it is opened as the user."""
    folder = tmp_path_factory.mktemp("limits")
    host = HostProcess(folder)
    connected = Warehouse.connect(WarehouseSettings(url=host.url, database="canfleet", storage_policy="hot_cold"))
    migrate(connected)
    for name in ("canfleet.t", "default.secrets"):
        connected.command(
            f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY a AS SELECT number AS a FROM numbers(200000)"
        )
    connected.close()
    assert host.terminate() == (0, "")
    tree = ElementTree.parse(FILE)
    [user] = tree.findall("users/dashboards")
    user.tag = "default"
    (folder / "users.d").mkdir()
    tree.write(folder / "users.d" / "dashboards.xml")
    (folder / "users.xml").write_text(USERS)
    config = folder / "config.xml"
    named = f"<clickhouse><users_config>{folder / 'users.xml'}</users_config>"
    config.write_text(config.read_text().replace("<clickhouse>", named, 1))
    return folder / "engine", config


@pytest.fixture(scope="module")
def asked(limited: tuple[Path, Path]) -> dict[str, str]:
    """What the user gets for statements that it may and may not run."""
    texts = [
        "SHOW GRANTS",
        "SELECT count() FROM canfleet.t SETTINGS limit = 1000000",
        "SELECT count() FROM system.parts",
        *DASHBOARDS,
        *(statement for statement, _ in REFUSED),
        *(f"SELECT getSetting('{name}')" for name in LIMITS),
    ]
    return dict(zip(texts, run(*limited, texts), strict=True))


def test_the_password_is_that_of_the_environment(limited: tuple[Path, Path]) -> None:
    with pytest.raises(AssertionError, match="Authentication failed"):
        run(*limited, ["SELECT 1"], password="secret")


def test_it_reads_what_dashboards_ask(asked: dict[str, str]) -> None:
    assert asked["SELECT count() FROM canfleet.t SETTINGS limit = 1000000"] == "200000\n"
    assert int(asked["SELECT count() FROM system.parts"]) > 0
    granted = set(re.findall(r"GRANT SELECT ON (\S+) TO", asked["SHOW GRANTS"]))
    assert granted == {"canfleet.*", "system.parts", "system.parts_columns", "system.disks", "system.merges"}
    assert {name for text in DASHBOARDS for name in re.findall(r"\bsystem\.\w+", text)} == granted - {"canfleet.*"}
    assert [asked[text] for text in DASHBOARDS if asked[text].startswith("!")] == []


@pytest.mark.parametrize(("statement", "code"), REFUSED)
def test_and_nothing_else(asked: dict[str, str], statement: str, code: int) -> None:
    assert asked[statement].startswith("!"), asked[statement]
    assert f"Code: {code}." in asked[statement], asked[statement]


def test_the_host_has_the_same_limits(asked: dict[str, str]) -> None:
    profile = ElementTree.parse(FILE).find("profiles/dashboards")
    assert profile is not None
    settings = {one.tag: one.text for one in profile if one.tag not in {"readonly", "constraints"}}
    assert settings == LIMITS
    assert {one.tag for one in profile.findall("constraints/*")} == set(LIMITS)
    for name, value in LIMITS.items():
        assert asked[f"SELECT getSetting('{name}')"].strip() == value
    assert ElementTree.parse(FILE).find(f"users/{USER}") is not None


def test_the_host_holds_the_user_to_them(host: HostProcess) -> None:
    with httpx.Client(base_url=host.url, auth=(USER, ""), timeout=60) as client:

        def code(sql: str, **parameters: str) -> str | None:
            return client.post("/", params=parameters, content=sql).headers.get("X-ClickHouse-Exception-Code")

        assert code("SELECT 1", limit="1000000", database="system") is None
        assert code("SELECT {a:String}", param_a="x") is None
        assert code("SELECT number FROM numbers(200000)", max_result_rows="0") == "396"
        assert code("SELECT count() FROM numbers(2000000000)") == "158"
        assert code("SELECT 1 SETTINGS max_result_rows = 0") == "164"
        assert code("CREATE TABLE grafana_made (a Int32) ENGINE = Memory", readonly="0") == "164"
        assert code("SELECT * FROM file('/etc/hostname', 'LineAsString')") == "164"
        assert client.post("/", content="SELECT getSetting('max_threads')").text == f"{LIMITS['max_threads']}\n"
