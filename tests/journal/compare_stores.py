"""Measures the three stores that were considered for the journal: `python -m tests.journal.compare_stores DIRECTORY`.

The figures stand in docs/decisions/journal.md. LMDB is measured where `import lmdb` works; it is no dependency.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.journal import Journal


class Store(Protocol):
    def commit(self, records: list[bytes]) -> None: ...
    def read(self) -> Iterator[memoryview | bytes]: ...
    def truncate(self) -> None:
        """Drop the older half."""
        ...

    def close(self) -> None: ...


class Segments:
    name = "segments"

    def __init__(self, directory: Path) -> None:
        self.journal = Journal.open(directory)

    def commit(self, records: list[bytes]) -> None:
        for record in records:
            self.journal.append(1, record)
        self.journal.sync()

    def read(self) -> Iterator[memoryview | bytes]:
        return (record.payload for record in self.journal.read(self.journal.start))

    def truncate(self) -> None:
        self.journal.truncate_before(self.journal.end // 2)

    def close(self) -> None:
        self.journal.close()


class SQLite:
    name = "SQLite WAL FULL"

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.db = sqlite3.connect(directory / "db", isolation_level=None)
        self.db.execute("PRAGMA page_size=16384")
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute("CREATE TABLE log (n INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER, payload BLOB)")

    def commit(self, records: list[bytes]) -> None:
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO log (kind, payload) VALUES (1, ?)", [(record,) for record in records])
        self.db.execute("COMMIT")

    def read(self) -> Iterator[memoryview | bytes]:
        return (row[0] for row in self.db.execute("SELECT payload FROM log ORDER BY n"))

    def truncate(self) -> None:
        self.db.execute("DELETE FROM log WHERE n <= (SELECT max(n) / 2 FROM log)")

    def close(self) -> None:
        self.db.close()


class LMDB:
    name = "LMDB"

    def __init__(self, directory: Path) -> None:
        import lmdb

        self.db = lmdb.open(str(directory), map_size=8 << 30)
        self.next = 0

    def commit(self, records: list[bytes]) -> None:
        with self.db.begin(write=True) as transaction:
            for record in records:
                transaction.put(self.next.to_bytes(8, "big"), record, append=True)
                self.next += 1

    def read(self) -> Iterator[memoryview | bytes]:
        with self.db.begin(buffers=True) as transaction:
            for _, value in transaction.cursor():
                yield value

    def truncate(self) -> None:
        with self.db.begin(write=True) as transaction, transaction.cursor() as cursor:
            for n in range(self.next // 2):
                cursor.set_key(n.to_bytes(8, "big"))
                cursor.delete()

    def close(self) -> None:
        self.db.close()


def timed(what: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    what()
    return time.perf_counter() - wall, time.process_time() - cpu


def touch(store: Store) -> None:
    """Read all; one byte per page makes memory maps do their work too."""
    for payload in store.read():
        np.frombuffer(payload, np.uint8)[::4096].sum()


def measure(kind: Callable[[Path], Store], directory: Path, sizes: list[int], per_commit: int, total: int) -> str:
    path = directory / "store"
    shutil.rmtree(path, ignore_errors=True)
    random = np.random.default_rng(7)
    pool = [random.bytes(int(size)) for size in random.choice(sizes, 64)]
    store, latencies, cpu, written, n = kind(path), [], 0.0, 0, 0
    while written < total and n < 400 * per_commit:
        records = [pool[(n + i) % len(pool)] for i in range(per_commit)]
        wall, used = timed(lambda records=records: store.commit(records))
        latencies.append(wall)
        cpu, written, n = cpu + used, written + sum(map(len, records)), n + per_commit
    read_wall, read_cpu = timed(lambda: touch(store))
    cut_wall, cut_cpu = timed(store.truncate)
    disk = sum(file.stat().st_blocks * 512 for file in path.iterdir())
    store.close()
    shutil.rmtree(path)
    ms, mb = 1e3, written / 1e6
    p50, p99 = np.percentile(latencies, [50, 99])
    return (
        f"{p50 * ms:8.2f} {p99 * ms:8.2f} {cpu / len(latencies) * ms:8.2f} {mb / sum(latencies):7.0f} "
        f"{mb / read_wall:7.0f} {read_cpu / mb * 1e6:7.0f} {cut_wall * ms:8.1f} {cut_cpu * ms:8.1f} "
        f"{disk / written:6.2f}"
    )


def main() -> None:
    directory = Path(sys.argv[1])
    stores: list[Callable[[Path], Store]] = [Segments, SQLite, LMDB]
    print(
        "store            record  /commit   p50 ms   p99 ms   CPU ms    MB/s read MB/s us/MB   cut ms  cut CPU disk/b"
    )
    for label, sizes in (("4 KB", [4 << 10]), ("100-400 KB", [100 << 10, 200 << 10, 400 << 10])):
        for per_commit in (1, 10, 100):
            for kind in stores:
                os.sync()
                try:
                    figures = measure(kind, directory, sizes, per_commit, 400 << 20)
                except ModuleNotFoundError as error:
                    figures = str(error)
                print(f"{kind.name:16} {label:10} {per_commit:4} {figures}", flush=True)


if __name__ == "__main__":
    main()
