"""`POST /v1/logs`: real log files through the real reader process."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import can
import pytest
from serve_stand_in import BOOTSTRAP, StandIn, bearer, check_problem, client

from pipeline.errors import Overloaded
from serve import log_process, logs
from serve.logs import LogsEndpoint

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "logs"
CANDUMP = b"".join(f"({1_700_000_000 + i / 10:.6f}) can0 1A3#00{i:02X}\n".encode() for i in range(50))


@pytest.fixture
def platform(tmp_path: Path) -> StandIn:
    return StandIn(tmp_path)


def post(platform: StandIn, query: str, body: Any, key: str = BOOTSTRAP):
    async def send():
        async with client(LogsEndpoint(platform)) as http:
            return await http.post(f"/v1/logs?{query}", content=body, headers=bearer(key))

    return asyncio.run(send())


@pytest.mark.parametrize(("name", "body"), [("a.log", CANDUMP), ("../b.LOG.gz", gzip.compress(CANDUMP))])
def test_a_log_is_read_and_its_frames_kept(platform: StandIn, name: str, body: bytes) -> None:
    answer = post(platform, f"vehicle_id=truck-7&filename={name}", body)
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"received": 50, "accepted": 50, "duplicates": 0, "dead_lettered": 0, "skipped": 0}
    kept = platform.frames()
    assert {row["vehicle_id"] for row in kept} == {"truck-7"}
    assert [row["data"][1] for row in kept] == list(range(50))


def test_a_log_that_counts_from_zero_needs_its_start(platform: StandIn) -> None:
    relative = b"(0.500000) can0 1A3#00\n"
    answer = post(platform, "vehicle_id=v&filename=a.log", relative).json()
    assert (answer["accepted"], answer["dead_lettered"]) == (0, 1)
    answer = post(platform, "vehicle_id=v&filename=a.log&start=2026-01-31T12:00:00Z", relative).json()
    assert (answer["accepted"], answer["dead_lettered"]) == (1, 0)
    assert platform.frames()[0]["timestamp"].isoformat() == "2026-01-31T12:00:00.500000+00:00"


def test_what_cannot_be_read(platform: StandIn) -> None:
    check_problem(post(platform, "vehicle_id=v&filename=a.mf4", b"not an mf4 file"), 400, "unreadable-body")
    check_problem(post(platform, "vehicle_id=v&filename=a.pdf", b""), 415, "unknown-content-type")
    check_problem(post(platform, "vehicle_id=v", b""), 400, "bad-request")
    check_problem(post(platform, "filename=a.log", b""), 400, "bad-request")
    check_problem(post(platform, f"filename=a.log&vehicle_id={'v' * 65}", b""), 400, "bad-request")
    check_problem(post(platform, "filename=a.log&vehicle_id=v", b"", "wrong"), 401, "unauthenticated")
    key = platform.key("north", "query")
    check_problem(post(platform, "filename=a.log&vehicle_id=v", b"", key), 403, "forbidden")
    assert platform.submissions == []


def test_a_log_too_large_or_too_slow_is_refused(platform: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_LOG_BYTES", 1000)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    check_problem(post(platform, "vehicle_id=v&filename=a.log", b" " * 1001), 413, "body-too-large")
    check_problem(post(platform, "vehicle_id=v&filename=a.log", chunks()), 413, "body-too-large")
    monkeypatch.setattr(log_process, "READ_LIMIT_S", 0.01)
    check_problem(post(platform, "vehicle_id=v&filename=a.log", CANDUMP[:500]), 400, "unreadable-body")


def test_a_log_waits_for_room(platform: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refusals = platform.admit, [Overloaded("full", 0.01)] * 3

    def admit(*arguments: Any) -> None:
        if refusals:
            raise refusals.pop()
        real(*arguments)

    monkeypatch.setattr(platform, "admit", admit)
    assert post(platform, "vehicle_id=v&filename=a.log", CANDUMP).json()["accepted"] == 50


def test_a_real_recording(platform: StandIn) -> None:
    recording = SHARED / "truck-j1939.mf4"
    if not recording.exists():
        pytest.skip(f"no recording at {recording}")
    answer = post(platform, "vehicle_id=truck&filename=truck-j1939.mf4", recording.read_bytes())
    assert answer.json()["accepted"] == len(platform.frames()) == 1815


def looping_mf4(folder: Path) -> bytes:
    """A recording whose first block of a chain names itself as the next: asammdf goes round in it."""
    path = folder / "seed.mf4"
    with can.Logger(str(path)) as logger:
        for i in range(20):
            logger(can.Message(timestamp=1_700_000_000.0 + i, arbitration_id=0x100 + i, data=bytes(8)))
    content = bytearray(path.read_bytes())
    first = int.from_bytes(content[64 + 24 : 64 + 32], "little")  # the header block's link to the first data group
    assert content[first : first + 4] == b"##DG"
    content[first + 24 : first + 32] = first.to_bytes(8, "little")
    return bytes(content)


def test_a_file_that_goes_round_costs_its_processor_time_and_no_more(
    platform: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(log_process, "CPU_S", 3.0)
    content = looping_mf4(tmp_path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    answer = post(platform, "vehicle_id=v&filename=a.mf4", content)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    detail = check_problem(answer, 400, "unreadable-body")["detail"]
    assert "3 s of CPU time" in detail
    assert "split it" in detail
    assert 2.5 < after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 6
    assert platform.submissions == []


def test_a_file_that_unpacks_to_more_than_it_may_is_refused(platform: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of 1 GiB, packed to 1 MB: whoever reads it line by line holds all of it."""
    monkeypatch.setattr(log_process, "MEMORY_BYTES", 600 << 20)
    packer = zlib.compressobj(1, wbits=31)
    mebibyte = b" " * (1 << 20)
    packed = b"".join([*(packer.compress(mebibyte) for _ in range(1024)), packer.flush()])
    answer = post(platform, "vehicle_id=v&filename=a.log.gz", packed)
    assert "more memory" in check_problem(answer, 400, "unreadable-body")["detail"]


def test_a_reader_has_the_bounds_that_its_file_deserves(tmp_path: Path) -> None:
    small, large = log_process.Bounds.of(1_000), log_process.Bounds.of(512 << 20)
    assert (small.cpu_s, large.cpu_s) == (10, 120)
    assert small.memory_bytes < large.memory_bytes == 8 << 30
    show = (
        "import json, os, resource, pathlib, serve.log_reader as r; r.bound(7, 3 << 30);"
        "limit = lambda name: resource.getrlimit(getattr(resource, f'RLIMIT_{name}'));"
        "print(json.dumps([limit('CPU'), limit('DATA'), limit('CORE'), os.nice(0) > 0,"
        " pathlib.Path('/proc/self/oom_score_adj').read_text().strip()]))"
    )
    told = subprocess.run([sys.executable, "-c", show], capture_output=True, check=True, text=True)
    assert json.loads(told.stdout) == [[7, 8], [3 << 30, 3 << 30], [0, 0], True, "1000"]


def test_a_few_logs_are_read_at_a_time_and_no_fleet_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_process, "PATIENCE_S", 0.2)
    reading: list[str] = []
    most = 0

    async def slow(log: Path, frames: Path, vehicle_id: str, start: str) -> int:
        nonlocal most
        reading.append(vehicle_id)
        most = max(most, len(reading))
        try:
            await asyncio.sleep(0.5)
        finally:
            reading.remove(vehicle_id)
        return 0

    monkeypatch.setattr(log_process, "read_apart", slow)

    async def scenario() -> list[int | BaseException]:
        readers = log_process.LogReaders()
        many = [readers.read("north", Path(), Path(), "n", "") for _ in range(3 * log_process.READERS)]
        return await asyncio.gather(*many, readers.read("south", Path(), Path(), "s", ""), return_exceptions=True)

    *norths, south = asyncio.run(scenario())
    assert south == 0
    assert norths.count(0) == log_process.READERS_OF_A_FLEET
    assert {type(one) for one in norths if one != 0} == {Overloaded}
    assert most <= log_process.READERS


def test_who_goes_away_takes_the_reader_along(tmp_path: Path) -> None:
    log = tmp_path / "log.mf4"
    log.write_bytes(looping_mf4(tmp_path))

    def children() -> set[str]:
        return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}

    async def scenario() -> None:
        before = children()
        reading = asyncio.create_task(log_process.read_apart(log, tmp_path / "frames.arrow", "v", ""))
        await asyncio.sleep(1.0)
        assert len(children() - before) == 1
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        async with asyncio.timeout(20):
            while children() - before:
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
