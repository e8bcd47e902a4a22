"""A disk short of room, full, read-only or failing: 503, and acceptance again once it has recovered, no restart."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shard_feed import batches, settle, shard, stored, submission

from pipeline.clickhouse.client import Warehouse
from pipeline.errors import CanfleetError, JournalError, Overloaded
from pipeline.journal.settings import JournalSettings
from pipeline.journal.space import DiskSpace
from pipeline.lanes.lane import Lane
from pipeline.shard.commit import Receipt
from serve.faults import problem_of

MEBIBYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB of its own."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def filled(folder: Path, leave: int) -> Path:
    """A file that leaves `leave` bytes of the disk, in place of an earlier one."""
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        found = os.statvfs(folder)
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)
    return ballast


def answers_503(error: CanfleetError) -> None:
    problem = problem_of(error, "request")
    assert problem.status == 503
    assert int(problem.headers["Retry-After"]) >= 1
    assert problem.detail.count("see to") + problem.detail.count("free space") == 1


def refusals(space: DiskSpace) -> dict[Lane, Overloaded]:
    """The lanes that are refused, and how."""
    found = {}
    for lane in Lane:
        try:
            space.check(lane)
        except Overloaded as error:
            found[lane] = error
    return found


def test_lanes_are_refused_one_after_the_other_as_room_runs_out(small_disk: Path) -> None:
    now = 0.0
    settings = JournalSettings(min_free_bytes=20 * MEBIBYTE, critical_free_bytes=10 * MEBIBYTE)
    space = DiskSpace(small_disk, settings, lambda: 0, lambda: now)
    assert not refusals(space)
    ballast = filled(small_disk, leave=15 * MEBIBYTE)
    assert not refusals(space), "the file system was asked again at once"
    now += 1.0
    assert set(refusals(space)) == {Lane.LIVE, Lane.BACKFILL}
    filled(small_disk, leave=5 * MEBIBYTE)
    now += 1.0
    refused = refusals(space)
    assert set(refused) == set(Lane)
    for error in refused.values():
        assert str(small_disk) in str(error)
        answers_503(error)
    ballast.unlink()
    now += 1.0
    assert not refusals(space)


def test_a_journal_has_a_largest_size(tmp_path: Path) -> None:
    size = 0
    settings = JournalSettings(min_free_bytes=0, critical_free_bytes=0, max_bytes=100 * MEBIBYTE)
    space = DiskSpace(tmp_path, settings, lambda: size)
    for mebibytes, refused in ((89, 0), (90, 2), (99, 2), (100, 3), (50, 0)):
        size = mebibytes * MEBIBYTE
        found = refusals(space)
        assert len(found) == refused
        assert all("ClickHouse" in str(error) for error in found.values())


def test_a_shard_refuses_while_its_disk_is_short_and_goes_on_afterwards(small_disk: Path, warehouse: Warehouse) -> None:
    limits = {"journal.min_free_bytes": 30 * MEBIBYTE, "journal.critical_free_bytes": MEBIBYTE}
    one = shard(small_disk, warehouse, **limits)
    [batch] = batches(1)
    ballast = filled(small_disk, leave=10 * MEBIBYTE)
    one.admission.check(Lane.CRITICAL)
    with pytest.raises(Overloaded, match="free space"):
        one.admission.check(Lane.LIVE)
    ballast.unlink()
    wait_until(lambda: admitted(one.admission.check))
    assert one.commit([submission(batch)]) == [Receipt(len(batch), 0, 0)]
    settle(one)
    assert one.close()


def admitted(admit: Callable[[Lane], None]) -> bool:
    try:
        admit(Lane.LIVE)
    except Overloaded:
        return False
    return True


def wait_until(holds: Callable[[], bool]) -> None:
    while not holds():  # pytest's timeout ends it
        os.sched_yield()


def test_a_full_disk_loses_nothing_and_the_next_commit_after_it_succeeds(
    small_disk: Path, warehouse: Warehouse
) -> None:
    one = shard(small_disk, warehouse, **{"journal.min_free_bytes": 0, "journal.critical_free_bytes": 0})
    sent = batches(3, vehicles=200)
    assert one.commit([submission(sent[0])]) == [Receipt(len(sent[0]), 0, 0)]
    ballast = filled(small_disk, leave=0)
    for _ in range(3):
        with pytest.raises(JournalError) as refused:
            one.commit([submission(batch) for batch in sent[1:]])
        answers_503(refused.value)
    ballast.unlink()
    assert one.commit([submission(batch) for batch in sent[1:]]) == [Receipt(len(batch), 0, 0) for batch in sent[1:]]
    assert one.commit([submission(batch) for batch in sent]) == [Receipt(0, len(batch), 0) for batch in sent]
    settle(one)
    assert stored(warehouse)["frames"] == stored(warehouse)["distinct_frames"] == sum(len(batch) for batch in sent)
    assert one.close()


@pytest.mark.parametrize(
    ("calls", "number"),
    [
        (("fdatasync",), errno.EIO),
        (("pwritev",), errno.EIO),
        (("pwritev", "ftruncate", "fsync"), errno.EROFS),
        (("fdatasync", "ftruncate"), errno.EIO),
    ],
)
def test_a_failing_disk_is_survived(
    tmp_path: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, calls: tuple[str, ...], number: int
) -> None:
    """The calls themselves refuse: nothing makes a real disk fail and heal on demand."""
    one = shard(tmp_path, warehouse)
    sent = batches(3)
    one.commit([submission(sent[0])])

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    for _ in range(2):
        with monkeypatch.context() as fault:
            for call in calls:
                fault.setattr(os, call, refuse)
            for _ in range(2):
                with pytest.raises(JournalError) as refused:
                    one.commit([submission(sent[1])])
                answers_503(refused.value)
    assert one.commit([submission(sent[1]), submission(sent[2])]) == [
        Receipt(len(sent[1]), 0, 0),
        Receipt(len(sent[2]), 0, 0),
    ]
    settle(one)
    assert stored(warehouse)["frames"] == sum(len(batch) for batch in sent)
    assert one.close()
