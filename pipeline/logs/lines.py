"""One log record as one line: of text, or of JSON."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any, Final

CONTEXT: Final = ("shard", "request_id")
"""What a message may say beside its text, by `extra=`: the shard's name, the id of the request."""


class _Lines(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: ANN401 (what logging says)
        """The traceback, without `print`, which the standard library uses and Serve replaces in its replicas."""
        return "".join(traceback.format_exception(*ei)).rstrip("\n")


class TextLines(_Lines):
    """`2026-01-31T12:00:00.000Z WARNING canfleet.serve: …`, and behind an error its traceback."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """In UTC, to the millisecond."""
        return _time(record)


class JsonLines(_Lines):
    """An object with time, level, logger, message, role, and shard, request_id, exception where there are some."""

    def __init__(self, role: str) -> None:
        """Lines of a process that is the platform's `role`."""
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """One line of ASCII, so that nothing in a message can break it."""
        line = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "role": self._role,
        }
        line |= {name: str(getattr(record, name)) for name in CONTEXT if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
