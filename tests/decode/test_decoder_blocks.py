"""Messages read eight signals at once, interleaved with each other and with those that are not."""

from __future__ import annotations

import random

import cantools
import numpy as np
from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion
from decode_oracle import by_cantools, catalogue_of, frame_columns, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.decode.tables import LANES, NEVER
from pipeline.frames.columns import FrameColumns
from simulator import FLEET_DBC
from simulator.fleet import Fleet


def message_of(number: int, lengths: list[int], random_: random.Random, size: int = 8) -> Message:
    """Signals of these lengths side by side, all of one byte order, as strict cantools wants them."""
    big_endian = random_.random() < 0.5
    signals = []
    place = 0
    for index, length in enumerate(lengths):
        signals.append(
            Signal(
                f"S{index}",
                start=8 * (place // 8) + 7 - place % 8 if big_endian else place,
                length=length,
                byte_order="big_endian" if big_endian else "little_endian",
                is_signed=random_.random() < 0.5,
                conversion=BaseConversion.factory(
                    scale=random_.choice([1, 0.1, -0.25, 3]), offset=random_.choice([0, 5, -0.5])
                ),
            )
        )
        place += length
    return Message(number, f"M{number}", size, signals)


def test_messages_of_any_number_of_signals_interleave_without_a_trace_of_each_other() -> None:
    random_ = random.Random(1)
    lengths = [[64 // count] * count for count in range(1, 65)] + [[63], [1, 63], [20, 1, 43]]
    messages = {n: message_of(n, each, random_) for n, each in enumerate(lengths, start=1)}
    messages[100] = message_of(100, [8] * 20, random_, size=20)
    catalogue = catalogue_of(list(messages.values()))
    frames = [
        (n, False, random_.randbytes(random_.choice([messages[n].length] * 4 + [64, 7, 3, 0])))
        for n in random_.choices(list(messages), k=3000)
    ]
    decoded = Decoder(catalogue).decode(frame_columns(frames))
    assert rows_of(decoded, catalogue, len(frames)) == [by_cantools(messages[n], data) for n, _, data in frames]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2 * LANES + 1), st.booleans())
def test_a_node_has_the_blocks_that_its_signals_need_or_none(count: int, floating: bool) -> None:
    message = message_of(1, [2] * count, random.Random(count))
    if floating and count:
        message = message_of(1, [32, *[1] * (count - 1)], random.Random(count))
        message.signals[0].conversion = BaseConversion.factory(is_float=True)
    tables = catalogue_of([message]).tables
    blocks = 0 if floating else -(-count // LANES)
    assert len(tables.block) == blocks
    assert (tables.node["block_bytes"] == NEVER).all() == (blocks == 0)
    lanes = np.concatenate([tables.block["mask"].ravel(), np.zeros(1, np.uint64)])
    assert np.count_nonzero(lanes) == (count if blocks else 0)


def test_a_fleet_s_interleaved_and_multiplexed_frames_decode_as_cantools_decodes_them() -> None:
    fleet = Fleet(40)
    frames = FrameColumns.from_batch(fleet.tick(fleet.start_us + 10_000_000))
    messages = {(m.frame_id, m.is_extended_frame): m for m in cantools.database.load_file(FLEET_DBC).messages}
    catalogue = load_catalogue({"default": [FLEET_DBC]})
    rows = rows_of(Decoder(catalogue).decode(frames), catalogue, len(frames))
    bounds = frames.offsets.tolist()
    for row, got in enumerate(rows):
        message = messages[int(frames.arbitration_id[row]), bool(frames.is_extended[row])]
        assert got == by_cantools(message, frames.payload[bounds[row] : bounds[row + 1]].tobytes())
    assert len(rows) == 2000
