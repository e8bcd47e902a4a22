"""An Arrow file on disk as a request body."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from pipeline.errors import BodyError, ConfigError
from simulator.body import Body

_FILE_MAGIC = b"ARROW1"


def read_body(path: Path) -> Body:
    """The frames of an Arrow IPC stream, byte for byte, or of an Arrow IPC file, rewritten as a stream.

    Raises:
        ConfigError: the file cannot be opened.
        BodyError: it is neither.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    try:
        if content.startswith(_FILE_MAGIC):
            table = pa.ipc.open_file(content).read_all()
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
            return Body(sink.getvalue().to_pybytes(), table.num_rows)
        return Body(content, sum(batch.num_rows for batch in pa.ipc.open_stream(content)))
    except (pa.ArrowException, OSError) as error:
        raise BodyError(f"{path} is no Arrow file of frames: {' '.join(str(error).split())}") from error
