"""Loading databases of every format, profiles, conflicts, and the errors that stop a start."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cantools
import numpy as np
import pytest
from decode_oracle import SAMPLES, bits, by_bits, by_cantools, frame_columns, rows_of, sample

from pipeline.decode.databases import load_catalogue
from pipeline.decode.decoder import Decoder
from pipeline.errors import ConfigError, DatabaseError


def load(*names: str):
    return load_catalogue({"default": [SAMPLES / name for name in names]})


def test_the_catalogue_describes_messages_and_signals_by_contiguous_indices() -> None:
    catalogue = load("ids.dbc", "edges.dbc")
    for index, message in enumerate(catalogue.messages):
        own = range(message.first_signal, message.first_signal + message.signal_count)
        assert all(catalogue.signals[j].message == index for j in own)
        assert catalogue.message_first_signal[index] == message.first_signal
        assert catalogue.message_signal_count[index] == message.signal_count
    assert catalogue.signal_message.tolist() == [s.message for s in catalogue.signals]
    assert catalogue.signal_names.to_pylist() == [s.name for s in catalogue.signals]
    assert catalogue.signal_message_names.to_pylist() == [s.message_name for s in catalogue.signals]
    standard = catalogue.messages[0]
    assert (standard.name, standard.arbitration_id, standard.is_extended) == ("Standard", 291, False)
    assert (standard.cycle_us, standard.database, standard.profiles) == (20_000, "ids.dbc", ("default",))
    assert catalogue.message_cycle_us[:2].tolist() == [20_000, 0]
    temperature = catalogue.signals[1]
    assert (temperature.unit, temperature.minimum, temperature.maximum) == ("degC", -40.0, 87.0)


def test_a_range_that_states_nothing_is_none() -> None:
    catalogue = load("ids.dbc")
    twins = [k for k, s in enumerate(catalogue.signals) if s.message_name == "Twin"]
    assert len(twins) == 2
    assert np.isnan(catalogue.signal_minimum[twins]).all()
    assert np.isnan(catalogue.signal_maximum[twins]).all()


def test_of_an_id_in_two_databases_the_first_loaded_is_taken_and_the_conflict_listed() -> None:
    catalogue = load("ids.dbc", "rival.dbc")
    (conflict,) = catalogue.conflicts
    kept, ignored = catalogue.messages[conflict.kept], catalogue.messages[conflict.ignored]
    assert (conflict.profile, kept.database, ignored.database) == ("default", "ids.dbc", "rival.dbc")
    assert ignored.profiles == ()
    decoded = Decoder(catalogue).decode(frame_columns([(291, False, bytes(8)), (700, False, bytes(8))]))
    assert [catalogue.messages[m].name for m in decoded.message] == ["Standard", "Own"]
    assert not load("rival.dbc", "j1939.dbc").conflicts


def test_a_file_of_several_profiles_is_in_the_catalogue_once() -> None:
    ids, rival = SAMPLES / "ids.dbc", SAMPLES / "rival.dbc"
    catalogue = load_catalogue({"van": [ids, rival], "bus": [rival, ids, rival], "default": []})
    assert catalogue.profiles == ("default", "van", "bus")
    assert [m.database for m in catalogue.messages] == ["ids.dbc"] * 4 + ["rival.dbc"] * 2
    assert catalogue.messages[0].profiles == ("van",)
    assert catalogue.messages[4].profiles == ("bus",)
    assert catalogue.messages[5].profiles == ("van", "bus")
    frame = frame_columns([(291, False, bytes(8))] * 3)
    assert Decoder(catalogue).decode(frame, np.array([0, 1, 2], np.int32)).message.tolist() == [-1, 0, 4]


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="'tank' has no databases; there are: default"):
        load("ids.dbc").profile_index("tank")


def test_the_fingerprint_changes_with_what_changes_decoding_and_nothing_else(tmp_path: Path) -> None:
    original = load("ids.dbc")
    assert original.fingerprint == load("ids.dbc").fingerprint
    copy = tmp_path / "ids.dbc"
    text = (SAMPLES / "ids.dbc").read_text()
    copy.write_text(text)
    assert load_catalogue({"default": [copy]}).fingerprint == original.fingerprint
    for old, new in [
        ("8|8@1-", "8|8@1+"),
        ("(1,-40)", "(1,-41)"),
        ("degC", "K"),
        ("BO_ 291", "BO_ 290"),
        (" 20;", " 10;"),
    ]:
        assert old in text
        copy.write_text(text.replace(old, new))
        assert load_catalogue({"default": [copy]}).fingerprint != original.fingerprint
    assert load("ids.dbc", "rival.dbc").fingerprint != load("rival.dbc", "ids.dbc").fingerprint


def test_a_catalogue_pickles_and_decodes_the_same() -> None:
    catalogue = load("edges.dbc", "multiplex.dbc", "j1939.dbc")
    again = pickle.loads(pickle.dumps(catalogue))
    assert again.fingerprint == catalogue.fingerprint
    frames = frame_columns([(m.arbitration_id, m.is_extended, b"\x01" * 64) for m in catalogue.messages])
    n = len(frames)
    assert rows_of(Decoder(again).decode(frames), again, n) == rows_of(Decoder(catalogue).decode(frames), catalogue, n)


def test_cp1252_databases_keep_their_signs() -> None:
    assert load("cp1252.dbc").signals[0].unit == "°C"


def test_overlapping_signals_load_with_a_note_and_decode_by_the_bits_they_name() -> None:
    catalogue = load("overlapping.dbc")
    assert len(catalogue.notes) == 1
    assert catalogue.notes[0].startswith("overlapping.dbc: DBC: ")
    data = bytes.fromhex("1234567890ab")
    message = cantools.database.load_file(SAMPLES / "overlapping.dbc", strict=False).messages[0]
    decoded = Decoder(catalogue).decode(frame_columns([(300, False, data)]))
    assert rows_of(decoded, catalogue, 1)[0] == by_bits(message, data)[0]
    assert ("Outside", bits(0xAB)) in by_bits(message, data)[0]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.dbc", None, "cannot be read: No such file"),
        ("broken.dbc", (SAMPLES / "broken.dbc").read_bytes(), "Invalid syntax at line 4"),
        ("binary.dbc", bytes(range(256)), "does not load"),
        ("notes.txt", b"hello", "suffix '.txt' is none of .dbc, .arxml, .kcd, .sym, .cdd"),
        ("no.arxml", b"<AUTOSAR", "does not load"),
        ("no.kcd", b"<html/>", "does not load"),
        ("no.sym", b"{", "does not load"),
        ("no.cdd", b"", "does not load"),
        (
            "values.dbc",
            (SAMPLES / "rival.dbc").read_bytes() + b'\nVAL_ 291 Nobody 1 "one" ;\nVAL_ 291 Nothing 1 "one" ;\n',
            "unused VAL_ entries",
        ),
    ],
)
def test_a_file_that_does_not_load_says_which_and_why_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatabaseError) as caught:
        load_catalogue({"default": [path]})
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert reason in str(caught.value)


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "folder.dbc").mkdir()
    with pytest.raises(DatabaseError, match="cannot be read: Is a directory"):
        load_catalogue({"default": [tmp_path / "folder.dbc"]})


@pytest.mark.parametrize("suffix", ["kcd", "sym"])
def test_kcd_and_sym_files_decode_as_cantools_decodes_them(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ids.{suffix}"
    database = sample("ids.dbc")
    path.write_text(database.as_kcd_string() if suffix == "kcd" else database.as_sym_string())
    catalogue = load_catalogue({"default": [path]})
    data = b"\x81\x92" * 4
    for message in cantools.database.load_file(path).messages:
        frames = frame_columns([(message.frame_id, message.is_extended_frame, data)])
        assert rows_of(Decoder(catalogue).decode(frames), catalogue, 1)[0] == by_cantools(message, data)
    assert [m.arbitration_id for m in catalogue.messages] == [291, 291, 292, 293]


def test_capital_suffixes_load(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / "ids.dbc", tmp_path / "IDS.DBC")
    assert len(load_catalogue({"default": [tmp_path / "IDS.DBC"]}).messages) == 4


def test_arxml_frames_decode_as_cantools_decodes_them_and_containers_are_known_only() -> None:
    catalogue = load("network.arxml")
    motor = sample("network.arxml").get_message_by_name("Motor")
    data = bytes.fromhex("9abcdef012345678")
    decoded = Decoder(catalogue).decode(frame_columns([(801, False, data), (802, True, bytes(64))]))
    assert [catalogue.messages[m].name for m in decoded.message] == ["Motor", "Many"]
    assert rows_of(decoded, catalogue, 2) == [by_cantools(motor, data), []]
    assert len(decoded) == 2
    assert catalogue.notes == ("network.arxml: Many is a container of other messages: known, not decoded",)


@pytest.mark.filterwarnings("ignore:cantools.database.diagnostics.Database is deprecated:DeprecationWarning")
def test_a_cdd_file_loads_and_defines_no_frames() -> None:
    catalogue = load("diagnostics.cdd", "ids.dbc")
    assert {m.database for m in catalogue.messages} == {"ids.dbc"}
    assert catalogue.notes == ("diagnostics.cdd: describes diagnostics only, it defines no frames",)
