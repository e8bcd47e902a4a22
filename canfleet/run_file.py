"""The run file: says which process runs a platform on a data directory, and is locked as long as it does."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TextIO

from canfleet.family import Run
from pipeline.errors import CanfleetError

RUN_FILE: Final = "canfleet.run"
"""In the data directory, as JSON: process id and addresses while a platform runs on it; empty after a clean end."""


class RunFile:
    """Held by `canfleet up` from its start to its end. The kernel lets go of the lock however the process ends."""

    def __init__(self, data_dir: Path) -> None:
        """Take the folder for this process.

        Raises:
            CanfleetError: another platform runs on it.
        """
        self._file = (data_dir / RUN_FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            pid = _parse(self._file).get("pid", "unknown")
            self._file.close()
            raise CanfleetError(
                f"a platform runs on {data_dir} already, process {pid}: use `canfleet down` or another folder"
            ) from error
        written = _parse(self._file).get("run")
        self.left: Final = Run(**written) if written else None
        """The run that a `canfleet up` before this one did not end, if it was killed."""

    def write(self, run: Run, addresses: dict[str, str]) -> None:
        """Note the run that this process now watches over."""
        self._replace(json.dumps({"pid": os.getpid(), **addresses, "run": asdict(run)}))

    def close(self) -> None:
        """Leave the folder to others."""
        self._replace("")
        self._file.close()

    def _replace(self, text: str) -> None:
        self._file.truncate(0)
        self._file.write(text)
        self._file.flush()


def read_run_file(data_dir: Path) -> dict[str, Any]:
    """Process id (`pid`), `url` and ClickHouse URL (`clickhouse`) of the platform that runs on a data directory.

    Raises:
        CanfleetError: none does.
    """
    try:
        file = (data_dir / RUN_FILE).open(encoding="utf-8")
    except OSError as error:
        raise CanfleetError(f"no platform runs on {data_dir}") from error
    with file:
        if _is_locked(file):
            return _parse(file)
    raise CanfleetError(f"no platform runs on {data_dir}")


def is_held(data_dir: Path) -> bool:
    """Whether a `canfleet up` holds the folder. Raises OSError where there is no run file."""
    with (data_dir / RUN_FILE).open(encoding="utf-8") as file:
        return _is_locked(file)


def _is_locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _parse(file: TextIO) -> dict[str, Any]:
    file.seek(0)
    text = file.read()
    try:
        document: dict[str, Any] = json.loads(text)
    except ValueError:
        # Empty after a clean end; cut off where the machine went down, and then nothing of the run is left either.
        return {}
    return document
