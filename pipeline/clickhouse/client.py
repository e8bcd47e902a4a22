"""One way to ClickHouse: clickhouse-connect over HTTP, its errors sorted into "away" and "refused"."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
import pyarrow as pa
import urllib3
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.errors import ConfigError, WarehouseAway, WarehouseError, WarehouseUnreadable

_PASSING_CODES: Final = frozenset([159, 202, 209, 210, 236, 241, 252, 439, 999])
"""ClickHouse's own words for "not now": timeouts, too many queries or parts, memory, stopping, no Keeper."""
_COLD_CODES: Final = frozenset([74, 75, 76, 107, 499, 1001])
"""Its words for a file or an object that cannot be read; 1001 is what the C++ library says of a folder that is gone."""
_ARROW: Final = {"output_format_arrow_string_as_string": 1, "output_format_arrow_low_cardinality_as_dictionary": 0}
_ANSWERED: Final = "Received ClickHouse exception"


class Warehouse:
    """A connection pool to one database. All methods may be called from any thread.

    Every method raises WarehouseAway where ClickHouse was not reached, did not answer in time, or cannot at the moment,
    and WarehouseError, with ClickHouse's own words, where it refused.
    """

    def __init__(self, settings: WarehouseSettings, check: Callable[[Warehouse], None] | None = None) -> None:
        """Reach ClickHouse at `settings.url` when it is first needed, so that it may be away now.

        Args:
            settings: where it is.
            check: called once ClickHouse is reached; what it raises, the caller gets, and the next one tries again.

        Raises:
            ConfigError: no URL, or one that is not http(s).
        """
        self.settings: Final = settings
        self._parts = urlsplit(settings.url or "")
        if self._parts.scheme not in {"http", "https"} or not self._parts.hostname:
            raise ConfigError(f"clickhouse.url {settings.url!r} is no URL such as http://127.0.0.1:8123")
        self._check = check
        self._opening = threading.Lock()
        self._opened: Client | None = None
        self._standing: dict[str, Any] = {}
        self.on_insert: Callable[[str, float], None] = lambda table, seconds: None
        """Called after each insert that succeeded."""

    @classmethod
    def connect(cls, settings: WarehouseSettings) -> Warehouse:
        """Reach ClickHouse now; the database need not exist yet.

        Raises:
            ConfigError: no URL, or one that is not http(s).
            WarehouseAway, WarehouseError: see the class.
        """
        warehouse = cls(settings)
        warehouse._opened = warehouse._open()
        return warehouse

    def without(self, disks: Sequence[str], tables: Sequence[str]) -> Warehouse:
        """The same connections for queries that see, of `tables`, only parts on other disks than these.

        The names are ClickHouse's and canfleet's own, never text of a user.
        """
        other = Warehouse(self.settings)
        other._opened = self._client
        hidden = ", ".join(f"\\'{disk}\\'" for disk in disks)
        filters = ", ".join(f"'{table}': '_disk_name NOT IN ({hidden})'" for table in tables)
        other._standing = {"additional_table_filters": f"{{{filters}}}"}
        return other

    @property
    def _client(self) -> Client:
        """The pool of connections."""
        if self._opened is None:
            with self._opening:
                if self._opened is None:
                    if self._check is not None:
                        checked = Warehouse.connect(self.settings)
                        self._check(checked)
                        self._opened = checked._opened
                    else:
                        self._opened = self._open()
        return self._opened

    def _open(self) -> Client:
        settings, parts = self.settings, self._parts
        try:
            client = clickhouse_connect.get_client(
                interface=parts.scheme,
                host=parts.hostname,
                port=parts.port or (8443 if parts.scheme == "https" else 8123),
                username=settings.user,
                password=settings.password,
                database="default",
                compress=False,
                connect_timeout=settings.connect_timeout_s,
                send_receive_timeout=settings.timeout_s,
                # A session admits one query at a time; the pool is there for several threads.
                autogenerate_session_id=False,
                query_retries=0,
                dedicated_pool=True,
            )
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            raise _sorted_out(error, settings) from error
        client.database = settings.database
        return client

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> None:  # noqa: ANN401
        """Run a statement that gives no rows; `settings` are ClickHouse's."""
        try:
            self._client.command(sql, parameters=dict(parameters or {}), settings=self._standing | settings)
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            raise _sorted_out(error, self.settings) from error

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> pa.Table:  # noqa: ANN401
        """Run a query; its rows as an Arrow table, strings as utf8."""
        try:
            body = self._client.raw_query(
                sql, dict(parameters or {}), _ARROW | self._standing | settings, "ArrowStream"
            )
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            raise _sorted_out(error, self.settings) from error
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            return reader.read_all()

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """Run a query; its rows as dictionaries. For small answers: O(values) Python objects."""
        return self.arrow(sql, parameters, **settings).to_pylist()

    def batches(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> Generator[pa.RecordBatch, None, None]:
        """Run any statement; its rows as they come, a batch at a time, so that they are never held whole here.

        The first batch is empty and tells the columns. A statement that gives no rows, such as INSERT, has no batch.
        """
        asked = _ARROW | self._standing | settings
        default = {"X-ClickHouse-Format": "ArrowStream"}
        try:
            answer = self._client.raw_stream(sql, dict(parameters or {}), asked, transport_settings=default)
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            raise _sorted_out(error, self.settings) from error
        answer.auto_close = False  # or a reader around it fails at its end
        try:
            with io.BufferedReader(answer, 1 << 20) as stream:
                if not stream.peek(1):
                    return
                if (own := answer.headers.get("X-ClickHouse-Format", "ArrowStream")) != "ArrowStream":
                    raise WarehouseError(f"the statement says FORMAT {own}: leave that out")
                with pa.ipc.open_stream(stream) as reader:
                    yield pa.RecordBatch.from_pylist([], reader.schema)
                    yield from reader
        except (pa.ArrowException, urllib3.exceptions.HTTPError, OSError) as error:
            raise WarehouseAway(f"ClickHouse at {self.settings.url} broke off its answer: {error}") from error

    def insert(self, table: str, columns: Sequence[str], stream: memoryview, **settings: Any) -> None:  # noqa: ANN401
        """Insert an Arrow IPC stream. `table` and `columns` are names in the code, never text of a user."""
        began = time.monotonic()
        try:
            # Bytes would be copied to stand behind the statement; a view is sent as it is, the statement in the URL.
            self._client.raw_insert(table, list(columns), stream, settings, "ArrowStream")
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            raise _sorted_out(error, self.settings) from error
        self.on_insert(table, time.monotonic() - began)

    def database_exists(self) -> bool:
        """Whether the settings' database is there; every other method but `command` wants one."""
        try:
            return bool(self._client.command(f"EXISTS DATABASE {self.settings.database}", use_database=False))
        except (ClickHouseError, urllib3.exceptions.HTTPError, OSError) as error:
            raise _sorted_out(error, self.settings) from error

    def ping(self) -> bool:
        """Whether ClickHouse answers."""
        return self._client.ping()

    def close(self) -> None:
        """Close the pool's connections."""
        if self._opened is not None:
            self._opened.close()


def _sorted_out(error: Exception, settings: WarehouseSettings) -> WarehouseError:
    words = " ".join(str(error).split())
    code = getattr(error, "code", None)
    if _ANSWERED in words:
        words = words.partition("server response: ")[2].partition(" (for url ")[0] or words
        if code in _PASSING_CODES:
            return WarehouseAway(f"ClickHouse at {settings.url} cannot at the moment: {words}")
        if code in _COLD_CODES:
            return WarehouseUnreadable(f"ClickHouse could not read some of its data: {words}")
        return WarehouseError(f"ClickHouse refused: {words}")
    if isinstance(error, ClickHouseError) and "executing HTTP request" not in words and "HTTP status 50" not in words:
        return WarehouseError(f"ClickHouse at {settings.url}: {words}")
    return WarehouseAway(f"ClickHouse at {settings.url} does not answer: {words}")
