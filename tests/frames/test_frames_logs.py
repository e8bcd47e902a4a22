"""Log files: python-can is the oracle, for recordings of real cars and for files that it writes itself."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import can
import pytest
from frames_samples import LIMITS, NOW_US, SHARED, shown

from pipeline.errors import BodyError, UnknownContentType
from pipeline.frames.log_batch import channel_number
from pipeline.frames.logs import FORMATS, read_log
from pipeline.frames.schema import CANONICAL
from pipeline.frames.validate import revalidate

COUNTS = {
    "drive-1": 65_296,
    "drive-2": 73_785,
    "drive-3": 73_765,
    "drive-4": 73_774,
    "drive-5": 5_477,
    "car-and-gnss": 84_730,
    "truck-j1939": 1_815,
}
START = 1_700_000_000.0


def recording(name: str) -> Path:
    path = SHARED / "logs" / f"{name}.mf4"
    if not path.exists():
        pytest.skip(f"{path} is absent: no real recordings here")
    return path


def messages() -> list[can.Message]:
    """Data frames of every length and both kinds of ids, with two remote frames and an error frame among them."""
    data = [
        can.Message(
            timestamp=START + i * 0.010_001,
            arbitration_id=0x100 + i if i % 2 else 0x18FEF100 + i,
            is_extended_id=i % 2 == 0,
            data=bytes(range(i % 9)),
            channel=i % 3,
        )
        for i in range(40)
    ]
    remote = can.Message(timestamp=START + 0.05, arbitration_id=0x7F, is_extended_id=False, is_remote_frame=True, dlc=2)
    error = can.Message(timestamp=START + 0.06, is_error_frame=True, is_extended_id=False)
    return [*data[:5], remote, error, remote, *data[5:]]


def written(path: Path) -> Path:
    with can.Logger(str(path)) as logger:
        for message in messages():
            logger(message)
    return path


def expected(found: Iterable[can.Message]) -> list[tuple]:
    return [
        (round(m.timestamp * 1e6), m.arbitration_id, bytes(m.data), m.is_extended_id, channel_number(m.channel))
        for m in found
        if not m.is_error_frame and not m.is_remote_frame
    ]


def read(path: Path, **options: object) -> tuple[list[tuple], int]:
    rows: list[tuple] = []
    skipped = 0
    for batch in read_log(path, "car", **options):  # type: ignore[arg-type]
        batch.frames.validate(full=True)
        assert batch.frames.schema == CANONICAL
        assert {r["vehicle_id"] for r in shown(batch.frames)} <= {"car"}
        assert all(r["session"] is None and r["sequence"] is None for r in shown(batch.frames))
        rows += [
            tuple(r[k] for k in ("timestamp", "arbitration_id", "data", "is_extended", "channel"))
            for r in shown(batch.frames)
        ]
        skipped += batch.skipped
    return rows, skipped


@pytest.mark.parametrize("name", COUNTS)
def test_recordings_have_every_frame(name: str) -> None:
    batches = list(read_log(recording(name), "car", 20_000))
    assert sum(batch.frames.num_rows for batch in batches) == COUNTS[name]
    assert max(batch.frames.num_rows for batch in batches) <= 20_000
    for batch, again in zip(batches, read_log(recording(name), "car", 20_000), strict=True):
        assert batch.frames.equals(again.frames)
        assert revalidate(batch.frames, LIMITS, NOW_US).rejected.num_rows == 0


@pytest.mark.parametrize("name", ["drive-5", "truck-j1939"])
def test_recordings_read_as_python_can_reads_them(name: str) -> None:
    with can.LogReader(str(recording(name))) as reader:
        oracle = expected(reader)
    assert read(recording(name), rows_per_batch=1_000) == (oracle, 0)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_reads_as_python_can_reads_it(ending: str, tmp_path: Path) -> None:
    path = written(tmp_path / f"drive{ending}")
    with can.LogReader(str(path)) as reader:
        found = list(reader)
    oracle = expected(found)
    assert len(oracle) == 40
    rows, skipped = read(path, rows_per_batch=7)
    assert rows == oracle
    assert skipped == len(found) - 40
    assert read(path) == (rows, skipped)
    if ending in {".blf", ".csv", ".db", ".log", ".mf4"}:
        sent = [m for m in messages() if not m.is_error_frame and not m.is_remote_frame]
        assert [r[0] for r in rows] == [round(m.timestamp * 1e6) for m in sent]


@pytest.mark.parametrize("ending", [e for e in FORMATS if e != ".db"])
def test_gzipped(ending: str, tmp_path: Path) -> None:
    plain = written(tmp_path / f"a.b{ending}")
    packed = tmp_path / f"a.b{ending}.gz"
    with plain.open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    assert read(packed) == read(plain)


def test_start_shifts_a_relative_log(tmp_path: Path) -> None:
    path = written(tmp_path / "drive.asc")
    (first, *_), _ = read(path)
    assert first[0] < 1_000_000
    start = datetime(2026, 1, 1, tzinfo=UTC)
    (shifted, *_), _ = read(path, start=start)
    assert shifted[0] == first[0] + 1_767_225_600_000_000
    batch = next(read_log(path, "car"))
    assert set(revalidate(batch.frames, LIMITS, NOW_US).rejected.column("reason").to_pylist()) == {"timestamp_too_old"}


def test_frames_past_the_rules_are_left_to_validation(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    head = "timestamp,arbitration_id,extended,remote,error,dlc,data\n"
    line = "1700000000.000001,{},1,0,0,1,AQ==\n"
    path.write_text(head + line.format("0x123") + line.format("0x3FFFFFFF") + line.format("0x1FFFFFFFFF"))
    batch = next(read_log(path, "car"))
    parsed = revalidate(batch.frames, LIMITS, NOW_US)
    assert [r["timestamp"] for r in shown(parsed.frames)] == [1_700_000_000_000_001]
    assert parsed.rejected.column("reason").to_pylist() == ["arbitration_id_too_large"] * 2


def test_named_channels_of_candump(tmp_path: Path) -> None:
    path = tmp_path / "drive.log"
    path.write_text("(1700000000.000001) can7 123#0102\n(1700000000.000002) body 00000123#00\n")
    rows, _ = read(path)
    assert rows[0] == (1_700_000_000_000_001, 0x123, b"\x01\x02", False, 7)
    assert rows[1] == (1_700_000_000_000_002, 0x123, b"\x00", True, 178)


@pytest.mark.parametrize("name", ["drive.txt", "drive", "drive.gz", "drive.pcap.gz", "drive.db.gz"])
def test_unknown_format_names_file_and_formats(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnknownContentType) as caught:
        list(read_log(tmp_path / name, "car"))
    for word in (name, ".asc", ".blf", ".mf4"):
        assert word in str(caught.value)


@pytest.mark.parametrize("ending", [*FORMATS, ".mf4.gz", ".log.gz", ".blf.gz"])
@pytest.mark.parametrize("content", [b"hello world, this is no log\n" * 9, bytes(range(256)) * 4])
def test_unreadable_file_is_named(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"broken{ending}"
    path.write_bytes(content)
    with pytest.raises(BodyError, match="broken"):
        list(read_log(path, "car"))


@pytest.mark.parametrize("ending", FORMATS)
def test_absent_file_is_named_and_not_made(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"absent{ending}"
    with pytest.raises(BodyError, match="absent"):
        list(read_log(path, "car"))
    assert not path.exists()


def test_truncated_blf_says_so_after_its_whole_part(tmp_path: Path) -> None:
    path = written(tmp_path / "drive.blf")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(BodyError, match=r"drive\.blf"):
        list(read_log(path, "car"))


@pytest.mark.parametrize(
    ("channel", "number"),
    [
        (None, 0),
        (0, 0),
        (255, 255),
        (256, 0),
        (-1, 255),
        ("can0", 0),
        ("vcan1", 1),
        ("CAN 2", 2),
        ("3", 3),
        ("can300", 44),
    ],
)
def test_channel_numbers(channel: int | str | None, number: int) -> None:
    assert channel_number(channel) == number


def test_named_channels_are_the_same_always() -> None:
    assert (channel_number("body"), channel_number("chassis")) == (178, 223)
