"""Checkpoints come back bit for bit, are never half there, and fall back to the one before."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.errors import JournalCorrupt, JournalError
from pipeline.journal.checkpoint import load_latest, save

DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(32, 64)),
    hnp.byte_string_dtypes(max_len=9),
    hnp.unicode_string_dtypes(max_len=5),
    hnp.datetime64_dtypes(),
)
META = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def save_numbers(directory: Path, *numbers: int) -> list[Path]:
    return [save(directory, "shard", {"n": n}, {"a": np.arange(n), "b": np.full((2, n), 0.5)}) for n in numbers]


@settings(max_examples=40, deadline=None)
@given(
    meta=st.dictionaries(st.text(), META, max_size=4),
    arrays=st.dictionaries(
        st.text(max_size=5),
        DTYPES.flatmap(lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))),
        max_size=4,
    ),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, meta: dict[str, Any], arrays: dict[str, np.ndarray]
) -> None:
    directory = tmp_path_factory.mktemp("checkpoint")
    path = save(directory, "a-1_B", meta, arrays)
    loaded = load_latest(directory, "a-1_B")
    assert loaded is not None
    assert (loaded.path, loaded.skipped, loaded.meta) == (path, [], meta)
    assert loaded.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        found = loaded.arrays[name]
        assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert found.flags.writeable
        assert found.flags.c_contiguous


def test_views_of_any_layout_are_stored_in_c_order(tmp_path: Path) -> None:
    base = np.arange(60).reshape(3, 4, 5)
    arrays = {
        "transposed": base.T,
        "stepped": base[::2, ::-1],
        "fortran": np.asfortranarray(base),
        "scalar": base[0, 0, 0],
    }
    save(tmp_path, "x", {}, arrays)
    loaded = load_latest(tmp_path, "x")
    assert loaded is not None
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
    loaded.arrays["transposed"][0] = 7


def test_nothing_there_is_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path, "shard") is None
    assert load_latest(tmp_path / "absent", "shard") is None
    save_numbers(tmp_path, 3)
    assert load_latest(tmp_path, "shar") is None


def test_the_newest_two_of_each_name_are_kept(tmp_path: Path) -> None:
    paths = save_numbers(tmp_path, *range(1, 13))
    other = save(tmp_path, "shard-1", {}, {})
    assert set(tmp_path.iterdir()) == {*paths[-2:], other}
    loaded = load_latest(tmp_path, "shard")
    assert loaded is not None
    assert loaded.meta == {"n": 12}


def test_every_flipped_byte_falls_back_to_the_one_before(tmp_path: Path) -> None:
    _, newest = save_numbers(tmp_path, 2, 3)
    content = newest.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x04
        newest.write_bytes(changed)
        loaded = load_latest(tmp_path, "shard")
        assert loaded is not None
        if loaded.meta["n"] == 3:
            # Only the zeros between arrays may change unseen.
            np.testing.assert_array_equal(loaded.arrays["a"], np.arange(3))
            np.testing.assert_array_equal(loaded.arrays["b"], np.full((2, 3), 0.5))
            assert content[position] == 0
        else:
            assert len(loaded.skipped) == 1
            assert str(newest) in loaded.skipped[0]


@pytest.mark.parametrize("length", [0, 5, 24, 200, -1])
def test_a_file_that_is_cut_short_is_skipped(tmp_path: Path, length: int) -> None:
    _, newest = save_numbers(tmp_path, 2, 3)
    os.truncate(newest, length if length >= 0 else newest.stat().st_size + length)
    loaded = load_latest(tmp_path, "shard")
    assert loaded is not None
    assert (loaded.meta, len(loaded.skipped)) == ({"n": 2}, 1)


def test_when_none_is_whole_it_is_said(tmp_path: Path) -> None:
    for path in save_numbers(tmp_path, 2, 3):
        path.write_bytes(b"?" * 300)
    with pytest.raises(JournalCorrupt, match="no checkpoint is whole"):
        load_latest(tmp_path, "shard")


def test_a_full_disk_leaves_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_numbers(tmp_path, 2, 3)
    before = sorted(tmp_path.iterdir())

    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(JournalError, match="No space left"):
            save_numbers(tmp_path, 4)
    assert sorted(tmp_path.iterdir()) == before
    save_numbers(tmp_path, 5)


@pytest.mark.parametrize(
    ("name", "meta", "arrays", "message"),
    [
        ("a/b", {}, {}, "checkpoint name"),
        ("", {}, {}, "checkpoint name"),
        ("a", {"x": object()}, {}, "cannot be saved"),
        ("a", {"x": float("nan")}, {}, "cannot be saved"),
        ("a", {}, {"x": np.array([object()])}, "array x has dtype object"),
        ("a", {}, {"x": np.zeros(2, [("a", "i4")])}, "array x has dtype"),
    ],
)
def test_what_cannot_be_stored_is_refused(
    tmp_path: Path, name: str, meta: dict[str, Any], arrays: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(JournalError, match=message):
        save(tmp_path, name, meta, arrays)
    assert not list(tmp_path.iterdir())


SAVER = """
import sys
import numpy as np
from pathlib import Path
from pipeline.journal.checkpoint import load_latest, save

last = load_latest(Path(sys.argv[1]), "shard")
n = last.meta["n"] if last else 0
while True:
    n += 1
    save(Path(sys.argv[1]), "shard", {"n": n}, {"a": np.full(50_000, n)})
    print(n, flush=True)
"""


def test_sigkill_leaves_the_last_saved_or_a_newer_one(tmp_path: Path) -> None:
    for lines in (1, 7):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as saver:
            assert saver.stdout is not None
            for _ in range(lines):
                saver.stdout.readline()
            saver.kill()
            saved = [int(line) for line in saver.stdout.read().split("\n")[:-1]]
        loaded = load_latest(tmp_path, "shard")
        assert loaded is not None
        assert loaded.skipped == []
        assert loaded.meta["n"] >= max(saved, default=lines)
        np.testing.assert_array_equal(loaded.arrays["a"], np.full(50_000, loaded.meta["n"]))
