"""What a command left behind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    code: int
    out: bytes
    errors: str
