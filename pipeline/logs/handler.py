"""Where a process writes its log: stderr, which Ray keeps in its files, and shows where the platform was started."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from pipeline.logs.lines import JsonLines, TextLines
from pipeline.logs.repeats import Kind, Repeats
from pipeline.logs.settings import LoggingSettings

MOST: Final = 30
"""Messages of one kind in a minute; the rest is counted, and told at its end."""
INTERVAL_S: Final = 60.0

_OURS: Final = ("pipeline", "actors", "serve", "canfleet")
_TOLD_BY_US: Final = ("urllib3", "clickhouse_connect")
"""What fails there comes to us as an exception, and is told in our words; theirs hold whole statements."""


class LimitedHandler(logging.Handler):
    """Writes lines to stderr, each kind of message `MOST` times a minute at most.

    A thread that lives while messages are held back tells how many they were.
    """

    def __init__(
        self, formatter: logging.Formatter, repeats: Repeats, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._repeats = repeats
        self._clock = clock
        self._teller: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or count it. Under the handler's lock, as the standard library calls it."""
        template = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        if self._repeats.passes(Kind(record.name, record.levelno, template), self._clock()):
            self._write(record)
        elif self._teller is None:
            self._teller = threading.Thread(target=self._tell_later, name="log-repeats", daemon=True)
            self._teller.start()

    def close(self) -> None:
        """Tell what was held back: the process ends."""
        self.tell(float("inf"))
        super().close()

    def tell(self, now: float) -> float | None:
        """Write how many messages were held back in the minutes that are over; when to call again."""
        with self._held():
            for (logger, level, template), count in self._repeats.told(now):
                what = f"… and {count:,} more: {template}"
                self._write(logging.LogRecord(logger, level, "", 0, what, None, None))
            again = self._repeats.tell_at()
            if again is None:
                self._teller = None
            return again

    def _held(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock

    def _tell_later(self) -> None:
        again: float | None = self._clock()
        while again is not None:
            time.sleep(max(0.0, again - self._clock()))
            again = self.tell(self._clock())

    def _write(self, record: logging.LogRecord) -> None:
        """To the process's own stderr: in a replica, `sys.stderr` is Serve's log, which leaves out what comes there."""
        try:
            stderr = sys.__stderr__ or sys.stderr
            stderr.write(self.format(record) + "\n")
            stderr.flush()
        except Exception:  # noqa: BLE001 (a log that fails must not fail what it tells of)
            self.handleError(record)


def set_up_logs(settings: LoggingSettings, role: str) -> None:
    """Have this process write its log as `settings` say; `role` names it in JSON. Again replaces what was.

    What the standard library would do without it: write WARNING and above to stderr, as bare text, without a limit.
    """
    formatter = JsonLines(role) if settings.format == "json" else TextLines()
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, LimitedHandler)]:
        root.removeHandler(old)
        old.close()
    root.addHandler(LimitedHandler(formatter, Repeats(MOST, INTERVAL_S)))
    for name in _OURS:
        logging.getLogger(name).setLevel(settings.level)
    for name in _TOLD_BY_US:
        logging.getLogger(name).setLevel(logging.ERROR)
