"""Damage is told from torn ends, errors of the disk poison and recover, and a directory has one writer."""

from __future__ import annotations

import errno
import os
import queue
import resource
import shutil
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.errors import JournalCorrupt, JournalError
from pipeline.journal import Journal
from pipeline.journal.mark import NAME as MARK
from pipeline.journal.segment import HEADER_BYTES, RECORD_BYTES, SUFFIX


def fill(directory: Path, batches: int, segment_bytes: int = 300) -> list[tuple[int, bytes]]:
    """`batches` syncs of two records each."""
    records = []
    with Journal.open(directory, segment_bytes) as journal:
        for n in range(batches):
            for part in (b"first", b"second"):
                payload = part * (n % 3 + 1)
                records.append((journal.append(n, payload), payload))
            journal.sync()
    return records


def read_all(directory: Path) -> list[tuple[int, bytes]]:
    with Journal.open(directory) as journal:
        return [(record.offset, bytes(record.payload)) for record in journal.read(journal.start)]


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{SUFFIX}"))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_empty_journal(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "new" / "deep") as journal:
        assert (journal.start, journal.end, journal.durable_end, journal.sync()) == (0, 0, 0, 0)
        assert list(journal.read(0)) == []
        assert journal.report.segments == 1


def test_buffers_of_every_kind_are_joined(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        offset = journal.append(
            9, b"bytes ", bytearray(b"array "), memoryview(b"_view_")[1:-1], pa.py_buffer(b" arrow")
        )
        journal.append(2**32 - 1)
        journal.sync()
        first, second = journal.read(offset)
        assert bytes(first.payload) == b"bytes array view arrow"
        assert (first.kind, first.next_offset, first.payload.readonly) == (9, second.offset, True)
        assert (second.kind, len(second.payload), second.next_offset) == (2**32 - 1, 0, journal.end)


def test_records_larger_than_a_read_and_than_a_segment(tmp_path: Path) -> None:
    payloads = [os.urandom(size) for size in (9_000_001, 3, 5_000_000, 4 << 20, 1)]
    with Journal.open(tmp_path, 1 << 20) as journal:
        for payload in payloads:
            journal.append(0, payload[:1], payload[1:])
        journal.sync()
        assert [bytes(record.payload) for record in journal.read(0)] == payloads
    assert [payload for _, payload in read_all(tmp_path)] == payloads


def test_names_of_segments_are_durable_before_their_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    durable: set[str] = set()
    fsync = os.fsync

    def note(fd: int) -> None:
        fsync(fd)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            durable.update(os.listdir(fd))

    monkeypatch.setattr(os, "fsync", note)
    with Journal.open(tmp_path / "journal", 64) as journal:
        for n in range(5):
            journal.append(n, bytes(64))
            journal.sync()
            assert {path.name for path in segments(tmp_path / "journal")} <= durable
        assert len(segments(tmp_path / "journal")) == 5


def test_unsynced_records_are_not_read(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(0, b"a")
        end = journal.sync()
        journal.append(0, b"b")
        assert len(list(journal.read(0))) == 1
        with pytest.raises(JournalError, match="cannot read 0 to"):
            journal.read(0, journal.end)
        assert list(journal.read(end)) == []


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    fill(source, 4)
    assert len(segments(source)) == 2
    for path in segments(source):
        for position in range(path.stat().st_size):
            shutil.copytree(source, copy)
            flip(copy / path.name, position)
            with pytest.raises(JournalCorrupt, match=path.name):
                read_all(copy)
            shutil.rmtree(copy)


def test_without_the_mark_damage_is_known_by_the_records_behind_it(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    records = fill(source, 4, segment_bytes=1 << 20)
    (source / MARK).unlink()
    [path] = segments(source)
    last_batch = records[-2][0] + HEADER_BYTES
    for position in range(HEADER_BYTES, path.stat().st_size):
        shutil.copytree(source, copy)
        flip(copy / path.name, position)
        if position < last_batch:
            with pytest.raises(JournalCorrupt, match="position"):
                read_all(copy)
        else:
            # The last batch alone cannot be told from one that was never synced.
            assert read_all(copy) == records[: -2 if position < records[-1][0] + HEADER_BYTES else -1]
        shutil.rmtree(copy)


def test_a_synced_end_that_is_missing_is_damage(tmp_path: Path) -> None:
    fill(tmp_path, 4, segment_bytes=1 << 20)
    [path] = segments(tmp_path)
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(JournalCorrupt, match="confirmed as durable"):
        Journal.open(tmp_path)


@pytest.mark.parametrize("missing", [1, 2, -1])
def test_a_missing_segment_is_damage(tmp_path: Path, missing: int) -> None:
    fill(tmp_path, 12)
    segments(tmp_path)[missing].unlink()
    with pytest.raises(JournalCorrupt, match=str(tmp_path)):
        Journal.open(tmp_path)


def test_all_segments_missing_is_damage(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    for path in segments(tmp_path):
        path.unlink()
    with pytest.raises(JournalCorrupt, match="no segment"):
        Journal.open(tmp_path)


def test_damage_is_reported_where_the_reader_meets_it(tmp_path: Path) -> None:
    records = fill(tmp_path, 12)
    offset, _ = records[1]
    flip(segments(tmp_path)[0], HEADER_BYTES + offset + RECORD_BYTES)
    with Journal.open(tmp_path) as journal:
        reader = journal.read(0)
        assert next(reader).offset == records[0][0]
        with pytest.raises(JournalCorrupt, match=rf"{segments(tmp_path)[0].name}.*position {HEADER_BYTES + offset}\b"):
            next(reader)


def test_a_torn_end_is_cut_and_reported(tmp_path: Path) -> None:
    records = fill(tmp_path, 2, segment_bytes=1 << 20)
    [path] = segments(tmp_path)
    size = path.stat().st_size
    with Journal.open(tmp_path) as journal:
        journal.append(1, b"never synced")
    os.truncate(path, path.stat().st_size - 1)
    torn = path.stat().st_size - size
    with Journal.open(tmp_path) as journal:
        assert (journal.report.cut_bytes, journal.report.records) == (torn, len(records))
    assert path.stat().st_size == size
    assert read_all(tmp_path) == records


def test_pages_of_an_unsynced_batch_may_arrive_in_any_order(tmp_path: Path) -> None:
    """An intact record behind a broken one is no damage where both were never synced."""
    records = fill(tmp_path, 2, segment_bytes=1 << 20)
    [path] = segments(tmp_path)
    with Journal.open(tmp_path) as journal:
        torn = journal.append(1, b"broken")
        journal.append(1, b"intact")
    flip(path, HEADER_BYTES + torn + RECORD_BYTES)
    assert read_all(tmp_path) == records


def test_payloads_that_look_like_records_deceive_nobody(tmp_path: Path) -> None:
    """A client who sends a whole old segment as a payload cannot make a torn end look like damage."""
    fill(tmp_path / "other", 4, segment_bytes=1 << 20)
    forged = segments(tmp_path / "other")[0].read_bytes()
    directory = tmp_path / "journal"
    records = fill(directory, 2)
    with Journal.open(directory, 300) as journal:
        journal.append(1, forged)
    path = segments(directory)[-1]
    os.truncate(path, path.stat().st_size - 8)
    assert read_all(directory) == records


def test_what_a_crash_during_the_birth_of_a_segment_leaves_is_removed(tmp_path: Path) -> None:
    records = fill(tmp_path, 2)
    (tmp_path / f"{99:020d}{SUFFIX}.new").write_bytes(b"CANF")
    assert read_all(tmp_path) == records
    assert not list(tmp_path.glob("*.new"))


def test_truncation_keeps_the_segment_of_the_offset(tmp_path: Path) -> None:
    records = fill(tmp_path, 20)
    with Journal.open(tmp_path, 300) as journal:
        before = journal.size_bytes
        journal.truncate_before(records[15][0])
        assert 0 < journal.start <= records[15][0]
        assert journal.size_bytes < before
        with pytest.raises(JournalError, match="cannot read 0"):
            journal.read(0)
        with pytest.raises(JournalError, match="beyond the durable end"):
            journal.truncate_before(journal.end + 8)
        journal.truncate_before(journal.end)
        end = journal.end
    with Journal.open(tmp_path) as journal:
        assert journal.append(0, b"") == end


def test_a_failed_sync_poisons_until_recovery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = fill(tmp_path, 2)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Journal.open(tmp_path) as journal:
        lost = journal.append(1, b"the kernel drops this")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fdatasync", fail)
            with pytest.raises(JournalError, match=r"sync failed.*recover"):
                journal.sync()
        for call in (journal.sync, lambda: journal.append(1, b""), lambda: journal.truncate_before(0)):
            with pytest.raises(JournalError, match="poisoned"):
                call()
        assert [(r.offset, bytes(r.payload)) for r in journal.read(0)] == records
        report = journal.recover()
        assert report.end == lost == journal.append(1, b"again")
        journal.sync()
    assert read_all(tmp_path) == [*records, (lost, b"again")]


def test_a_recovery_that_fails_leaves_the_poison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int, *_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with Journal.open(tmp_path) as journal:
        journal.append(1, b"x")
        with monkeypatch.context() as patch:
            for name in ("fdatasync", "fsync", "ftruncate"):
                patch.setattr(os, name, fail)
            with pytest.raises(JournalError, match="cutting them off failed too"):
                journal.sync()
            with pytest.raises(JournalError, match="cannot be recovered"):
                journal.recover()
        with pytest.raises(JournalError, match="poisoned"):
            journal.append(1, b"y")
        assert journal.recover().end == 0
        journal.append(1, b"y")


def test_a_file_size_limit_cuts_back_to_the_synced_end(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append(1, b"kept")
        end = journal.sync()
        journal.append(1, b"appended, not synced")
        [path] = segments(tmp_path)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            with pytest.raises(JournalError, match="write failed"):
                journal.append(1, bytes(5000))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.stat().st_size == HEADER_BYTES + end
        assert journal.end == end
        journal.recover()
        assert journal.append(1, bytes(5000)) == end
        journal.sync()
        assert [len(record.payload) for record in journal.read(0)] == [4, 5000]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", mount], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a small disk is not permitted: {done.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("segment_bytes", [16 << 10, 1 << 20])
def test_a_full_disk_loses_nothing_that_was_synced(small_disk: Path, segment_bytes: int) -> None:
    directory = small_disk / "journal"
    with Journal.open(directory, segment_bytes) as journal:
        synced: list[int] = []

        def fill_up() -> None:
            for n in range(1000):
                offset = journal.append(n, bytes([n % 256]) * 5000)
                journal.sync()
                synced.append(offset)

        with pytest.raises(JournalError, match="No space left"):
            fill_up()
        assert len(synced) > 10
        journal.recover()
        assert [record.offset for record in journal.read(0)] == synced
        if segment_bytes < 100_000:
            journal.truncate_before(synced[-1])
            synced = [offset for offset in synced if offset >= journal.start]
            synced.append(journal.append(7, bytes(5000)))
            journal.sync()
    with Journal.open(directory, segment_bytes) as journal:
        assert journal.report.cut_bytes == 0
        assert [record.offset for record in journal.read(journal.start)] == synced


def test_a_directory_has_one_writer(tmp_path: Path) -> None:
    with Journal.open(tmp_path), pytest.raises(JournalError, match=f"already open .process {os.getpid()}"):
        Journal.open(tmp_path)
    Journal.open(tmp_path).close()


def test_an_open_that_fails_gives_the_lock_back(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    [path] = segments(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(JournalCorrupt):
        Journal.open(tmp_path)
    path.write_bytes(content)
    assert len(read_all(tmp_path)) == 2


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path)
    journal.close()
    journal.close()
    for call in (journal.sync, journal.recover, lambda: journal.append(0, b"")):
        with pytest.raises(JournalError, match="closed"):
            call()


@pytest.mark.parametrize("segment_bytes", [0, -1, 2 << 30])
def test_a_segment_size_out_of_bounds_is_refused(tmp_path: Path, segment_bytes: int) -> None:
    with pytest.raises(JournalError, match="segment_bytes"):
        Journal.open(tmp_path, segment_bytes)


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="cannot be opened"):
        Journal.open(tmp_path / "file" / "journal")


def test_reading_goes_on_while_others_append(tmp_path: Path) -> None:
    seen: list[int] = []
    ends: queue.Queue[int | None] = queue.Queue()
    with Journal.open(tmp_path, 2000) as journal:

        def follow() -> None:
            at = 0
            while (end := ends.get()) is not None:
                for record in journal.read(at, end):
                    assert bytes(record.payload) == bytes([record.kind % 256]) * (record.kind % 300)
                    seen.append(record.kind)
                    at = record.next_offset
                journal.truncate_before(at)

        reader = threading.Thread(target=follow)
        reader.start()
        for n in range(400):
            journal.append(n, bytes([n % 256]) * (n % 300))
            if n % 3 == 0:
                ends.put(journal.sync())
        ends.put(journal.sync())
        ends.put(None)
        reader.join()
    assert seen == list(range(400))
