"""Where the rows of a body stand: the shortcut for one line finds what the kernel finds."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.frames.json_split import split_lines
from pipeline.frames.many import cut_body

PIECES = st.sampled_from([b" ", b"\t", b"\r", b"\n", b"\x0b", b"\x00", b"\xc2\xa0", b"{", b'{"a":1}', b"x"])


@given(st.lists(PIECES, max_size=8).map(b"".join))
@example(b"")
@example(b"\n")
@example(b' \r{"a": 1} \r\n')
@example(b"\n{}")
def test_one_line_is_cut_as_many_are(body: bytes) -> None:
    starts, ends = np.empty(len(body) + 1, np.int64), np.empty(len(body) + 1, np.int64)
    count = split_lines(np.frombuffer(body, np.uint8), starts, ends)
    cut = cut_body(body, is_list=False)
    if cut is None:
        assert count == 0
    else:
        assert (cut.starts.tolist(), cut.ends.tolist()) == (starts[:count].tolist(), ends[:count].tolist())
        assert cut.starts.dtype == cut.ends.dtype == np.int64
