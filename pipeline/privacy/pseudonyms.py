"""Pseudonyms: vehicle ids replaced by a keyed hash, before anything is written or logged.

A pseudonym is `v-` and 160 bits of BLAKE2b (RFC 7693) in base32, 34 characters, under a key of the fleet's own that is
derived from the one secret: the same id in two fleets has two names, and without the secret nobody can try VINs.
Two of n vehicles of a fleet share a name with probability below n² / 2^161: 10^-36 for a million.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa

from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.privacy.payloads import cleaned
from pipeline.privacy.settings import Which

KNOWN: Final = 1 << 17
"""Names remembered, in memory alone: hashing takes 6 µs, remembering 0.2."""

_PSEUDONYM: Final = re.compile(r"v-[a-z2-7]{32}")
_VIN: Final = re.compile(r"[A-HJ-NPR-Za-hj-npr-z0-9]{17}")


class Pseudonyms:
    """Names of vehicles as they are stored. May be used from several threads.

    An id that is a pseudonym already stays as it is, so that dead letters can be sent again, and whoever does not know
    the VIN can ask by the name that answers show.
    """

    def __init__(self, which: Which = "off", secret: bytes | None = None) -> None:
        """Replace ids as `which` says.

        Args:
            which: see `PrivacySettings.pseudonymise`.
            secret: 32 bytes; needed unless `which` is off.
        """
        assert which == "off" or secret is not None
        self._which = which
        self._secret = secret or b""
        self._fleet_key = lru_cache(1024)(self._derive)
        self._name = lru_cache(KNOWN)(self._hash)

    @property
    def active(self) -> bool:
        """Whether any id is replaced."""
        return self._which != "off"

    def of(self, fleet: str, vehicle_id: str) -> str:
        """The name under which a vehicle of a fleet is stored; itself where it is not to be replaced. O(1)."""
        return self._name(fleet, vehicle_id) if self.active else vehicle_id

    def frames(self, fleet: str, frames: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of schema `CANONICAL` with its vehicles renamed. O(distinct ids); O(rows) where two become one."""
        if not self.active or not frames.num_rows:
            return frames
        column = frames.column("vehicle_id")
        ids = column.dictionary.to_pylist()
        names = [self._name(fleet, vehicle_id) for vehicle_id in ids]
        if names == ids:
            return frames
        # Two spellings of one VIN have one name, and a dictionary has each once.
        places: dict[str, int] = {}
        place = np.array([places.setdefault(name, len(places)) for name in names], np.int32)
        indices = column.indices if len(places) == len(names) else pa.array(place[column.indices.to_numpy()])
        renamed = pa.DictionaryArray.from_arrays(indices, pa.array(list(places), pa.utf8()))
        return pa.RecordBatch.from_arrays([renamed, *frames.columns[1:]], schema=frames.schema)

    def letters(self, fleet: str, letters: pa.RecordBatch) -> pa.RecordBatch:
        """Rejected rows (schema `DEAD_LETTERS`) with the ids in their payloads replaced: see `payloads.cleaned`.

        A Python step for each rejected row, 3 to 10 µs.
        """
        if not self.active or not letters.num_rows:
            return letters
        texts = [
            cleaned(text, lambda vehicle_id: self._name(fleet, vehicle_id), everything=self._which == "all")
            for text in letters.column("payload").to_pylist()
        ]
        columns = [letters.column("stage"), letters.column("reason"), pa.array(texts, pa.utf8())]
        return pa.RecordBatch.from_arrays(columns, schema=DEAD_LETTERS)

    def pattern(self, fleet: str, glob: str) -> str:
        """A glob over vehicle ids as an allow-list keeps it: replaced where it is one id, as it is where it is many."""
        return glob if any(character in glob for character in "*?[") else self.of(fleet, glob)

    def _hash(self, fleet: str, vehicle_id: str) -> str:
        if _PSEUDONYM.fullmatch(vehicle_id):
            return vehicle_id
        is_vin = _VIN.fullmatch(vehicle_id) is not None
        if not is_vin and self._which == "vin":
            return vehicle_id
        # A VIN in small letters is the same vehicle.
        plain = (vehicle_id.upper() if is_vin else vehicle_id).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(plain, key=self._fleet_key(fleet), digest_size=20).digest()
        return "v-" + base64.b32encode(digest).decode().lower()

    def _derive(self, fleet: str) -> bytes:
        return hashlib.blake2b(b"canfleet fleet\0" + fleet.encode("utf-8", "surrogatepass"), key=self._secret).digest()
