"""Content encodings: whole, split, cut, damaged, and made to burst."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard
from frames_samples import LIMITS, NOW_US, ndjson, row
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import BodyError, BodyTooLarge, CanfleetError, UnknownContentType
from pipeline.frames.body import JSON, NDJSON, read_body
from pipeline.frames.compression import decompress
from pipeline.frames.limits import FrameLimits

ENCODERS = {"gzip": gzip.compress, "zstd": zstandard.compress}
LIMIT = 1 << 20


@pytest.mark.parametrize("encoding", [None, "", "identity", "Identity"])
def test_identity_is_not_copied(encoding: str | None) -> None:
    body = b"abc"
    assert decompress(body, encoding, LIMIT) is body


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@settings(max_examples=40, deadline=None)
@given(parts=st.lists(st.binary(max_size=3000).map(lambda b: b * 20), min_size=1, max_size=4))
def test_members_and_frames_join(encoding: str, parts: list[bytes]) -> None:
    body = b"".join(ENCODERS[encoding](part) for part in parts)
    assert bytes(decompress(body, encoding, LIMIT)) == b"".join(parts)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_limit_is_exact(encoding: str) -> None:
    for content in (b"x" * LIMIT, bytes(i * i % 251 for i in range(LIMIT))):
        body = ENCODERS[encoding](content)
        assert bytes(decompress(body, encoding, LIMIT)) == content
        with pytest.raises(BodyTooLarge):
            decompress(body, encoding, LIMIT - 1)
    with pytest.raises(BodyTooLarge):
        decompress(b"x" * LIMIT, None, LIMIT - 1)


BOMBS = """
import gzip, pyarrow, zstandard
from pipeline.errors import BodyTooLarge
from pipeline.frames.compression import decompress
for encoding, encode in (("gzip", gzip.compress), ("zstd", zstandard.compress)):
    bomb = encode(bytes(128 << 20))
    assert len(bomb) < 200_000
    try:
        decompress(bomb, encoding, 1 << 20)
    except BodyTooLarge:
        print(pyarrow.default_memory_pool().max_memory())
"""


def test_bombs_cost_their_bound_only() -> None:
    """In a process of its own, because the highest memory is that of the whole life of a process."""
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", BOMBS], cwd=root, capture_output=True, text=True, check=True)
    highest = [int(line) for line in run.stdout.split()]
    assert len(highest) == 2
    assert max(highest) < 4 << 20


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_truncated_anywhere(encoding: str) -> None:
    body = ENCODERS[encoding](ndjson([row(sequence=i) for i in range(100)]))
    for keep in range(len(body)):
        with pytest.raises(BodyError):
            decompress(body[:keep], encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_garbage(encoding: str) -> None:
    for body in (b"", b"hello", b"\x00" * 50, ENCODERS[encoding](b"abc") + b"trailing"):
        with pytest.raises(BodyError):
            decompress(body, encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "compress"])
def test_unknown_encoding(encoding: str) -> None:
    with pytest.raises(UnknownContentType, match="gzip, zstd"):
        decompress(b"abc", encoding, LIMIT)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["gzip", "zstd"]), st.data())
def test_damage_is_an_error_or_harmless(encoding: str, data: st.DataObject) -> None:
    body = bytearray(ENCODERS[encoding](ndjson([row()] * 3)))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_body(bytes(body), NDJSON, encoding, LIMITS, NOW_US)
    except CanfleetError:
        return


def test_body_reads_encodings_and_content_type_parameters() -> None:
    rows = [row(sequence=i) for i in range(10)]
    for encoding, encode in ENCODERS.items():
        parsed = read_body(
            encode(ndjson(rows)), "Application/X-NDJSON; charset=utf-8", encoding.upper(), LIMITS, NOW_US
        )
        assert parsed.frames.num_rows == 10


@pytest.mark.parametrize(
    "content_type", [None, "", "text/csv", "application/vnd.apache.arrow.file", "application/jsonx"]
)
def test_unknown_content_type(content_type: str | None) -> None:
    with pytest.raises(UnknownContentType, match="application/x-ndjson"):
        read_body(b"[]", content_type, None, LIMITS, NOW_US)


def test_body_bound_counts_the_bytes_received() -> None:
    body = ndjson([row()] * 100)
    limits = FrameLimits(max_body_bytes=len(body) - 1)
    with pytest.raises(BodyTooLarge):
        read_body(body, NDJSON, None, limits, NOW_US)
    assert read_body(gzip.compress(body), NDJSON, "gzip", limits, NOW_US).received == 100
    with pytest.raises(BodyTooLarge):
        read_body(
            gzip.compress(b"[" + b" " * 2000 + b"]"), JSON, "gzip", FrameLimits(max_decompressed_bytes=1000), NOW_US
        )
