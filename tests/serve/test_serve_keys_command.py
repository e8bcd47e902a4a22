"""`canfleet keys` against the real HTTP application over a socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from serve_stand_in import BOOTSTRAP, StandIn
from typer.testing import CliRunner, Result

from canfleet.commands.keys import keys_app
from serve.query import build_query_app


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    server = Server(uvicorn.Config(build_query_app(StandIn(tmp_path)), port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    assert ready.wait(20)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def run(*arguments: str, key: str = BOOTSTRAP) -> Result:
    return CliRunner().invoke(keys_app, list(arguments), env={"CANFLEET_KEY": key, "COLUMNS": "200"})


def test_create_list_rotate_revoke(url: str) -> None:
    made = run("create", "--fleet", "north", "--scope", "query", "--scope", "ingest", "--url", url, "--json")
    assert made.exit_code == 0, made.output
    key = json.loads(made.stdout)
    assert set(key) == {"id", "key", "fleet", "scopes"}
    assert (key["fleet"], key["scopes"]) == ("north", ["ingest", "query"])
    assert run("create", "--fleet", "south", "--url", url).stdout.startswith("cf_")
    rotated = run("rotate", key["id"], "--url", url, "--json")
    assert json.loads(rotated.stdout)["key"] != key["key"]
    assert run("revoke", key["id"], "--url", url).exit_code == 0
    listed = json.loads(run("list", "--fleet", "north", "--url", url, "--json").stdout)
    assert [(one["id"], one["revoked_at"] is None) for one in listed] == [(key["id"], False)]
    table = run("list", "--url", url).stdout
    assert "south" in table
    assert "revoked" in table


def test_every_failure_is_one_line_and_a_status(url: str) -> None:
    for result in (
        run("list", "--url", "http://127.0.0.1:1"),
        run("list", "--url", url, key="wrong"),
        run("create", "--fleet", "north", "--scope", "root", "--url", url),
        run("revoke", "unknown", "--url", url),
    ):
        assert result.exit_code == 1
        assert result.stdout == ""
        assert result.stderr.startswith("canfleet keys: ")
        assert result.stderr.count("\n") == 1
