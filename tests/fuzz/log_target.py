"""Log files of every ending, through the function that the log reader's process runs."""

from __future__ import annotations

import gc
import gzip
import json
import sys
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final
from unittest import mock

import can
import orjson
import pyarrow as pa

from pipeline.frames.logs import FORMATS
from pipeline.frames.schema import CANONICAL
from pipeline.frames.validate import revalidate
from serve.log_reader import convert
from tests.fuzz.bodies import LIMITS, NOW_US
from tests.fuzz.mutation import mutated
from tests.fuzz.target import BrokenPromise, Target

_START: Final = 1_700_000_000.0
_ANSWERS: Final = {"skipped", "unreadable", "unknown"}


class LogTarget(Target):
    """Reads a file. An input is a line with the ending of its name, then its content.

    The process that does this on the platform has 120 s and 8 GiB, and its end is an answer like any other: asammdf
    can be made to read outside its memory, and to go round in a ring of blocks. What is looked for is a file that makes
    our part end without saying why.
    """

    contained = True

    seconds = 20.0
    megabytes = 3_000
    hang_s = 30.0

    def __init__(self) -> None:
        """Have python-can write one log of each format."""
        self._folder = TemporaryDirectory(prefix="canfleet-fuzz-")
        self._path = Path(self._folder.name)
        # asammdf's readers of damaged files fail once more when they are deleted, and leave files open: thousands of
        # times here, once in the process that reads a log on the platform.
        self._quiet = mock.patch.object(sys, "unraisablehook", _pass_over)
        self._quiet.start()
        self._seeds = {form: self._written(form) for form in FORMATS}

    def close(self) -> None:
        """Leave no file behind, nor readers that a damaged file broke."""
        gc.collect()
        self._quiet.stop()
        self._folder.cleanup()

    def make(self, random: Random) -> bytes:
        """A log, damaged, perhaps under another's name, perhaps packed."""
        form = random.choice(FORMATS)
        content = self._seeds[form]
        if random.random() < 0.95:
            content = mutated(content, random, tuple(self._seeds.values()))
        if random.random() < 0.05:
            form = random.choice((*FORMATS, ".txt", ".MF4"))
        if random.random() < 0.1:
            packed = gzip.compress(content, 1)
            content, form = (mutated(packed, random) if random.random() < 0.3 else packed), f"{form}.gz"
        return form.encode() + b"\n" + content

    def attempt(self, body: bytes) -> None:
        """Write it, read it, and hold answer and frames against what the endpoint expects of them."""
        form, _, content = body.partition(b"\n")
        log, frames = self._path / f"log{form.decode('latin-1').replace('/', '')}", self._path / "frames.arrow"
        log.write_bytes(content)
        try:
            answer = orjson.loads(json.dumps(convert(log, frames, "truck-7", None)))
            if not answer.keys() or answer.keys() - _ANSWERS:
                raise BrokenPromise(f"the reader answers {answer}")
            if "skipped" in answer:
                _check(frames)
        finally:
            log.unlink()

    def _written(self, form: str) -> bytes:
        path = self._path / f"seed{form}"
        with can.Logger(str(path)) as logger:
            for i in range(12):
                logger(
                    can.Message(
                        timestamp=_START + i / 100,
                        arbitration_id=0x18FEF100 + i if i % 2 else 0x100 + i,
                        is_extended_id=bool(i % 2),
                        is_remote_frame=i == 7,
                        dlc=i % 9,
                        data=None if i == 7 else bytes(range(i % 9)),
                        channel=i % 3,
                    )
                )
        return path.read_bytes()


def _pass_over(failure: object) -> None:
    """Keep nothing of it: who keeps the failure keeps the reader."""


def _check(frames: Path) -> None:
    with pa.memory_map(str(frames)) as source, pa.ipc.open_file(source) as reader:
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            batch.validate(full=True)
            if batch.schema != CANONICAL:
                raise BrokenPromise(f"not the schema of frames: {batch.schema}")
            revalidate(batch, LIMITS, NOW_US).rejected.validate(full=True)
