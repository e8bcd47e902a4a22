"""Frames that the platform will not read: kept beside the spool for a person to look at."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Final

from edge.body import lines
from edge.errors import SpoolError
from edge.run import Batch

_LOG: Final = logging.getLogger(__name__)
_FILE: Final = "rejected.ndjson"


class Rejected:
    """`rejected.ndjson` in the spool's folder: a line a frame, with the reason.

    A file that has reached its bound becomes `rejected.ndjson.1`, in place of the one before.
    """

    def __init__(self, directory: Path, max_bytes: int = 4 << 20) -> None:
        """Keep frames in `directory`, in two files of about `max_bytes` each."""
        self.path = directory / _FILE
        self._max_bytes = max_bytes

    def keep(self, batch: Batch, reason: str) -> None:
        """Write a batch, durable when this returns. Raises SpoolError: it is not kept."""
        try:
            self._make_room()
            with self.path.open("a", encoding="utf-8") as file:
                for line in lines(batch).splitlines():
                    file.write(json.dumps({"reason": reason, "frame": json.loads(line)}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SpoolError(f"{self.path} cannot be written: {error}: the frame stays in the spool") from error

    def _make_room(self) -> None:
        if self.path.exists() and self.path.stat().st_size >= self._max_bytes:
            older = self.path.with_name(_FILE + ".1")
            if older.exists():
                _LOG.warning("%s is full: the rejected frames in %s are gone", self.path, older)
            self.path.replace(older)
