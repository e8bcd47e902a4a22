"""What every reader of bodies must do with any body: rows in schema, rows refused, or an error of the tree."""

from __future__ import annotations

from typing import Final

from pipeline.errors import CanfleetError
from pipeline.frames.body import ParsedBody, read_body
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.frames.limits import FrameLimits
from pipeline.frames.schema import CANONICAL
from pipeline.frames.split import from_ipc, to_ipc
from tests.fuzz.target import BrokenPromise

NOW_US: Final = 1_790_000_000_000_000
LIMITS: Final = FrameLimits(max_body_bytes=4 << 20, max_decompressed_bytes=8 << 20, max_rows=50_000)
"""Small bounds, so that what exceeds them shows in the memory of the process."""


def try_body(body: bytes, content_type: str, content_encoding: str | None) -> None:
    """Read a body as the gateway does, and hold what comes out against the contract."""
    try:
        parsed = read_body(body, content_type, content_encoding, LIMITS, NOW_US)
    except CanfleetError:
        return
    check_parsed(parsed)


def check_parsed(parsed: ParsedBody) -> None:
    """Every frame and dead letter is what the rest of the platform trusts it to be, also once stored."""
    parsed.frames.validate(full=True)
    parsed.rejected.validate(full=True)
    if parsed.frames.schema != CANONICAL or parsed.rejected.schema != DEAD_LETTERS:
        raise BrokenPromise(f"not the schema of frames: {parsed.frames.schema}")
    if len(parsed.rejected_at) != parsed.rejected.num_rows or parsed.received > LIMITS.max_rows:
        raise BrokenPromise(f"{parsed.received} rows, {len(parsed.rejected_at)} of {parsed.rejected.num_rows} placed")
    if not from_ipc(to_ipc(parsed.frames)).equals(parsed.frames):
        raise BrokenPromise("frames are others once they are stored")
