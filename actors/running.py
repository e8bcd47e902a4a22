"""What runs on a cluster: a file that tells whoever starts the platform there whether it has to be renewed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.config import CanfleetConfig
from pipeline.durable import create_file, make_directory

_NAME: Final = "running.json"
_PACKAGES: Final = ("pipeline", "actors", "serve", "canfleet")


class Running(BaseModel):
    """A release and its configuration.

    Attributes:
        code: see `code_here`.
        config: that of the platform.
        everywhere: whether every actor and replica has them; False from the beginning of a renewal to its end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    config: CanfleetConfig
    everywhere: bool


def code_here() -> str:
    """Names the code that this process would run: a SHA-256 over every file of the platform's packages, in hex."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.parent.name != "__pycache__":
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def running(data_dir: Path) -> Running | None:
    """What was said last to run on a data directory; None where that is unknown, or not as this release says it.

    Raises:
        OSError: the file is there and cannot be read.
    """
    path = data_dir / _NAME
    try:
        return Running.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def say_running(data_dir: Path, what: Running) -> None:
    """Write it: durable and whole on return, for the owner's eyes, since passwords are in it. Raises OSError."""
    make_directory(data_dir)
    create_file(data_dir / _NAME, [memoryview(what.model_dump_json().encode())])
