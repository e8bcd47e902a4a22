"""The durable home of API keys: one SQLite file, synced at every change."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pipeline.durable import make_directory, sync_directory
from pipeline.errors import ConfigError
from pipeline.keys.record import (
    BOOTSTRAP_ID,
    MAX_FLEET_CHARACTERS,
    MAX_GLOB_CHARACTERS,
    MAX_GLOBS,
    SCOPES,
    IssuedKey,
    KeyRecord,
    Scope,
    digest_of,
    key_text,
    new_id,
    new_secret,
)

DEFAULT_OVERLAP_US: Final = 3_600_000_000
"""How long a rotated key's old secret goes on working: one hour."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS keys (
    id TEXT PRIMARY KEY, fleet TEXT NOT NULL, scopes TEXT NOT NULL, digest BLOB NOT NULL,
    created INTEGER NOT NULL, last_used INTEGER, expires_at INTEGER, revoked_at INTEGER,
    previous_digest BLOB, previous_until INTEGER, vehicles TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE TABLE IF NOT EXISTS state (version INTEGER NOT NULL) STRICT;
INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM state);
"""
_COLUMNS: Final = (
    "id, fleet, scopes, digest, created, last_used, expires_at, revoked_at, previous_digest, previous_until, vehicles"
)


def _now_us() -> int:
    return time.time_ns() // 1000


class KeyStore:
    """Creates, lists, revokes and rotates keys; every change is on disk when the call returns.

    Safe to call from several threads. Tens of keys per fleet are expected: `records` reads them all.
    """

    def __init__(self, path: Path, clock: Callable[[], int] = _now_us) -> None:
        """Open or create the store at `path`; `clock` gives microseconds since the epoch.

        Raises:
            ConfigError: the file cannot be opened, or is no key store.
        """
        self._clock = clock
        self._lock = threading.RLock()
        try:
            make_directory(path.parent)
            # SQLite gives its side files the mode of the main one, so that mode must be right from the start.
            path.touch(0o600)
            path.chmod(0o600)
            self._db = sqlite3.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._add_missing_column()
            sync_directory(path.parent)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"key store {path} cannot be opened: {error}; move it away to start with no keys"
            ) from error

    def close(self) -> None:
        """Close the file; the store cannot be used afterwards."""
        with self._lock:
            self._db.close()

    @property
    def version(self) -> int:
        """A number that rises with every change to who may do what."""
        with self._lock:
            return int(self._db.execute("SELECT version FROM state").fetchone()[0])

    def snapshot(self) -> tuple[int, list[KeyRecord]]:
        """Version and records read in one step: what a key ring is built from."""
        with self._lock:
            version = int(self._db.execute("SELECT version FROM state").fetchone()[0])
            return version, self._select("")

    def records(self, fleet: str | None = None) -> list[KeyRecord]:
        """All records, revoked ones too, oldest first; of one fleet if `fleet` is given."""
        with self._lock:
            return self._select("") if fleet is None else self._select("WHERE fleet = ?", fleet)

    def get(self, key_id: str) -> KeyRecord | None:
        """The record of one key, or None."""
        with self._lock:
            return self._get(key_id)

    def create(
        self, fleet: str, scopes: Iterable[Scope], expires_at: int | None = None, vehicles: Iterable[str] = ()
    ) -> IssuedKey:
        """Make a key for `fleet`; the answer holds the only copy of its text.

        Raises:
            ConfigError: no scope, an unknown scope, or a fleet name that is empty, long or unprintable; an end that has
                passed; vehicles that are no globs, or for a key that may do more than send.
        """
        chosen = frozenset(scopes)
        unknown = chosen - frozenset(SCOPES)
        if unknown or not chosen:
            raise ConfigError(f"a key needs scopes out of {', '.join(SCOPES)}, not {sorted(unknown) or 'none at all'}")
        if not 1 <= len(fleet) <= MAX_FLEET_CHARACTERS or not fleet.isprintable():
            raise ConfigError(
                f"a fleet's name has 1 to {MAX_FLEET_CHARACTERS} printable characters, not {fleet[:80]!r}"
            )
        now, globs = self._clock(), tuple(vehicles)
        if expires_at is not None and expires_at <= now:
            raise ConfigError("a key that has expired already opens nothing: give it an end in the future")
        if globs and chosen != {"ingest"}:
            raise ConfigError("only a key with the one scope ingest can be bound to vehicles: it reads nothing")
        if len(globs) > MAX_GLOBS or any(not 1 <= len(glob) <= MAX_GLOB_CHARACTERS for glob in globs):
            raise ConfigError(
                f"a key has at most {MAX_GLOBS} vehicles or globs of 1 to {MAX_GLOB_CHARACTERS} characters"
            )
        secret = new_secret()
        record = KeyRecord(new_id(), fleet, chosen, digest_of(secret), now, expires_at=expires_at, vehicles=globs)
        self._put(record)
        return IssuedKey(record, key_text(record.id, secret))

    def bootstrap(self, text: str) -> KeyRecord:
        """Accept `text` with every scope, for fleet `default`; replaces an earlier bootstrap key.

        Raises:
            ConfigError: the text is empty.
        """
        if not text:
            raise ConfigError("the bootstrap key is empty: give it a text or leave it away")
        record = KeyRecord(BOOTSTRAP_ID, "default", frozenset(SCOPES), digest_of(text), self._clock())
        known = self.get(BOOTSTRAP_ID)
        if known is not None and known.digest == record.digest and known.revoked_at is None:
            return known
        self._put(record)
        return record

    def revoke(self, key_id: str) -> KeyRecord | None:
        """Close the door to a key for good; a revoked key stays as it was. None when it is unknown."""
        with self._lock:
            record = self._get(key_id)
            if record is None or record.revoked_at is not None:
                return record
            revoked = replace(record, revoked_at=self._clock())
            self._put(revoked)
            return revoked

    def rotate(self, key_id: str, overlap_us: int = DEFAULT_OVERLAP_US) -> IssuedKey | None:
        """Give a key a new secret; the old one works for `overlap_us` more.

        None when the key is unknown or revoked, or is the bootstrap key, whose text is the operator's.
        """
        secret = new_secret()
        with self._lock:
            record = self._get(key_id)
            if record is None or record.revoked_at is not None or record.is_bootstrap:
                return None
            until = self._clock() + overlap_us
            rotated = replace(record, digest=digest_of(secret), previous_digest=record.digest, previous_until=until)
            self._put(rotated)
        return IssuedKey(rotated, key_text(key_id, secret))

    def touch(self, used: Mapping[str, int]) -> None:
        """Remember when keys (by id) were last used (µs). Leaves `version` alone: nobody's rights changed."""
        with self._lock, self._db:
            self._db.executemany(
                "UPDATE keys SET last_used = max(coalesce(last_used, 0), ?) WHERE id = ?",
                [(moment, key_id) for key_id, moment in used.items()],
            )

    def _get(self, key_id: str) -> KeyRecord | None:
        found = self._select("WHERE id = ?", key_id)
        return found[0] if found else None

    def _select(self, where: str, *parameters: str) -> list[KeyRecord]:
        rows = self._db.execute(f"SELECT {_COLUMNS} FROM keys {where} ORDER BY created, id", parameters)
        return [_record(row) for row in rows]

    def _add_missing_column(self) -> None:
        """Bring a store up to date that was made before keys could be bound to vehicles."""
        columns = {row[1] for row in self._db.execute("PRAGMA table_info(keys)")}
        if "vehicles" not in columns:
            self._db.execute("ALTER TABLE keys ADD COLUMN vehicles TEXT NOT NULL DEFAULT '[]'")

    def _put(self, record: KeyRecord) -> None:
        row = (
            record.id,
            record.fleet,
            " ".join(sorted(record.scopes)),
            record.digest,
            record.created,
            record.last_used,
            record.expires_at,
            record.revoked_at,
            record.previous_digest,
            record.previous_until,
            json.dumps(record.vehicles),
        )
        marks = ", ".join("?" * len(row))
        with self._lock, self._db:
            self._db.execute(f"INSERT OR REPLACE INTO keys ({_COLUMNS}) VALUES ({marks})", row)
            self._db.execute("UPDATE state SET version = version + 1")


def _record(row: tuple[Any, ...]) -> KeyRecord:
    key_id, fleet, scopes, *rest, vehicles = row
    rest.append(tuple(json.loads(vehicles)))
    return KeyRecord(key_id, fleet, frozenset(scopes.split()), *rest)
