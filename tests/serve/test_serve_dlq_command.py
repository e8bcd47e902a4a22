"""`canfleet dlq` over a socket, with a real shard and the real engine behind it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from serve_command import Done, run_canfleet, served
from serve_shard_platform import ShardPlatform
from serve_stand_in import bearer

from serve.gateway import Door, FramesEndpoint
from serve.query import build_query_app


@pytest.fixture
def fleet(shard_platform: ShardPlatform, request: pytest.FixtureRequest) -> str:
    """A fleet with one good frame and four dead letters; its name."""
    name: str = request.node.name
    with served(FramesEndpoint(Door(shard_platform))) as url:
        frame = {"vehicle_id": "v1", "timestamp": time.time_ns() // 1000, "arbitration_id": 256}
        rows = [frame | {"data": data} for data in ("0", "1", "02", "zz" * 300)] + [frame]
        answer = httpx.post(
            f"{url}/v1/frames", json=rows, headers=bearer(shard_platform.key(name, "ingest")), timeout=30
        )
        assert answer.json()["dead_lettered"] == 4
    shard_platform.settle()
    return name


@pytest.fixture
def dlq(shard_platform: ShardPlatform, fleet: str) -> Iterator[Callable[..., Done]]:
    """`canfleet dlq` with an admin key of the fleet."""
    admin = shard_platform.key(fleet, "admin", "query")
    with served(build_query_app(shard_platform)) as base:

        def run(*arguments: str, command: str = "dlq", url: str = base, key: str = admin) -> Done:
            return run_canfleet(command, *arguments, "--url", url, key=key)

        yield run


def test_list_show_mend_replay_purge(
    dlq: Callable[..., Done], fleet: str, shard_platform: ShardPlatform, tmp_path: Path
) -> None:
    table = dlq("list")
    assert table.exit_code == 0, table.stderr
    assert "4 of 4 shown: 3 data_not_hexadecimal, 1 data_missing" in table.stdout
    assert len(table.stdout.splitlines()) == 6
    listed = json.loads(dlq("list", "--json", "--limit", "2").stdout)
    assert len(listed["dead_letters"]) == 2
    assert listed["next"]
    letters = json.loads(dlq("list", "--json", "--reason", "data_not_hexadecimal").stdout)["dead_letters"]
    [letter] = [one for one in letters if json.loads(one["payload"])["data"] == "1"]
    shown = dlq("show", letter["id"])
    assert json.loads(shown.stdout) == json.loads(letter["payload"])
    assert "data is not an even number of hexadecimal digits" in shown.stderr
    assert json.loads(dlq("show", letter["id"], "--json").stdout) == letter

    mended = tmp_path / "mended.json"
    mended.write_text(shown.stdout.replace('"1"', '"01"'))
    assert dlq("replay", letter["id"], "--payload", str(mended)).stdout.startswith("1 replayed: 1 frames accepted")
    shard_platform.settle()
    assert len(shard_platform.stored(fleet)) == 2
    failed = dlq("replay", "--all", "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["replayed"] == 0
    assert failed.stderr == "canfleet: 3 not replayed: 2 data_not_hexadecimal, 1 data_missing\n"

    assert dlq("purge", "--before", "2001-01-01T00:00:00Z", "--json").stdout == '{"purged": 0}\n'
    assert dlq("purge", "--reason", "data_missing").stdout == "1 purged\n"
    rest = [one["id"] for one in letters if one["id"] != letter["id"]]
    assert dlq("purge", *rest).stdout == "2 purged\n"
    assert "0 of 0 shown" in dlq("list").stdout
    assert dlq("replay", "--all").exit_code == 0


def test_every_failure_is_one_line_and_a_status(dlq: Callable[..., Done], tmp_path: Path) -> None:
    letter = "1760000000000000-0123456789abcdef"
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff")
    for done in (
        dlq("list", url="http://127.0.0.1:1"),
        dlq("list", key="wrong"),
        dlq("show", letter),
        dlq("show", "../../v1/keys"),
        dlq("replay"),
        dlq("replay", letter, "--all"),
        dlq("replay", letter),
        dlq("replay", "--all", "--payload", str(binary)),
        dlq("replay", letter, "--payload", str(binary)),
        dlq("replay", letter, "--payload", str(tmp_path / "missing")),
        dlq("purge"),
        dlq("purge", letter),
        dlq("purge", "?all=true"),
        dlq("purge", "--before", "soon"),
    ):
        assert done.exit_code == 1
        assert done.stderr.startswith("canfleet: ")
        assert done.stderr.count("\n") == 1
    assert "4 of 4 shown" in dlq("list").stdout


def test_status_tells_how_full_they_are(dlq: Callable[..., Done]) -> None:
    # The stand-in's shards have no numbers for a table; the document is what matters.
    status = json.loads(dlq("--json", command="status").stdout)
    assert status["dead_letters"] == {"held": 4, "max": 1_000_000, "full": False}
