"""The lane of a request, from its frames."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.decode.catalogue import Catalogue, MessageInfo
from pipeline.decode.matching import parameter_group
from pipeline.lanes.ids import EXTENDED, id_key
from pipeline.lanes.lane import Lane
from pipeline.lanes.settings import LaneSettings
from pipeline.types import I64, U8, U32, Bools

_CRITICAL_VALUES: Final = ("critical", "1")


class Classifier:
    """Tells the lane of a batch. Holds a few sorted ids; any thread may ask it.

    A mark in the database of one vehicle model counts for all vehicles: an id that is critical in one model is so
    everywhere. J1939 messages are recognised by their parameter group, as in decoding.
    """

    def __init__(self, settings: LaneSettings, messages: tuple[MessageInfo, ...] = ()) -> None:
        """Gather the critical ids of `settings`, and of those `messages` that it marks."""
        marked = [message for message in messages if _is_marked(message, settings)]
        keys = {id_key(given) for given in settings.critical_ids}
        keys |= {message.arbitration_id | (EXTENDED if message.is_extended else 0) for message in marked}
        groups = {parameter_group(message.arbitration_id) for message in marked if message.is_j1939}
        self._keys: U32 = np.array(sorted(keys), np.uint32)
        self._groups: U32 = np.array(sorted(groups), np.uint32)
        self._backfill_us = round(settings.backfill_after_s * 1e6)

    @classmethod
    def of_catalogue(cls, settings: LaneSettings, catalogue: Catalogue) -> Self:
        """With the messages of all loaded databases."""
        return cls(settings, catalogue.messages)

    def lane(self, frames: pa.RecordBatch, received_at: int) -> Lane:
        """The lane of a request of canonical `frames` that came at `received_at`, microseconds since the epoch.

        It is critical where every frame is, since a request is accepted or refused as a whole; it is backfill where
        its newest frame is old. One without a frame is live. O(frames); one look tells that most are not critical.
        """
        if not frames.num_rows:
            return Lane.LIVE
        if self._critical(frames.slice(0, 1)).all() and self._critical(frames).all():
            return Lane.CRITICAL
        newest = pc.max(frames.column("timestamp")).value
        return Lane.BACKFILL if newest < received_at - self._backfill_us else Lane.LIVE

    def lanes(self, frames: pa.RecordBatch, starts: I64, received_at: int) -> U8:
        """`lane` of several requests at once, uint8[k]: request i has the frames from `starts[i]` on, one at least."""
        lanes = np.full(len(starts), Lane.LIVE, np.uint8)
        newest = np.maximum.reduceat(frames.column("timestamp").cast(pa.int64()).to_numpy(), starts)
        lanes[newest < received_at - self._backfill_us] = Lane.BACKFILL
        if len(self._keys) or len(self._groups):
            lanes[np.logical_and.reduceat(self._critical(frames), starts)] = Lane.CRITICAL
        return lanes

    def _critical(self, frames: pa.RecordBatch) -> Bools:
        """bool[n], the frames with a critical id. O(n) for each critical id, or O(n log ids) where there are many."""
        number: U32 = frames.column("arbitration_id").to_numpy()
        extended: Bools = frames.column("is_extended").to_numpy(zero_copy_only=False)
        found = np.isin(number | np.where(extended, np.uint32(EXTENDED), np.uint32(0)), self._keys)
        if len(self._groups):
            found |= extended & np.isin(_parameter_groups(number), self._groups)
        return found


def _is_marked(message: MessageInfo, settings: LaneSettings) -> bool:
    stated = dict(message.attributes).get(settings.critical_attribute or "", "")
    return stated.lower() in _CRITICAL_VALUES or any(
        fnmatchcase(message.name, pattern) for pattern in settings.critical_messages
    )


def _parameter_groups(arbitration_id: U32) -> U32:
    """`pipeline.decode.matching.parameter_group` of each id, uint32[n]."""
    group = (arbitration_id >> np.uint32(8)) & np.uint32(0x3FFFF)
    return np.where((group >> np.uint32(8)) & np.uint32(0xFF) >= 240, group, group & np.uint32(0x3FF00))
