"""Every error canfleet raises on purpose.

    CanfleetError
    ├── ConfigError            the configuration, or a file it names, cannot be used
    │   └── DatabaseError      a signal database does not load
    ├── BodyError              a request body cannot be read at all        (HTTP 400)
    │   ├── BodyTooLarge       it exceeds a bound                          (HTTP 413)
    │   └── UnknownContentType no reader for its type or encoding          (HTTP 415)
    ├── Overloaded             a bounded queue is full: retry later        (HTTP 503)
    │   ├── PartitionAway      a partition actor does not answer           (HTTP 503)
    │   ├── PartitionMoved     a partition actor no longer holds it        (HTTP 503)
    │   └── DeadLettersFull    a fleet's dead letters reached their bound  (HTTP 503)
    ├── JournalError           the durable log cannot be written or read
    │   ├── JournalCorrupt     bytes inside it fail their checksum
    │   └── Fenced             another process has taken the shard over
    └── WarehouseError         ClickHouse refused or did not answer
        ├── WarehouseAway      it could not be reached: retrying is right
        └── WarehouseUnreadable it could not read its own data, such as those of a cold volume that is away

A message says what happened, where, and what to do. Subclasses add no state unless the
docstring names it.
"""

from __future__ import annotations


class CanfleetError(Exception):
    """Base of the tree: catch this to catch everything canfleet raises on purpose."""


class ConfigError(CanfleetError):
    """The configuration, or a file that it names, cannot be used."""


class DatabaseError(ConfigError):
    """A signal database (DBC, ARXML, KCD, SYM, CDD) does not load; the message names the file."""


class BodyError(CanfleetError):
    """A request body cannot be read at all; nothing of it was kept."""


class BodyTooLarge(BodyError):
    """A body, before or after decompression, or its row count exceeds its bound."""


class UnknownContentType(BodyError):
    """No reader is registered for the body's content type or content encoding."""


class Overloaded(CanfleetError):
    """A bounded queue is full and nothing of the request was accepted.

    Attributes:
        retry_after_s: when to try again, in seconds.
    """

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class PartitionAway(Overloaded):
    """A partition actor does not answer. What was under way to it may have been accepted: sending it again is safe."""


class PartitionMoved(Overloaded):
    """A partition actor does not hold what it was asked for, or is about to hand it on; nothing was accepted."""


class DeadLettersFull(Overloaded):
    """A fleet's dead letters have no room for the bad rows of a request; it was refused whole."""


class JournalError(CanfleetError):
    """The journal cannot be opened, written, synced or read."""


class JournalCorrupt(JournalError):
    """A record before the journal's end fails its checksum: data on disk was damaged."""


class Fenced(JournalError):
    """Another process has taken a shard over: this one may acknowledge and store nothing more of it."""


class WarehouseError(CanfleetError):
    """ClickHouse refused a statement; the message carries its own words."""


class WarehouseAway(WarehouseError):
    """ClickHouse could not be reached or did not answer in time; retrying is right."""


class WarehouseUnreadable(WarehouseError):
    """ClickHouse answered, but a disk of its own did not: what lies on others can still be asked for."""
