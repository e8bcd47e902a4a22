"""One API key as it is kept: everything but its secret."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

Scope = Literal["ingest", "query", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

BOOTSTRAP_ID: Final = "bootstrap"
"""Id of the key given at start. A created id has 12 characters, so the two never collide."""

MAX_FLEET_CHARACTERS: Final = 64
MAX_GLOBS: Final = 100
MAX_GLOB_CHARACTERS: Final = 128
ID_CHARACTERS: Final = 12
_PREFIX: Final = "cf_"
_ID_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is stored of a key; all times are microseconds since the epoch.

    Attributes:
        id: public name of the key, safe to log.
        fleet: the one fleet it sees.
        scopes: what it may do: `ingest`, `query`, `admin`.
        digest: SHA-256 of the secret, 32 bytes.
        created: when it was made.
        last_used: last use the store was told of, if any.
        expires_at: end of its life, if it has one.
        revoked_at: when it was revoked, if it was.
        previous_digest: digest of the secret before the last rotation, if there was one.
        previous_until: until when that older secret still opens the door.
        vehicles: globs over the ids of the vehicles it may send frames of; empty for all of its fleet.
    """

    id: str
    fleet: str
    scopes: frozenset[Scope]
    digest: bytes
    created: int
    last_used: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    previous_digest: bytes | None = None
    previous_until: int | None = None
    vehicles: tuple[str, ...] = ()

    @property
    def is_bootstrap(self) -> bool:
        """Whether this is the operator's own key, which may manage the keys of every fleet."""
        return self.id == BOOTSTRAP_ID

    def foreign_vehicle(self, vehicle_ids: Iterable[str], name_of: Callable[[str], str] = str) -> str | None:
        """The name of one of `vehicle_ids` that this key must not send frames of, or None. O(vehicle ids × globs).

        A glob may mean the id, or the name that `name_of` gives it: its pseudonym.
        """
        if not self.vehicles:
            return None
        for vehicle_id in vehicle_ids:
            name = name_of(vehicle_id)
            if not any(fnmatchcase(vehicle_id, glob) or fnmatchcase(name, glob) for glob in self.vehicles):
                return name
        return None

    def lives(self, now: int) -> bool:
        """Whether the key is neither revoked nor expired at `now` (µs)."""
        return (self.revoked_at is None or now < self.revoked_at) and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new or rotated key. `text` is the only copy of the secret there will ever be."""

    record: KeyRecord
    text: str


def digest_of(secret: str) -> bytes:
    """SHA-256 of a secret, 32 bytes.

    A slow password hash would add nothing: the secret is 256 random bits, which no dictionary
    holds and no brute force reaches, and it is checked on every request.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_id() -> str:
    """A random id: 12 characters of a–z and 0–9, 62 bits."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(ID_CHARACTERS))


def new_secret() -> str:
    """A random secret: 43 url-safe characters, 256 bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def key_text(key_id: str, secret: str) -> str:
    """The text a client presents: `cf_<id>_<secret>`."""
    return f"{_PREFIX}{key_id}_{secret}"


def split_key(text: str) -> tuple[str, str] | None:
    """Id and secret of a presented text, or None when it is not of the form `cf_<id>_<secret>`."""
    start = len(_PREFIX)
    end = start + ID_CHARACTERS
    if not text.startswith(_PREFIX) or text[end : end + 1] != "_" or len(text) == end + 1:
        return None
    return text[start:end], text[end + 1 :]
