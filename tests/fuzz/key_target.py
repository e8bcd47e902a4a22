"""API keys as callers present them: any text may be a key, and none but the right one opens."""

from __future__ import annotations

from random import Random
from typing import Final

from pipeline.keys.record import BOOTSTRAP_ID, KeyRecord, Scope, digest_of, key_text
from pipeline.keys.ring import KeyRing
from tests.fuzz.mutation import mutated
from tests.fuzz.target import BrokenPromise, Target

_NOW: Final = 1_790_000_000_000_000
_SECRET: Final = "s" * 43
_ID: Final = "abcdefghijkl"
_BOOTSTRAP: Final = "the operator's own key"
_SEEDS: Final = (
    key_text(_ID, _SECRET).encode(),
    key_text("revokedrevok", _SECRET).encode(),
    key_text(BOOTSTRAP_ID, _SECRET).encode(),
    _BOOTSTRAP.encode(),
    b"cf_",
    b"cf_abcdefghijkl_",
    "cf_äöüäöüäöüäöü_é".encode(),
)


class KeyTarget(Target):
    """Looks a key up. Text comes from HTTP headers, which are read as latin-1: no lone surrogate is among it."""

    def __init__(self) -> None:
        """A ring with a key that lives, one that was revoked, and the operator's."""
        scopes: frozenset[Scope] = frozenset({"ingest"})
        self._ring = KeyRing(
            [
                KeyRecord(_ID, "north", scopes, digest_of(_SECRET), 0),
                KeyRecord("revokedrevok", "north", scopes, digest_of(_SECRET), 0, revoked_at=1),
                KeyRecord(BOOTSTRAP_ID, "default", scopes, digest_of(_BOOTSTRAP), 0),
            ]
        )

    def make(self, random: Random) -> bytes:
        """A key, or nearly one."""
        seed = random.choice(_SEEDS)
        return mutated(seed, random, _SEEDS) if random.random() < 0.95 else seed

    def attempt(self, body: bytes) -> None:
        """It opens if, and only if, it is one of the two that live."""
        text = body.decode("latin-1")
        record = self._ring.verify(text, _NOW)
        expected = {key_text(_ID, _SECRET): _ID, _BOOTSTRAP: BOOTSTRAP_ID}.get(text)
        if (record.id if record else None) != expected:
            raise BrokenPromise(f"{text!r} opens {record}")
