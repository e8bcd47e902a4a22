"""The key ring: checks a presented key against the known records, without any I/O."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

from pipeline.keys.record import BOOTSTRAP_ID, KeyRecord, digest_of, split_key

_NO_DIGEST: Final = bytes(32)
"""Compared with when there is no record, so that an unknown id costs what a wrong secret costs."""


class KeyRing:
    """An immutable set of key records, as one replica holds it."""

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        """Hold `records`; without any, no key opens anything."""
        self._records = {record.id: record for record in records}

    def verify(self, presented: str, now: int) -> KeyRecord | None:
        """The record that `presented` opens at `now` (µs), or None. O(length of the key).

        Digests are compared in constant time, and comparing digests instead of secrets leaves
        nothing to learn from timing in any case. The id is not secret.
        """
        parts = split_key(presented)
        if parts is not None:
            key_id, secret = parts
            record = self._records.get(key_id)
            if _opens(record, digest_of(secret), now):
                return record
        bootstrap = self._records.get(BOOTSTRAP_ID)
        return bootstrap if _opens(bootstrap, digest_of(presented), now) else None


def _opens(record: KeyRecord | None, digest: bytes, now: int) -> bool:
    current = hmac.compare_digest(record.digest if record else _NO_DIGEST, digest)
    older = hmac.compare_digest((record.previous_digest if record else None) or _NO_DIGEST, digest)
    if record is None or not record.lives(now):
        return False
    return current or (older and record.previous_until is not None and now < record.previous_until)
