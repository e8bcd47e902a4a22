"""An object store on loopback, in a process of its own, behind a connection that can be cut."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine

import boto3

from tests.chaos.proxy import TcpProxy

BUCKET = "cold"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "emulated", "AWS_SECRET_ACCESS_KEY": "emulated", "AWS_DEFAULT_REGION": "us-east-1"}


class S3Emulator:
    """moto's server with a bucket in memory; `url` leads to it until `cut`, and again after `mend`."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = ("127.0.0.1", free.getsockname()[1])
        self._server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", address[0], "-p", str(address[1])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait_for(address, self._server)
        self._client = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{address[1]}",
            region_name="us-east-1",
            aws_access_key_id="emulated",
            aws_secret_access_key="emulated",
        )
        self._client.create_bucket(Bucket=BUCKET)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._proxy = TcpProxy(address)
        self._do(self._proxy.start())
        self.url = f"http://127.0.0.1:{self._proxy.port}/{BUCKET}/fleet/"

    def objects(self) -> int:
        return int(self._client.list_objects_v2(Bucket=BUCKET)["KeyCount"])

    def cut(self) -> None:
        self._do(self._proxy.refuse())

    def mend(self) -> None:
        self._do(self._proxy.heal())

    def stop(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._client.close()
        self._server.kill()
        self._server.wait()

    def _do(self, what: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)


def _wait_for(address: tuple[str, int], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(address).close()
            return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
