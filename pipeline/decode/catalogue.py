"""All messages and signals of the loaded databases, with indices that every later stage uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.decode.tables import Tables
from pipeline.errors import ConfigError
from pipeline.types import F64, I32, I64

DEFAULT_PROFILE: Final = "default"


@dataclass(frozen=True, slots=True)
class MessageInfo:
    """One message of one database.

    Attributes:
        name: as in the database; not unique, a message is its index.
        arbitration_id: 11 or 29 bits.
        is_extended: whether the id has 29 bits.
        is_j1939: matched by parameter group number where no exact id matches.
        first_signal: index of its first signal; the others follow.
        signal_count: number of signals.
        cycle_us: sending period in microseconds, 0 where the database names none.
        database: file name.
        profiles: names of the profiles in which frames can match it.
        attributes: name and value of each attribute that the database gives it (`BA_` in a DBC), as text.
    """

    name: str
    arbitration_id: int
    is_extended: bool
    is_j1939: bool
    first_signal: int
    signal_count: int
    cycle_us: int
    database: str
    profiles: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # decoding, and so the hash, needs none


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """One signal of one message.

    Attributes:
        message: index of its message.
        message_name: its message's name.
        name: as in the database; not unique.
        unit: empty where the database names none.
        minimum, maximum: the range of valid physical values; None where the database states none.
    """

    message: int
    message_name: str
    name: str
    unit: str
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """An id that a profile's databases define twice: frames match `kept`, never `ignored` (message indices)."""

    profile: str
    kept: int
    ignored: int


@dataclass(frozen=True, eq=False)
class Catalogue:
    """M messages and S signals of all profiles; a database used by several profiles is in it once.

    Build it with `pipeline.decode.databases.load_catalogue`. It pickles, and never changes.

    Attributes:
        messages, signals: their descriptions, M and S long; a message's signals are contiguous.
        profiles: profile names, "default" first.
        tables: the compiled form that `Decoder` runs.
        conflicts: ids defined twice in a profile.
        notes: one line for each thing in a database that was read otherwise than it stands there.
        signal_message: int32[S].
        signal_minimum, signal_maximum: float64[S], NaN where there is none.
        message_first_signal, message_signal_count: int32[M].
        message_cycle_us: int64[M], 0 where unknown.
        signal_names, signal_message_names: Arrow utf8, S long, dictionaries for columns of signal indices.
        fingerprint: hash of everything that affects what decoding gives: equal fingerprints, equal indices and values.
    """

    messages: tuple[MessageInfo, ...]
    signals: tuple[SignalInfo, ...]
    profiles: tuple[str, ...]
    tables: Tables
    conflicts: tuple[Conflict, ...] = ()
    notes: tuple[str, ...] = ()
    signal_message: I32 = field(init=False, repr=False)
    signal_minimum: F64 = field(init=False, repr=False)
    signal_maximum: F64 = field(init=False, repr=False)
    message_first_signal: I32 = field(init=False, repr=False)
    message_signal_count: I32 = field(init=False, repr=False)
    message_cycle_us: I64 = field(init=False, repr=False)
    signal_names: pa.StringArray = field(init=False, repr=False)
    signal_message_names: pa.StringArray = field(init=False, repr=False)
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        """Derive the columns and the fingerprint."""
        derived: dict[str, object] = {
            "signal_message": np.array([s.message for s in self.signals], np.int32),
            "signal_minimum": _bounds([s.minimum for s in self.signals]),
            "signal_maximum": _bounds([s.maximum for s in self.signals]),
            "message_first_signal": np.array([m.first_signal for m in self.messages], np.int32),
            "message_signal_count": np.array([m.signal_count for m in self.messages], np.int32),
            "message_cycle_us": np.array([m.cycle_us for m in self.messages], np.int64),
            "signal_names": pa.array([s.name for s in self.signals], pa.utf8()),
            "signal_message_names": pa.array([s.message_name for s in self.signals], pa.utf8()),
            "fingerprint": self._hash(),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def profile_index(self, name: str) -> int:
        """Index of a profile, as `Decoder.decode` takes it.

        Raises:
            ConfigError: no databases were given for a profile of this name.
        """
        try:
            return self.profiles.index(name)
        except ValueError:
            raise ConfigError(
                f"vehicle model {name!r} has no databases; there are: {', '.join(self.profiles)}"
            ) from None

    def _hash(self) -> str:
        digest = sha256(repr((self.profiles, self.messages, self.signals)).encode())
        for column in self.tables:
            digest.update(f"{column.dtype.str}{column.shape}".encode())
            digest.update(column.tobytes())
        return digest.hexdigest()


def _bounds(values: Sequence[float | None]) -> F64:
    return np.array([np.nan if v is None else v for v in values], np.float64)
