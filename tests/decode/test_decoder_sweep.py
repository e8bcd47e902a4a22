"""Every message of every database, ours and the shared ones, against cantools, bit for bit."""

from __future__ import annotations

import zlib
from contextlib import suppress

import numpy as np
import pytest
from decode_oracle import SAMPLES, SHARED, by_bits, by_cantools, frame_columns, payloads, rows_of

from pipeline.decode.assembly import assemble
from pipeline.decode.databases import read_database
from pipeline.decode.decoder import Decoder
from pipeline.errors import DatabaseError

SHARED_FILES = sorted((SHARED / "dbc").glob("*/*.dbc"))
SAMPLE_FILES = sorted(path for path in SAMPLES.glob("*.dbc") if path.name != "broken.dbc")


def _compare(paths) -> tuple[int, int]:
    """All databases at once, each a profile. Returns frames and values compared."""
    databases = []
    for path in paths:
        with suppress(DatabaseError):  # what such an error says has tests of its own
            databases.append((path, read_database(path)))
    catalogue = assemble({str(path): [parsed] for path, parsed in databases})
    decoder = Decoder(catalogue)
    frames, owners, expected = [], [], []
    for path, parsed in databases:
        strict = not parsed.notes
        owner = catalogue.profile_index(str(path))
        for message in parsed.database.messages:
            for data in payloads(message, seed=zlib.crc32(f"{path.name} {message.name}".encode())):
                frames.append((message.frame_id, message.is_extended_frame, data))
                owners.append(owner)
                expected.append((message, strict, path.name))
    decoded = decoder.decode(frame_columns(frames), profile=np.array(owners, np.int32))
    got = rows_of(decoded, catalogue, len(frames))
    truncated = unknown = 0
    for (_, _, data), (message, strict, file), row in zip(frames, expected, got, strict=True):
        reference, cut, strange = by_bits(message, data)
        truncated += cut
        unknown += strange
        assert row == reference, f"{file} {message.name} {data.hex()}"
        oracle = by_cantools(message, data) if strict else None
        assert oracle is not None or strange or not strict, f"{file} {message.name} {data.hex()}: cantools raised"
        if oracle is not None:
            assert row == oracle, f"{file} {message.name} {data.hex()}"
    assert decoded.unmatched == 0
    assert decoded.truncated == truncated
    assert decoded.unknown_multiplexer == unknown
    return len(frames), len(decoded)


def test_every_message_of_the_samples_decodes_as_cantools_decodes_it() -> None:
    frames, values = _compare(SAMPLE_FILES)
    assert frames > 300
    assert values > 500


@pytest.mark.skipif(not SHARED_FILES, reason="../shared/data/dbc is absent: only the samples are swept")
def test_every_message_of_the_shared_databases_decodes_as_cantools_decodes_it() -> None:
    frames, values = _compare(SHARED_FILES)
    assert frames > 40_000
    assert values > 150_000
