"""Recorded drives decode as cantools decodes them, frame for frame."""

from __future__ import annotations

import warnings

import can
import cantools
import pytest
from decode_oracle import SHARED, by_cantools, frame_columns, rows_of

from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder

pytestmark = pytest.mark.skipif(not (SHARED / "logs").is_dir(), reason="../shared/data/logs is absent")


def recorded(name: str, limit: int) -> list[tuple[int, bool, bytes]]:
    frames = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # asammdf and its NumPy calls
        with can.MF4Reader(str(SHARED / "logs" / name)) as reader:
            for message in reader:
                frames.append((message.arbitration_id, message.is_extended_id, bytes(message.data)))
                if len(frames) == limit:
                    break
    return frames


def test_a_drive_decodes_as_cantools_decodes_it() -> None:
    path = SHARED / "dbc" / "css" / "gnss.dbc"
    frames = recorded("drive-5.mf4", 6000)
    messages = {(m.frame_id, m.is_extended_frame): m for m in cantools.database.load_file(path).messages}
    decoder = Decoder(load_catalogue({"default": [path]}))
    decoded = decoder.decode(frame_columns(frames))
    rows = rows_of(decoded, decoder.catalogue, len(frames))
    expected = [messages.get((number, extended)) for number, extended, _ in frames]
    assert rows == [by_cantools(m, frame[2]) if m else [] for m, frame in zip(expected, frames, strict=True)]
    assert decoded.unmatched == expected.count(None) < len(frames) / 2


def test_a_truck_decodes_by_parameter_group_as_cantools_decodes_the_group_s_message() -> None:
    path = SHARED / "dbc" / "css" / "CSS-Electronics-SAE-J1939-DEMO.dbc"
    frames = recorded("truck-j1939.mf4", 2000)
    groups = {m.frame_id >> 8 & 0x3FFFF: m for m in cantools.database.load_file(path).messages}
    decoder = Decoder(load_catalogue({"default": [path]}))
    rows = rows_of(decoder.decode(frame_columns(frames)), decoder.catalogue, len(frames))
    expected = [groups.get(number >> 8 & 0x3FFFF) for number, _, _ in frames]
    assert len(frames) - expected.count(None) > 100
    assert rows == [by_cantools(m, frame[2]) if m else [] for m, frame in zip(expected, frames, strict=True)]
