"""Which message a frame is, which signals it carries, and what is counted where they are not all there."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from decode_oracle import SAMPLES, bits, by_bits, by_cantools, frame_columns, rows_of, sample
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.decode.matching import EMPTY_KEY, build_slots, group_key, id_key, match_frames, parameter_group
from pipeline.frames.columns import FrameColumns
from pipeline.frames.schema import CANONICAL


def decoder_of(*names: str, **profiles: list[str]) -> Decoder:
    paths = {"default": [SAMPLES / name for name in names]}
    paths.update({profile: [SAMPLES / name for name in files] for profile, files in profiles.items()})
    return Decoder(load_catalogue(paths))


def decode(decoder: Decoder, *frames: tuple[int, bool, bytes], profile=None):
    decoded = decoder.decode(frame_columns(frames), profile)
    return rows_of(decoded, decoder.catalogue, len(frames)), decoded


def message_names(decoder: Decoder, decoded) -> list[str | None]:
    return [decoder.catalogue.messages[m].name if m >= 0 else None for m in decoded.message.tolist()]


def test_eleven_and_twenty_nine_bit_ids_with_one_number_are_two_messages() -> None:
    decoder = decoder_of("ids.dbc")
    rows, decoded = decode(decoder, (291, False, b"\x07" * 8), (291, True, b"\x07" * 8), (292, True, bytes(8)))
    assert message_names(decoder, decoded) == ["Standard", "Extended", None]
    assert dict(rows[0])["Counter"] == bits(7)
    assert rows[1] == [("Counter", bits(107))]
    assert decoded.unmatched == 1


def test_messages_and_signals_of_one_name_keep_apart() -> None:
    decoder = decoder_of("ids.dbc")
    rows, decoded = decode(decoder, (292, False, b"\x01\x02"), (293, False, b"\x01\x02"))
    assert rows == [[("Counter", bits(0x0201))], [("Counter", bits(0x0102))]]
    assert len(set(decoded.signal.tolist())) == 2


@pytest.mark.parametrize("number", [1 << 29, 291 | 1 << 29, 0x80000123, 0xFFFFFFFF])
@pytest.mark.parametrize("is_extended", [False, True])
def test_an_id_beyond_29_bits_matches_nothing(number: int, is_extended: bool) -> None:
    _, decoded = decode(decoder_of("ids.dbc", "j1939.dbc"), (number, is_extended, bytes(8)))
    assert decoded.message.tolist() == [-1]


def test_j1939_messages_match_by_exact_id_first_and_then_by_parameter_group() -> None:
    decoder = decoder_of("j1939.dbc")
    frames = [
        (0x0CF004FE, "EEC1"),
        (0x18F00400, "EEC1"),  # another priority and sender
        (0x0CF00500, None),  # another group extension: PDU2
        (0x18FEF1FE, "CCVS1_of_a_sender"),
        (0x18FEF10F, "CCVS1_of_another"),  # exact, though the group's first message is the other
        (0x18FEF133, "CCVS1_of_a_sender"),
        (0x0C000BFE, "TSC1_to_a_destination"),
        (0x0C00FF03, "TSC1_to_a_destination"),  # another destination: PDU1
        (0x0D000BFE, None),  # data page 1
        (0x18FEF5FE, "NotJ1939"),
        (0x18FEF500, None),  # not J1939: by exact id only
    ]
    _, decoded = decode(decoder, *((number, True, bytes(8)) for number, _ in frames))
    assert message_names(decoder, decoded) == [name for _, name in frames]


def test_parameter_groups_match_29_bit_ids_of_profiles_with_j1939_only() -> None:
    decoder = decoder_of("ids.dbc", truck=["j1939.dbc"])
    truck = decoder.catalogue.profile_index("truck")
    frame = (0x18F00400, True, bytes(8))
    _, decoded = decode(decoder, frame, frame, (0x400, False, bytes(8)), profile=np.array([0, truck, truck], np.int32))
    assert message_names(decoder, decoded) == [None, "EEC1", None]


@given(st.integers(0, 0x1FFFFFFF))
@example(0x00EF1234)
@example(0x00F01234)
def test_a_parameter_group_holds_the_next_byte_only_from_pdu_format_240(number: int) -> None:
    group = parameter_group(number)
    assert group >> 8 == number >> 16 & 0x3FF
    assert group & 0xFF == (number >> 8 & 0xFF if number >> 16 & 0xFF >= 240 else 0)


@settings(deadline=None)
@given(
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 0x1FFFFFFF), st.booleans()), st.integers(0, 99)),
    st.lists(st.tuples(st.integers(-1, 4), st.integers(0, 0x3FFFFFFF), st.booleans()), max_size=20),
)
def test_the_hash_table_finds_what_a_dict_finds(entries, others) -> None:
    keys, values = build_slots({id_key(*entry): message for entry, message in entries.items()})
    assert np.count_nonzero(keys == np.uint64(EMPTY_KEY)) >= len(keys) / 2
    asked = [*entries, *others]
    message = np.empty(len(asked), np.int32)
    _, unmatched = match_frames(
        keys,
        values,
        np.zeros(4, np.bool_),
        np.ones(100, np.int32),
        np.array([number for _, number, _ in asked], np.uint32),
        np.array([extended for _, _, extended in asked], np.bool_),
        np.array([profile for profile, _, _ in asked] or [0], np.int32)[: len(asked)],
        message,
    )
    assert message.tolist() == [entries.get(key, -1) for key in asked]
    assert unmatched == message.tolist().count(-1)


def test_exact_and_group_keys_never_meet() -> None:
    assert group_key(0, 0x18FEF100) not in {id_key(0, 0xFEF1, False), id_key(0, 0xFEF1, True)}


def test_each_row_is_decoded_by_its_own_profile() -> None:
    decoder = decoder_of("ids.dbc", van=["rival.dbc"])
    van = decoder.catalogue.profile_index("van")
    frame = (291, False, b"\x02\x00" * 4)
    rows, decoded = decode(decoder, frame, frame, frame, frame, profile=np.array([0, van, 7, -1], np.int32))
    assert message_names(decoder, decoded) == ["Standard", "StandardOfAnother", None, None]
    assert rows[1] == [("Other", bits(1.0))]
    with pytest.raises(ValueError, match="3 profiles for 1 frames"):
        decode(decoder, frame, profile=np.zeros(3, np.int32))


def test_nested_multiplexers_give_the_signals_of_every_level() -> None:
    decoder = decoder_of("multiplex.dbc")
    nested = {
        "0103aabb": ["Deep", "Inner", "Outer", "Shared"],
        "0105aabb": ["Inner", "Outer", "Shared"],
        "01c8aabb": ["Inner", "Outer", "Shared"],
        "0104aabb": ["Inner", "Outer"],  # value 4 of Inner is unknown
        "02ffaabb": ["OnlyOuter", "Outer"],
        "09ffaabb": ["Outer"],  # value 9 of Outer is unknown
    }
    rows, decoded = decode(decoder, *((513, False, bytes.fromhex(data) + bytes(4)) for data in nested))
    assert [[name for name, _ in row] for row in rows] == list(nested.values())
    assert decoded.unknown_multiplexer == 2


def test_independent_multiplexers_are_all_followed_though_one_is_unknown() -> None:
    decoder = decoder_of("multiplex.dbc")
    message = sample("multiplex.dbc").get_message_by_name("Independent")
    datas = [bytes([right << 4 | left, 0x81, 0x82]) + bytes(5) for left in range(16) for right in range(16)]
    rows, decoded = decode(decoder, *((514, False, data) for data in datas))
    assert rows == [by_bits(message, data)[0] for data in datas]
    known = [by_cantools(message, data) for data in datas]
    assert [row for row, oracle in zip(rows, known, strict=True) if oracle is not None] == [k for k in known if k]
    assert decoded.unknown_multiplexer == known.count(None) == 256 - 2 * 10


def test_a_scaled_multiplexer_selects_by_its_scaled_value() -> None:
    decoder = decoder_of("multiplex.dbc")
    rows, decoded = decode(decoder, *((515, False, bytes([raw, 1, 2]) + bytes(5)) for raw in (2, 3, 5)))
    assert [[name for name, _ in row] for row in rows] == [
        ["AtFive", "Selector"],
        ["AtSeven", "Selector"],
        ["Selector"],
    ]
    assert decoded.unknown_multiplexer == 1


def test_a_multiplexer_value_that_only_a_value_table_names_is_known() -> None:
    rows, decoded = decode(decoder_of("multiplex.dbc"), *((516, False, bytes([v]) + bytes(7)) for v in (1, 2, 3)))
    assert [len(row) for row in rows] == [2, 1, 1]
    assert decoded.unknown_multiplexer == 1


def test_short_frames_give_what_is_wholly_there_and_count_the_rest() -> None:
    decoder = decoder_of("edges.dbc", "multiplex.dbc")
    databases = [sample("edges.dbc"), sample("multiplex.dbc")]
    for message in (m for database in databases for m in database.messages):
        for size in range(message.length + 1):
            data = bytes([1]) * size
            rows, decoded = decode(decoder, (message.frame_id, False, data))
            reference, truncated, unknown = by_bits(message, data)
            assert (rows[0], decoded.truncated, decoded.unknown_multiplexer) == (reference, truncated, int(unknown))
            oracle = by_cantools(message, data)
            assert oracle is None or rows[0] == oracle


def test_over_long_frames_decode_as_their_beginning() -> None:
    decoder = decoder_of("edges.dbc")
    for message in sample("edges.dbc").messages:
        data = bytes(range(100, 100 + message.length))
        rows, decoded = decode(
            decoder, (message.frame_id, False, data), (message.frame_id, False, (data + b"\xff" * 64)[:64])
        )
        assert rows[0] == rows[1]
        assert decoded.truncated == 0


def test_a_neighbour_s_bytes_never_leak_into_a_frame() -> None:
    """Words are read past a short frame's end: into the next frame, and at the payload's end into nothing."""
    decoder = decoder_of("ids.dbc", "edges.dbc")
    short = (292, False, b"\x01\x02")
    alone, _ = decode(decoder, short)
    for tail in range(9):
        rows, _ = decode(decoder, short, (0x7FF, False, b"\xff" * tail))
        assert rows[0] == alone[0]
    rows, decoded = decode(decoder, (267, False, b""), (292, False, b""), (292, False, b"\x01"))
    assert rows == [[], [], []]
    assert decoded.truncated == 2


def test_sliced_batches_decode_like_whole_ones() -> None:
    decoder = decoder_of("ids.dbc")
    n = 50
    batch = pa.record_batch(
        [
            pa.array(["a", "b"] * (n // 2)).dictionary_encode(),
            pa.array(range(n), pa.int64()).cast(CANONICAL.field("timestamp").type),
            pa.array([291 + k % 3 for k in range(n)], pa.uint32()),
            pa.array([bytes([k] * (k % 9)) for k in range(n)], pa.binary()),
            pa.array([False] * n),
            pa.array([0] * n, pa.uint8()),
            pa.array([None] * n, pa.uint32()),
            pa.array([None] * n, pa.uint64()),
        ],
        schema=CANONICAL,
    )
    whole = rows_of(decoder.decode(FrameColumns.from_batch(batch)), decoder.catalogue, n)
    part = rows_of(decoder.decode(FrameColumns.from_batch(batch.slice(13, 20))), decoder.catalogue, 20)
    assert part == whole[13:33]


def test_buffers_are_reused_and_grow() -> None:
    decoder = decoder_of("ids.dbc")
    decoder.warm()
    frame = (291, False, bytes(8))
    first = decoder.decode(frame_columns([frame] * 10))
    again = decoder.decode(frame_columns([frame] * 10))
    assert np.shares_memory(first.value, again.value)
    assert len(decoder.decode(frame_columns([frame] * 1000))) == 2000
    assert len(decoder.decode(frame_columns([]))) == 0


def test_without_databases_nothing_matches() -> None:
    decoder = Decoder(load_catalogue({}))
    decoded = decoder.decode(frame_columns([(1, False, bytes(8)), (2, True, b"")]))
    assert decoded.message.tolist() == [-1, -1]
    assert len(decoded) == 0
