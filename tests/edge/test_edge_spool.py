from __future__ import annotations

import os
from pathlib import Path

import pytest
from edge_frames import Clock, Source, numbers

from edge.errors import SettingsError, SpoolBusy, SpoolError
from edge.frame import Frame
from edge.record import whole_records, wrap
from edge.spool import SMALLEST_BYTES, Spool


def opened(directory: Path, clock: Clock, vehicle_id: str = "truck-7", max_bytes: int = 1 << 20) -> Spool:
    return Spool(directory, vehicle_id, max_bytes=max_bytes, batch_frames=100, clock=clock, wall_clock=clock)


def left(spool: Spool) -> list[tuple[int, int]]:
    found: list[Frame] = []
    while (batch := spool.take(at_once=True)) is not None:
        found += batch.frames
        spool.sent(batch)
    return sorted(numbers(found))


def test_a_batch_is_due_when_it_is_full_or_old(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as spool:
        source = Source(spool)
        assert spool.due_in_s() is None
        few = source.write(99)
        assert spool.take() is None
        assert spool.due_in_s() == 1.0
        clock.now_s += 0.75
        assert spool.due_in_s() == 0.25
        more = source.write(101)
        for expected in (more[:100], few):
            batch = spool.take()
            assert batch is not None
            assert batch.frames == expected
        assert spool.take() is None
        clock.now_s += 1.0
        assert spool.due_in_s() == 0.0
        batch = spool.take()
        assert batch is not None
        assert batch.frames == more[100:]


def test_the_small_batches_of_an_outage_are_joined(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as spool:
        source = Source(spool)
        for _ in range(50):
            source.write(10)
            clock.now_s += 1.0
            batch = spool.take()
            assert batch is not None
            spool.give_back(batch)
        sizes = []
        while (batch := spool.take()) is not None:
            sizes.append(len(batch.frames))
        assert sizes == [100] * 5


def test_a_session_is_larger_than_all_before(tmp_path: Path) -> None:
    clock = Clock()
    sessions = []
    for moved_s in (0, 0, -1e6, 5000, -1e9, 2.0**33, 0):
        clock.now_s += moved_s
        with opened(tmp_path, clock) as spool:
            sessions.append(spool.session)
    assert sessions == sorted(set(sessions))
    assert sessions[0] == int(Clock().now_s)
    assert sessions[1] == sessions[0] + 1


def test_a_lost_session_file_is_told_from_the_segments(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with opened(tmp_path, clock) as spool:
        Source(spool).write(1)
        first = spool.session
    for spoiled in (None, b"\xff\0"):
        (tmp_path / "session").unlink()
        if spoiled is not None:
            (tmp_path / "session").write_bytes(spoiled)
        clock.now_s = 1000.0
        with opened(tmp_path, clock) as spool:
            assert spool.session > first
    assert "holds no number" in caplog.text


def test_used_up_sessions_are_said(tmp_path: Path) -> None:
    (tmp_path / "session").write_text(f"{2**32 - 1}\n")
    for _ in range(2):
        with pytest.raises(SpoolError, match="used up"):
            opened(tmp_path, Clock())


def test_one_process_has_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path, Clock()), pytest.raises(SpoolBusy, match=f"already open .process {os.getpid()}"):
        opened(tmp_path, Clock())
    opened(tmp_path, Clock()).close()


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="1 to 64"):
        opened(tmp_path, Clock(), vehicle_id="")
    with pytest.raises(SettingsError, match="at least"):
        opened(tmp_path, Clock(), max_bytes=SMALLEST_BYTES - 1)
    (tmp_path / "file").touch()
    with pytest.raises(SpoolError, match="cannot be opened"):
        opened(tmp_path / "file", Clock())


def test_a_full_spool_drops_the_oldest_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path, Clock(), max_bytes=SMALLEST_BYTES) as spool:
        source = Source(spool)
        written = numbers([frame for _ in range(30) for frame in source.write(100)])
        assert spool.size_bytes <= SMALLEST_BYTES
        lost = spool.counts.dropped
        assert lost > 1000
        assert left(spool) == written[lost:]
    assert "dropped its oldest segment with" in caplog.text


def test_the_bound_holds_at_every_moment(tmp_path: Path) -> None:
    with opened(tmp_path, Clock(), max_bytes=SMALLEST_BYTES) as spool:
        source = Source(spool)
        for count in list(range(1, 100, 3)) * 4:
            source.write(count)
            assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) <= SMALLEST_BYTES


@pytest.mark.parametrize("arrived", [True, False])
def test_a_batch_under_way_while_its_segment_is_dropped(tmp_path: Path, arrived: bool) -> None:
    with opened(tmp_path, Clock(), max_bytes=SMALLEST_BYTES) as spool:
        source = Source(spool)
        source.write(60)
        batch = spool.take(at_once=True)
        assert batch is not None
        written = 60 + len(source.write(3000))
        if arrived:
            spool.sent(batch)
        else:
            spool.give_back(batch)
        assert len(left(spool)) + spool.counts.dropped == written - (60 if arrived else 0)


def test_a_spool_left_full_makes_room_before_it_is_read(tmp_path: Path) -> None:
    with opened(tmp_path, Clock(), max_bytes=4 * SMALLEST_BYTES) as spool:
        before = numbers(Source(spool).write(2000))
    with opened(tmp_path, Clock(), max_bytes=SMALLEST_BYTES) as spool:
        after = numbers(Source(spool).write(100))
        assert spool.size_bytes <= SMALLEST_BYTES
        assert left(spool) == (before + after)[spool.counts.dropped :]


def test_frames_stay_the_vehicle_s_that_sent_them(tmp_path: Path) -> None:
    clock = Clock()
    with opened(tmp_path, clock, "first") as spool:
        Source(spool).write(1)
    with opened(tmp_path, clock, "second") as spool:
        Source(spool).write(1)
        batches = [spool.take(at_once=True), spool.take()]
        assert [batch and batch.vehicle_id for batch in batches] == ["second", "first"]


def test_what_is_sent_leaves_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path, Clock()) as spool:
        Source(spool).write(500)
        assert len(left(spool)) == 500
    assert not list(tmp_path.glob("*.spool"))


def test_damage_costs_what_is_behind_it_and_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path, Clock()) as spool:
        written = numbers(Source(spool).write(300))
        [path] = tmp_path.glob("*.spool")
        content = bytearray(path.read_bytes())
        content[len(content) * 2 // 3] ^= 1
        path.write_bytes(content)
        good = left(spool)
        assert spool.counts.unreadable == 100
        assert len(good) == 200
        assert "cannot be read" in caplog.text
    # What was sent of the file is known in memory alone, so all that is whole in it comes again.
    with opened(tmp_path, Clock()) as spool:
        again = left(spool)
        assert again == written[: len(again)]
        assert len(again) > 150
        assert spool.counts.torn_bytes > 0
    assert "behind the last whole frame" in caplog.text


def test_a_file_that_cannot_be_read_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path, Clock()) as spool:
        Source(spool).write(10)
    [path] = tmp_path.glob("*.spool")
    hidden = path.with_suffix(".hidden")
    path.rename(hidden)
    path.mkdir()
    with opened(tmp_path, Clock()) as spool:
        assert left(spool) == []
    assert "tried again at the next start" in caplog.text
    path.rmdir()
    hidden.rename(path)
    with opened(tmp_path, Clock()) as spool:
        assert len(left(spool)) == 10


def test_a_failing_disk_costs_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path, Clock()) as spool:
        source = Source(spool)
        before = numbers(source.write(10))

        def fail(fd: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", fail)
            for _ in range(2):
                with pytest.raises(SpoolError, match="cannot be written"):
                    source.write(10)
        after = numbers(source.write(10))
        assert left(spool) == before + after


def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    spool = opened(tmp_path, Clock())
    spool.close()
    spool.close()
    with pytest.raises(SpoolError, match="closed"):
        Source(spool).write(1)


def test_records_end_where_they_are_not_whole() -> None:
    content = wrap(b"one") + wrap(b"two")
    assert [record.payload for record in whole_records(content)] == [b"one", b"two"]
    for cut in range(len(content)):
        assert len(list(whole_records(content[:cut]))) == (cut >= 11)
    assert len(list(whole_records(content + bytes(64)))) == 2
