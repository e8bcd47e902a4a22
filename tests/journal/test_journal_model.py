"""The journal against a model, with power cuts: whatever no fsync covered may be cut, zeroed, scrambled or gone."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.journal import Journal, segment
from pipeline.journal.mark import NAME as MARK

BATCH = st.lists(
    st.tuples(st.integers(0, 2**32 - 1), st.lists(st.binary(max_size=100), max_size=3)), min_size=1, max_size=6
)


class Disk:
    """Notes what each fsync made durable, and leaves the slow part out."""

    def __init__(self) -> None:
        self.sizes: dict[int, int] = {}
        self.names: set[str] = set()

    def sync(self, fd: int) -> None:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            self.names = set(os.listdir(fd))
        else:
            self.sizes[status.st_ino] = status.st_size

    def store(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.sizes[path.stat().st_ino] = len(content)

    def durable_bytes(self, path: Path) -> int:
        return self.sizes.get(path.stat().st_ino, 0)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="journal-model-"))
        self.generation = 0
        self.disk = Disk()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(os, "fsync", self.disk.sync)
        self.patch.setattr(os, "fdatasync", self.disk.sync)
        self.patch.setattr(segment, "READ_BYTES", 96)
        self.records: list[tuple[int, int, bytes]] = []
        self.promised = 0
        self.marks: list[bytes] = []

    @property
    def directory(self) -> Path:
        return self.root / str(self.generation)

    @initialize(segment_bytes=st.sampled_from([64, 300, 1000, 1 << 20]))
    def start(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.journal = Journal.open(self.directory, segment_bytes)

    @rule(batch=BATCH)
    def append(self, batch: list[tuple[int, list[bytes]]]) -> None:
        for kind, buffers in batch:
            before = self.journal.end
            offset = self.journal.append(kind, *buffers)
            assert offset == before
            self.records.append((offset, kind, b"".join(buffers)))

    @rule(batch=BATCH)
    def sync(self, batch: list[tuple[int, list[bytes]]]) -> None:
        self.append(batch)
        self.promised = self.journal.sync()
        assert self.promised == self.journal.end
        self.marks.append((self.directory / MARK).read_bytes())

    @precondition(lambda self: self.records)
    @rule(data=st.data())
    def read_part(self, data: st.DataObject) -> None:
        durable = [record for record in self.records if record[0] < self.journal.durable_end]
        if not durable:
            return
        first, last = sorted(data.draw(st.tuples(*[st.integers(0, len(durable) - 1)] * 2)))
        found = [(r.offset, r.kind, bytes(r.payload)) for r in self.journal.read(durable[first][0], durable[last][0])]
        assert found == durable[first:last]

    @precondition(lambda self: self.promised > self.journal.start)
    @rule(data=st.data())
    def truncate(self, data: st.DataObject) -> None:
        before = data.draw(st.integers(self.journal.start, self.promised))
        self.journal.truncate_before(before)
        assert self.journal.start <= before
        self.records = [record for record in self.records if record[0] >= self.journal.start]

    @rule()
    def recover(self) -> None:
        durable = self.journal.durable_end
        assert durable >= self.promised
        assert self.journal.recover().end == durable
        self.records = [record for record in self.records if record[0] < durable]

    @rule(batch=BATCH)
    def kill(self, batch: list[tuple[int, list[bytes]]]) -> None:
        """The process dies; the kernel lives: all that was written is there."""
        self.append(batch)
        self.journal.close()
        self.journal = Journal.open(self.directory, self.segment_bytes)
        assert self.journal.report.cut_bytes == 0
        self.check_survivors(all_of_them=True)

    @rule(data=st.data(), batch=BATCH)
    def cut_power(self, data: st.DataObject, batch: list[tuple[int, list[bytes]]]) -> None:
        self.append(batch)
        before = self.directory
        self.generation += 1
        after = self.directory
        after.mkdir()
        paths = sorted(path for path in before.glob(f"*{segment.SUFFIX}") if path.name in self.disk.names)
        for path in paths:
            content, safe = path.read_bytes(), self.disk.durable_bytes(path)
            tail = data.draw(damaged(content[safe:])) if path == paths[-1] else b""
            self.disk.store(after / path.name, content[:safe] + tail)
        if (mark := data.draw(st.sampled_from([None, b"", bytes(12), *self.marks]))) is not None:
            self.disk.store(after / MARK, mark)
        self.journal.close()
        shutil.rmtree(before)
        self.journal = Journal.open(after, self.segment_bytes)
        self.check_survivors(all_of_them=False)

    def check_survivors(self, *, all_of_them: bool) -> None:
        """Every promised record is there, and of the others the first few."""
        end = self.journal.end
        assert end >= self.promised
        if all_of_them and self.records:
            assert self.records[-1][0] < end
        self.records = [record for record in self.records if record[0] < end]
        self.promised = end
        self.marks = [(self.directory / MARK).read_bytes()]
        self.same_records()

    @invariant()
    def same_records(self) -> None:
        if not hasattr(self, "journal"):
            return
        durable = self.journal.durable_end
        assert durable >= self.promised
        found = [(r.offset, r.kind, bytes(r.payload)) for r in self.journal.read(self.journal.start)]
        assert found == [record for record in self.records if record[0] < durable]
        files = [path.stat().st_size for path in self.directory.glob(f"*{segment.SUFFIX}")]
        assert self.journal.size_bytes == sum(files)

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
        self.patch.undo()
        shutil.rmtree(self.root)


@st.composite
def damaged(draw: st.DrawFn, tail: bytes) -> bytes:
    """What a disk may hold of bytes that were never synced: some pages, some zeros, some noise, a shorter file."""
    content = bytearray(tail[: draw(st.integers(0, len(tail)))] if draw(st.booleans()) else tail)
    for _ in range(draw(st.integers(0, 2)) if content else 0):
        start = draw(st.integers(0, len(content) - 1))
        length = min(draw(st.integers(1, 64)), len(content) - start)
        content[start : start + length] = draw(st.sampled_from([bytes(length), os.urandom(length), b"\xff" * length]))
    return bytes(content) + bytes(draw(st.sampled_from([0, 0, 5, 4096])))


Machine.TestCase.settings = settings(
    max_examples=80, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestJournalAgainstModel = Machine.TestCase
