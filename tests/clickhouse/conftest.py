"""The disk whose power can be cut, for the tests of what outlives that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loop_disk import MIB, LoopDisk, loop_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    try:
        with loop_disk(tmp_path / "disk", 512 * MIB) as mounted:
            yield mounted
    except OSError as error:
        pytest.skip(f"no disk whose power could be cut: {error}")
