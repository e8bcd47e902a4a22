"""The whole HTTP face in a process of its own: Ray, Serve's HAProxy, three deployments, a stand-in behind them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
APP = HERE / "serve" / "serve_platform_app.py"


@contextmanager
def http_face(**server: Any) -> Iterator[dict[str, Any]]:
    """Start it with these settings of the section `server`; what it says of itself, with its `pid`."""
    folder = Path(tempfile.mkdtemp(prefix="cf-"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(HERE.parent), str(APP.parent), *filter(None, [given])])
    process = subprocess.Popen(
        [sys.executable, str(APP), str(port), str(folder), json.dumps(server)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path, "RAY_TMPDIR": str(folder)},
        cwd=folder,
    )
    assert process.stdin
    assert process.stdout
    try:
        line = next((line for line in process.stdout if line.startswith(b"{")), None)
        assert line, "the HTTP face did not come up"
        yield json.loads(line) | {"pid": process.pid}
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)
