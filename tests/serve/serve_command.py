"""An application on a real socket, and `canfleet` run against it in this process, as the console script runs it."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import uvicorn
from serve_stand_in import BOOTSTRAP

from canfleet.__main__ import main


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Base URL of the application."""
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list | None = None) -> None:
            await super().startup(sockets)
            ready.set()

    server = Server(uvicorn.Config(app, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert ready.wait(20)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Done:
    exit_code: int
    stdout: str
    stderr: str


def run_canfleet(*arguments: str, key: str = BOOTSTRAP) -> Done:
    out, errors = io.StringIO(), io.StringIO()
    environment = patch.dict(os.environ, {"CANFLEET_KEY": key, "COLUMNS": "200"})
    with (
        environment,
        patch.object(sys, "argv", ["canfleet", *arguments]),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), errors.getvalue())
