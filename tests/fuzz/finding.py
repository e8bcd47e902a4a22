"""What was found: an input, what it did, and files that keep both."""

from __future__ import annotations

import base64
import hashlib
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHOWN_BYTES: Final = 1_500
"""Inputs up to this size are printed as a whole."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One input that was answered as it must not be.

    Attributes:
        kind: `crash`, `ended` (the same, where it breaks no promise), `hang`, `unexpected`, `slow` or `memory`.
        what: the same for inputs that are likely to meet the same fault; names the files.
        told: what there is to know of it.
        body: the input.
    """

    kind: str
    what: str
    told: str
    body: bytes

    def save(self, folder: Path, target: str) -> Path | None:
        """Keep the input as `….bin` and the rest as `….txt`; None where a fault of the same kind is kept already."""
        digest = hashlib.sha256(f"{target} {self.kind} {self.what}".encode()).hexdigest()[:12]
        path = folder / f"{target.rpartition(':')[2]}-{self.kind}-{digest}.bin"
        if path.exists():
            return None
        path.write_bytes(self.body)
        path.with_suffix(".txt").write_text(f"{self.what}\n{self.told}\n{self._input()}\n")
        return path

    def _input(self) -> str:
        if len(self.body) > SHOWN_BYTES:
            return f"{len(self.body):,} bytes"
        return f"base64: {base64.b64encode(self.body).decode()}"


def of_exception(error: BaseException, body: bytes) -> Finding:
    """An exception that is not of `pipeline/errors.py`; the innermost line of its first cause tells faults apart."""
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    frames = traceback.extract_tb(first.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "nowhere"
    text = "" if first is not error else str(error)[:120]
    return Finding("unexpected", f"{type(first).__name__} at {where} {text}", _told(error), body)


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6_000:]
