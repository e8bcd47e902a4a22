"""`python -m actors.clickhouse_host --data-dir DIR`: the embedded ClickHouse alone, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from actors.clickhouse_host.host import ClickHouseHost
from pipeline.clickhouse.settings import ColdSettings, S3Settings
from pipeline.errors import ConfigError


def main() -> int:
    """Serve; the first line printed is the URL."""
    parser = argparse.ArgumentParser(prog="python -m actors.clickhouse_host", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of all data")
    parser.add_argument("--cold-dir", type=Path, help="folder of the cold volume (default: DATA_DIR/cold)")
    parser.add_argument("--cold-s3", metavar="URL", help="bucket and prefix of the cold volume, instead of a folder")
    parser.add_argument("--port", type=int, default=8123, help="0 takes a free one (default: 8123)")
    parser.add_argument("--password", default="", help="of the users (default: none is asked for)")
    parser.add_argument("--memory-mb", type=int, help="cap for the process (default: half of the machine's memory)")
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        store = None if arguments.cold_s3 is None else S3Settings(endpoint=arguments.cold_s3)
        host = ClickHouseHost(
            arguments.data_dir,
            arguments.port,
            password=arguments.password,
            cold=ColdSettings(folder=arguments.cold_dir, s3=store),
            memory_bytes=arguments.memory_mb << 20 if arguments.memory_mb else None,
        )
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print(host.url, flush=True)
    stopped.wait()
    host.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
