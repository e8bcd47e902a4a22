"""Processes that start without pandas, which pyarrow and Ray Serve import wherever it is installed.

Nothing here uses it but asammdf, whose readers run in processes of their own. It takes a sixth of what a process
imports, in each of a platform's ten, at the very time when frames wait for a shard that starts again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_ABSENT: Final = str(Path(__file__).with_name("absent"))


def light(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which Python finds no pandas, for child processes."""
    return _with_path(environment, [_ABSENT, *_path(environment)])


def full(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which it does again."""
    return _with_path(environment, _path(environment))


def _path(environment: Mapping[str, str]) -> list[str]:
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    return [folder for folder in folders if folder and folder != _ABSENT]


def _with_path(environment: Mapping[str, str], folders: list[str]) -> dict[str, str]:
    others = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return others | ({"PYTHONPATH": os.pathsep.join(folders)} if folders else {})
