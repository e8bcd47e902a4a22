from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DatabaseError
from simulator import FLEET_DBC
from simulator.encode import encode_rows, half_bits
from simulator.layout import FleetDatabase, load_database

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "dbc"
ODD_ONES = [
    "cantools/floating_point.dbc",
    "cantools/foobar.dbc",
    "cantools/signed.dbc",
    "cantools/multiplex_2.dbc",
    "cantools/issue_184_extended_mux_cascaded.dbc",
    "cantools/motohawk_fd.dbc",
    "cantools/vehicle.dbc",
    "opendbc/FORD_CADS.dbc",
    "opendbc/acura_ilx_2016_nidec.dbc",
    "css/gnss.dbc",
]


def check_against_cantools(database: FleetDatabase, rows: int) -> int:
    """Encode random values of every variant of every message both ways; returns the number of frames."""
    layout = database.layout
    rng = np.random.default_rng(5)
    low = np.maximum(database.low, -1e15)
    high = np.minimum(database.high, 1e15)
    values = rng.uniform(low, high, (rows, len(low)))
    values[0], values[1] = low, high
    compared = 0
    for number, message in enumerate(database.definitions):
        names = [signal.name for signal in message.signals]
        if len(set(names)) < len(names):
            continue
        for variant in range(layout.first_variant[number], layout.first_variant[number + 1]):
            words = encode_rows(layout, variant, values)
            fields = range(layout.first_field[variant], layout.first_field[variant + 1])
            for row in range(rows):
                physical: dict[str, Any] = {}
                for field in fields:
                    signal = int(layout.signal[field])
                    fixed = int(layout.fixed[field])
                    scale, offset = layout.scale[field], layout.offset[field]
                    physical[database.signals[signal]] = (
                        float(values[row, signal]) if fixed < 0 else fixed * scale + offset
                    )
                ours = words[row].tobytes()[: message.length]
                assert ours == message.encode(physical, strict=False), (message.name, physical)
                compared += 1
    return compared


def test_the_car_is_encoded_as_cantools_encodes_it():
    assert check_against_cantools(load_database(FLEET_DBC), 300) > 3_000


@pytest.mark.parametrize("name", ODD_ONES)
def test_other_databases_are_encoded_as_cantools_encodes_them(name: str):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs ../shared/data/dbc/{name}")
    assert check_against_cantools(load_database(path), 8) > 0


@given(st.floats(-70000, 70000) | st.floats(-1e-4, 1e-4))
def test_half_floats_round_as_struct_does(value: float):
    try:
        (expected,) = struct.unpack("<H", struct.pack("<e", value))
    except OverflowError:
        expected = 0xFC00 if value < 0 else 0x7C00
    assert half_bits(value) in (expected, expected & 0x7FFF if expected == 0x8000 else expected)


def test_a_database_that_does_not_load_is_named(tmp_path: Path):
    broken = tmp_path / "broken.dbc"
    broken.write_text("BO_ nonsense")
    with pytest.raises(DatabaseError, match=r"broken\.dbc"):
        load_database(broken)
    with pytest.raises(DatabaseError, match=r"absent\.dbc"):
        load_database(tmp_path / "absent.dbc")
