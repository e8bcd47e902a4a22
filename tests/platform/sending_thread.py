"""What a client in a thread of its own has: a connection, and an end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import httpx


class SendingThread(ABC):
    """Runs `_run` while it is entered; that looks at `_stop` and sends by `_client`."""

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._client = httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=timeout_s)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
        self._client.close()

    def finish(self) -> None:
        """Send no more; what has no answer yet is given up."""
        self._stop.set()
        self._thread.join()

    @abstractmethod
    def _run(self) -> None: ...
