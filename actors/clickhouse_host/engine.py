"""chDB as an engine for many callers: a fresh connection handle for every statement, on a pool of threads.

A handle keeps what was `SET` on it, and after a failed query the next one can return the failed one's bytes. Opening
one costs 0.2 ms, so none is used twice: settings, parameters and the current database cannot leak.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import chdb

from actors.clickhouse_host.native import empty_block
from actors.clickhouse_host.statement import Statement
from actors.clickhouse_host.token_logs import TokenLogs
from pipeline.errors import ConfigError, WarehouseAway, WarehouseError

_SERVER_DEFAULTS: Final = {"implicit_select": "0"}
"""Where chDB's defaults differ from a server's: a bare expression would be taken for a SELECT."""
_SETTINGS: Final = re.compile(r"\bSETTINGS\b[^()]*$", re.IGNORECASE)
"""The last clause of an INSERT's head; a column of that name would stand in parentheses."""
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave.

    Attributes:
        body: the rows, in `format`.
        format: name of a ClickHouse format; None where the statement gives no rows, such as INSERT.
        read_rows, read_bytes: scanned by the statement.
        written_rows, written_bytes: handed to tables, materialised views included, duplicates too.
        elapsed_ns: time in the engine.
    """

    body: bytes
    format: str | None
    read_rows: int
    read_bytes: int
    written_rows: int
    written_bytes: int
    elapsed_ns: int


class Engine:
    """The one ClickHouse engine of this process. All methods may be called from any thread.

    chDB serves one path per process, and hangs in a forked child: start processes by spawning.
    """

    def __init__(self, data_dir: Path, config_file: Path, threads: int, disks: Sequence[Path] = ()) -> None:
        """Open the engine on `data_dir`, whose folder is created; `disks` are the folders of the configuration's disks.

        Raises:
            ConfigError: another host holds the folder, or chDB cannot open it.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(data_dir)
        self._address = f"file:{data_dir / 'engine'}?config-file={config_file}"
        self._token_logs = TokenLogs([data_dir / "engine", *disks])
        try:
            self._token_logs.mend()
            self._token_logs.write_through()
            # Keeping one handle open keeps the engine alive; it never runs a statement of a client.
            self._root = chdb.connect(self._address)
        except (RuntimeError, OSError) as error:
            self._lock_file.close()
            raise ConfigError(f"ClickHouse data in {data_dir} cannot be opened: {error}") from error
        self.pool: Final = ThreadPoolExecutor(threads, thread_name_prefix="clickhouse")
        """Threads for `execute`."""
        self._closing = threading.Event()
        version, timezone, name = self.execute(Statement("SELECT version(), timezone(), hostName()")).body.split(b"\t")
        self.version: Final = version.decode()
        self.timezone: Final = timezone.decode()
        self.display_name: Final = name.decode().strip()

    def execute(self, statement: Statement) -> Answer:
        """Run one statement to its end; the answer is held in memory.

        Raises:
            WarehouseError: the engine refused it; the message begins with `Code: N. DB::Exception: `.
            WarehouseAway: the engine is closing.
        """
        if self._closing.is_set():
            raise WarehouseAway("Code: 236. DB::Exception: ClickHouse is stopping. (ABORTED)")
        start = time.monotonic_ns()
        handle = chdb.connect(self._address)
        try:
            for preparation in _preparations(statement):
                handle.query(preparation, "TabSeparated")
            if statement.insert_format is not None:
                with _in_memory(statement.data) as path:
                    done = handle.query(_from_file(statement, path), "TabSeparated")
                elapsed = time.monotonic_ns() - start
                return Answer(b"", None, 0, 0, done.rows_written(), done.bytes_written(), elapsed)
            result = handle.query(statement.sql, statement.default_format, params=dict(statement.parameters))
            body: bytes = result.bytes()
            answers = statement.has_answer
            if not answers:
                self._token_logs.write_through()  # it may have made a table
            if answers and not body and statement.answer_format.lower() == "native":
                body = _empty_native(handle, statement)
            return Answer(
                body=body,
                format=statement.answer_format if answers else None,
                read_rows=result.storage_rows_read() or result.rows_read(),
                read_bytes=result.storage_bytes_read() or result.bytes_read(),
                written_rows=result.rows_written(),
                written_bytes=result.bytes_written(),
                elapsed_ns=time.monotonic_ns() - start,
            )
        except RuntimeError as error:
            raise WarehouseError(_words(str(error), self)) from error
        finally:
            handle.close()

    def close(self) -> None:
        """Finish running statements, refuse new ones, and release the folder."""
        self._closing.set()
        self.pool.shutdown(wait=True)
        self._root.close()
        self._lock_file.close()


@contextmanager
def _in_memory(pieces: Sequence[bytes]) -> Iterator[str]:
    """A file in memory with an INSERT's data; yields its path."""
    file = os.memfd_create("insert")
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(file, view) :]
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)


def _from_file(statement: Statement, path: str) -> str:
    """The INSERT with its data in a file.

    chDB's own way to send data, `send_insert`, forgets every error that happens after the data were parsed: rows that
    break a constraint, a full disk, too little memory end as a success that stored nothing.
    """
    settings = _SETTINGS.search(statement.sql)
    end = settings.start() if settings else len(statement.sql)
    source = f" FROM INFILE '{path}' COMPRESSION 'none' "
    return f"{statement.sql[:end]}{source}{statement.sql[end:]} FORMAT {statement.insert_format}"


def _lock(data_dir: Path) -> TextIO:
    """Hold `data_dir` for this process. The kernel lets go of the lock when the process dies, however it does."""
    file = open(data_dir / "host.lock", "a+", encoding="ascii")  # noqa: SIM115 (held open while the engine lives)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise ConfigError(
            f"ClickHouse data in {data_dir} are in use by process {holder}: stop it, or choose another data directory"
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _preparations(statement: Statement) -> list[str]:
    """Statements that give a fresh handle the database, settings and parameters of `statement`."""
    first = []
    if statement.database != "default":
        first.append(f"USE `{statement.database.replace(chr(92), chr(92) * 2).replace('`', chr(92) + '`')}`")
    settings = _SERVER_DEFAULTS | dict(statement.settings) | dict(statement.limits)
    if statement.insert_format is not None:
        settings |= {f"param_{name}": value for name, value in statement.parameters.items()}
    for name in settings:
        if not _NAME.fullmatch(name):
            raise WarehouseError(f"Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)")
    first.append("SET " + ", ".join(f"{name} = {_literal(value)}" for name, value in settings.items()))
    if statement.limits:
        first.append("SET readonly = 1")
    elif statement.read_only:
        first.append("SET readonly = 2")
    return first


def _literal(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _empty_native(handle: chdb.Connection, statement: Statement) -> bytes:
    """The header block that ClickHouse sends for no rows; chDB sends nothing at all."""
    if not statement.bare.lstrip("( \n\t").upper().startswith(("SELECT", "WITH", "FROM")):
        return b""
    described = handle.query(f"DESCRIBE ({statement.bare})", "JSONCompactColumns", params=dict(statement.parameters))
    return empty_block(described.bytes())


def _words(message: str, engine: Engine) -> str:
    """ClickHouse's own words, as its HTTP interface ends them."""
    start = message.find("Code: ")
    words = message[start:].strip() if start >= 0 else f"Code: 1002. DB::Exception: {message} (UNKNOWN_EXCEPTION)"
    return words if "(version " in words else f"{words} (version {getattr(engine, 'version', 'unknown')})"
