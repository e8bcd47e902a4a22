"""Pseudonyms: which ids are replaced, by what, and what is left of them in frames and dead letters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import load_config
from pipeline.errors import ConfigError
from pipeline.frames.dead_letters import DEAD_LETTERS
from pipeline.frames.schema import CANONICAL, TIMESTAMP
from pipeline.privacy.key_file import CHECK_FILE, KEY_FILE, secret_of
from pipeline.privacy.pseudonyms import Pseudonyms
from pipeline.privacy.settings import PrivacySettings

SECRET = bytes(range(32))
VIN = "WVWZZZ1JZXW000007"
VINS = st.text("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", min_size=17, max_size=17)
IDS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=64)

by_vin = Pseudonyms("vin", SECRET)
of_all = Pseudonyms("all", SECRET)


def frames(ids: list[str], rows: list[int]) -> pa.RecordBatch:
    n = len(rows)
    vehicle = pa.DictionaryArray.from_arrays(pa.array(rows, pa.int32()), pa.array(ids, pa.utf8()))
    columns = {
        "vehicle_id": vehicle,
        "timestamp": pa.array(range(n), TIMESTAMP),
        "data": pa.array([b"\1"] * n, pa.binary()),
        "is_extended": pa.array([False] * n),
    }
    return pa.RecordBatch.from_arrays(
        [columns[one.name] if one.name in columns else pa.array(np.arange(n)).cast(one.type) for one in CANONICAL],
        schema=CANONICAL,
    )


def letters(*payloads: str) -> pa.RecordBatch:
    rows = [{"stage": "validate", "reason": "data_missing", "payload": payload} for payload in payloads]
    return pa.RecordBatch.from_pylist(rows, DEAD_LETTERS)


@given(VINS)
def test_a_vin_gets_one_name_that_stays_and_tells_nothing(vin: str) -> None:
    name = by_vin.of("north", vin)
    assert name.startswith("v-")
    assert len(name) == 34
    assert vin not in name.upper()
    assert by_vin.of("north", name) == of_all.of("north", name) == name
    assert (
        by_vin.of("north", vin.lower()) == of_all.of("north", vin) == Pseudonyms("vin", SECRET).of("north", vin) == name
    )
    assert name != by_vin.of("south", vin)
    assert name != Pseudonyms("vin", bytes(32)).of("north", vin)
    assert Pseudonyms().of("north", vin) == vin


@given(IDS)
def test_other_ids_are_replaced_only_where_all_are(vehicle_id: str) -> None:
    is_vin = len(vehicle_id) == 17 and vehicle_id.isascii() and vehicle_id.isalnum()
    if not is_vin or set(vehicle_id.upper()) & set("IOQ"):
        assert by_vin.of("north", vehicle_id) == vehicle_id
    assert len(of_all.of("north", vehicle_id)) == 34


def test_a_name_is_what_it_was_in_every_version() -> None:
    assert by_vin.of("north", VIN) == "v-3nxnl5mm5edc3d7fs3vekxmv3eik7mge"


def test_a_batch_is_renamed_by_its_dictionary_and_two_spellings_become_one() -> None:
    batch = frames([VIN, "truck-7", VIN.lower()], [0, 1, 2, 0, 2])
    renamed = by_vin.frames("north", batch)
    name = by_vin.of("north", VIN)
    column = renamed.column("vehicle_id")
    assert column.dictionary.to_pylist() == [name, "truck-7"]
    assert column.to_pylist() == [name, "truck-7", name, name, name]
    assert renamed.schema.equals(CANONICAL)
    assert renamed.columns[1:] == batch.columns[1:]
    renamed.validate(full=True)
    plain = frames(["truck-7"], [0])
    assert by_vin.frames("north", plain) is plain
    assert Pseudonyms().frames("north", batch) is batch


def test_no_rejected_row_keeps_the_vin() -> None:
    escaped = json.dumps({"vehicle_id": VIN}).replace("W", "\\u0057")
    payloads = [
        json.dumps({"vehicle_id": VIN, "data": "0"}),
        escaped,
        f'{{"vehicle_id" : "{VIN.lower()}", "vin": "{VIN}"',
        f"{VIN};256;00ff",
        '{"vehicle_id": 12345678901234567}',
        '{"vehicle_id": "truck-7", "timestamp": 12345678901234567}',
    ]
    cleaned = by_vin.letters("north", letters(*payloads)).column("payload").to_pylist()
    name = by_vin.of("north", VIN)
    assert not any(VIN.lower() in text.lower() for text in cleaned)
    assert json.loads(cleaned[0]) == {"vehicle_id": name, "data": "0"}
    assert json.loads(cleaned[1]) == {"vehicle_id": name}
    assert cleaned[2:4] == [f'{{"vehicle_id" : "{name}", "vin": "{name}"', f"{name};256;00ff"]
    assert json.loads(cleaned[4]) == {"vehicle_id": by_vin.of("north", "12345678901234567")}
    assert cleaned[5] == payloads[5]
    assert by_vin.letters("north", letters(*cleaned)).column("payload").to_pylist() == cleaned


@given(IDS, st.text(max_size=20))
def test_where_every_id_goes_a_payload_keeps_none(vehicle_id: str, rest: str) -> None:
    payloads = [json.dumps({"vehicle_id": vehicle_id, "data": "0"}), f"{vehicle_id}{rest}"]
    [named, other] = of_all.letters("north", letters(*payloads)).column("payload").to_pylist()
    assert json.loads(named) == {"vehicle_id": of_all.of("north", vehicle_id), "data": "0"}
    if "vehicle_id" not in payloads[1]:
        assert json.loads(other)["characters"] == len(payloads[1])


def test_an_allow_list_keeps_globs_and_no_vin() -> None:
    assert by_vin.pattern("north", VIN) == by_vin.of("north", VIN)
    assert by_vin.pattern("north", "WVW*") == "WVW*"


def test_the_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    settings = PrivacySettings(pseudonymise="vin")
    secret = secret_of(settings, tmp_path / "data")
    assert secret is not None
    assert secret_of(settings, tmp_path / "data") == secret
    assert (tmp_path / "data" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert secret_of(settings, tmp_path / "other") != secret
    assert secret_of(PrivacySettings(), tmp_path / "off") is None
    assert not (tmp_path / "off").exists()


def test_another_secret_than_the_data_were_written_with_stops_the_start(tmp_path: Path) -> None:
    elsewhere = tmp_path / "secret"
    named = PrivacySettings(pseudonymise="all", key_file=elsewhere)
    with pytest.raises(ConfigError, match=r"secret: \[Errno 2\]|No such file"):
        secret_of(named, tmp_path)
    elsewhere.write_text("too short")
    with pytest.raises(ConfigError, match="must hold 64 hexadecimal digits"):
        secret_of(named, tmp_path)
    elsewhere.write_text(SECRET.hex() + "\n")
    assert secret_of(named, tmp_path) == SECRET
    elsewhere.write_text("00" * 32)
    with pytest.raises(ConfigError, match="is not the secret that the vehicles in"):
        secret_of(named, tmp_path)
    (tmp_path / CHECK_FILE).unlink()
    assert secret_of(named, tmp_path) == bytes(32)


def test_a_secret_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    settings = PrivacySettings(pseudonymise="vin")
    secret_of(settings, tmp_path)
    (tmp_path / KEY_FILE).unlink()
    with pytest.raises(ConfigError, match="restore the file"):
        secret_of(settings, tmp_path)


@pytest.mark.parametrize(("text", "which"), [("off", "off"), ("vin", "vin"), ('"all"', "all")])
def test_the_configuration_says_which(tmp_path: Path, text: str, which: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(f"privacy: {{pseudonymise: {text}}}\n")
    assert load_config(file, {}).privacy.pseudonymise == which
