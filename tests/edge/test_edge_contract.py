"""What a vehicle sends, read by the platform's own reader: no row is a dead letter, and every column is as it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.body import HEADERS, body
from edge.frame import Frame
from edge.run import Batch, Run
from pipeline.frames.body import NDJSON, read_body
from pipeline.frames.limits import FrameLimits

NOW_US = 1_769_860_800_000_000


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    extended = draw(st.booleans())
    return Frame(
        timestamp_us=NOW_US - draw(st.integers(0, 86_400_000_000)),
        arbitration_id=draw(st.integers(0, 0x1FFFFFFF if extended else 0x7FF)),
        is_extended=extended,
        channel=draw(st.integers(0, 255)),
        data=draw(st.binary(max_size=64)),
        session=draw(st.integers(0, 2**32 - 1)),
        sequence=draw(st.integers(0, 2**63 - 1)),
    )


@given(st.lists(frames(), min_size=1, max_size=20), st.sampled_from(["truck-7", "Größe 7", 'a"b\\c', "🚚" * 64]))
def test_the_platform_reads_what_a_vehicle_sends(sent: list[Frame], vehicle_id: str) -> None:
    assert HEADERS["Content-Type"] == NDJSON
    batch = Batch(Run("", 0, 0, len(sent)), vehicle_id, sent)
    parsed = read_body(body(batch), NDJSON, HEADERS["Content-Encoding"], FrameLimits(), NOW_US)
    assert parsed.received == parsed.frames.num_rows == len(sent)
    columns = parsed.frames.to_pydict()
    assert set(columns["vehicle_id"]) == {vehicle_id}
    for name in ("arbitration_id", "is_extended", "channel", "data", "session", "sequence"):
        assert columns[name] == [getattr(frame, name) for frame in sent]
    assert parsed.frames["timestamp"].cast("int64").to_pylist() == [frame.timestamp_us for frame in sent]
