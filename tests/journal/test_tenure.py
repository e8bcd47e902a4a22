"""Taking a shard's folder over from a holder that may still be alive: what it acknowledged is there, and no more."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import Fenced, JournalError
from pipeline.journal import checkpoint
from pipeline.journal.log import Journal
from pipeline.journal.tenure import JOURNAL, Tenure, current

SEGMENT_BYTES = 4096


def held(tenure: Tenure) -> Journal:
    return Journal.open(tenure.path / JOURNAL, SEGMENT_BYTES, tenure.check)


def payloads(journal: Journal) -> list[bytes]:
    return [bytes(record.payload) for record in journal.read(journal.start)]


def fill(journal: Journal) -> None:
    """Append until a segment would have to be begun."""
    for _ in range(10):
        journal.append(1, b"z" * 1000)


def test_a_folder_passes_from_holder_to_holder(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        tenure = Tenure.begin(tmp_path / "shard")
        assert (tenure.epoch, tenure.path) == (epoch, current(tmp_path / "shard"))
        with held(tenure) as journal:
            assert payloads(journal) == [b"%d" % i for i in range(1, epoch)]
            journal.append(1, b"%d" % epoch)
            journal.sync()
    assert len(list((tmp_path / "shard").iterdir())) == 1


def test_a_released_journal_is_taken_over_without_a_copy(tmp_path: Path) -> None:
    with held(Tenure.begin(tmp_path)) as journal:
        journal.append(1, b"x")
        journal.sync()
    files = {path.name: path.stat().st_ino for path in (current(tmp_path) / JOURNAL).iterdir()}
    later = Tenure.begin(tmp_path)
    assert {path.name: path.stat().st_ino for path in (later.path / JOURNAL).iterdir()} == files


def test_who_was_taken_over_from_confirms_nothing_more_and_changes_nothing(tmp_path: Path) -> None:
    before = Tenure.begin(tmp_path)
    old = held(before)
    while len(list((before.path / JOURNAL).glob("*"))) < 5:
        old.append(1, b"y" * 1000)
        old.sync()
    checkpoint.save(before.path, "shard", {"n": 1}, {})
    confirmed = payloads(old)
    old.append(1, b"written before, and not confirmed")
    after = Tenure.begin(tmp_path)
    files = {path.name: path.read_bytes() for path in (after.path / JOURNAL).iterdir()}
    with pytest.raises(Fenced, match="taken it over"):
        old.sync()
    with pytest.raises(Fenced):
        old.recover()
    with pytest.raises(JournalError):
        old.truncate_before(old.durable_end)
    with pytest.raises(JournalError):
        fill(old)
    with pytest.raises(Fenced):
        before.check()
    assert {path.name: path.read_bytes() for path in (after.path / JOURNAL).iterdir()} == files
    with held(after) as journal:
        assert payloads(journal)[: len(confirmed)] == confirmed
        loaded = checkpoint.load_latest(after.path, "shard")
        assert loaded is not None
        assert loaded.meta == {"n": 1}
    old.close()


def test_a_folder_that_comes_back_under_the_old_name_is_not_the_tenure(tmp_path: Path) -> None:
    before = Tenure.begin(tmp_path)
    held(before).close()
    Tenure.begin(tmp_path)
    checkpoint.save(before.path, "shard", {}, {})  # by a holder that looked just before it lost the shard
    with pytest.raises(Fenced):
        before.check()
    assert Tenure.begin(tmp_path).epoch == 3
    assert len(list(tmp_path.iterdir())) == 1


def test_nothing_confirmed_is_lost_however_close_the_take_over_is(tmp_path: Path) -> None:
    confirmed: list[bytes] = []

    def hold(tenure: Tenure, name: int) -> None:
        journal = held(tenure)
        try:
            for i in range(100_000):
                payload = b"%d/%d" % (name, i)
                journal.append(1, payload)
                journal.sync()
                confirmed.append(payload)
        except JournalError:
            journal.close()

    threads = []
    for name in range(25):
        thread = threading.Thread(target=hold, args=(Tenure.begin(tmp_path), name))
        thread.start()
        threads.append(thread)
        before = len(confirmed)
        while len(confirmed) < before + 10 + name:
            assert thread.is_alive() or len(confirmed) > before
    with held(Tenure.begin(tmp_path)) as journal:
        # Read at once: a holder that is still writing must have no part in what is read.
        kept = payloads(journal)
        for thread in threads:
            thread.join()
        assert payloads(journal) == kept
    assert set(confirmed) <= set(kept)
    assert len(set(kept)) == len(kept)


@pytest.mark.parametrize("step", range(1, 12))
def test_a_take_over_that_is_cut_off_goes_on_at_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    old = held(Tenure.begin(tmp_path))
    for i in range(10):
        old.append(1, b"%d" % i * 1000)
        old.sync()
    confirmed, steps = payloads(old), 0

    def cut_off(call: Any) -> Any:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == step:
                raise KeyboardInterrupt
            return call(*arguments, **keywords)

        return counted

    with monkeypatch.context() as patched:
        for owner, name in ((Path, "rename"), (Path, "mkdir"), (os, "link"), (os, "fsync"), (os, "rmdir")):
            patched.setattr(owner, name, cut_off(getattr(owner, name)))
        try:
            Tenure.begin(tmp_path)
        except KeyboardInterrupt:
            pass
        else:
            assert steps < step
    with held(Tenure.begin(tmp_path)) as journal:
        assert payloads(journal) == confirmed
    assert [path.name for path in current(tmp_path).iterdir()] == [JOURNAL]
    old.close()


def test_what_a_version_without_epochs_left_is_taken_over(tmp_path: Path) -> None:
    with Journal.open(tmp_path / JOURNAL, SEGMENT_BYTES) as journal:
        journal.append(1, b"old")
        journal.sync()
    checkpoint.save(tmp_path, "shard", {"n": 7}, {})
    tenure = Tenure.begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [tenure.path.name]
    with held(tenure) as journal:
        assert payloads(journal) == [b"old"]
    loaded = checkpoint.load_latest(tenure.path, "shard")
    assert loaded is not None
    assert loaded.meta == {"n": 7}


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be taken over"):
        Tenure.begin(tmp_path / "file" / "0")
    with pytest.raises(FileNotFoundError, match="holds no shard"):
        current(tmp_path)
