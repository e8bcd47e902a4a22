"""A small real HTTP server with the contract of `POST /v1/frames`, and with everything that can go wrong on the way."""

from __future__ import annotations

import gzip
import json
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Self

from edge_frames import parse

from edge.frame import Frame

KEY = "cf_key"


@dataclass(frozen=True)
class Reply:
    """What a request gets: `status`, or no answer at all where it is None; `stores` says whether it was taken in."""

    status: int | None
    retry_after: str | None = None
    stores: bool = False


TAKE = Reply(202, stores=True)
CUT = Reply(None)
CUT_AFTER_STORING = Reply(None, stores=True)


@dataclass
class Request:
    """A request that came."""

    headers: dict[str, str]
    vehicle_ids: set[str]
    frames: list[Frame]
    reply: Reply


@dataclass
class Platform:
    """Answers `script` first, one entry a request, then takes whatever `readable` lets through.

    Attributes:
        stored: the frames, once each, by session and sequence.
        copies: how often each was taken in.
    """

    script: deque[Reply] = field(default_factory=deque)
    readable: Callable[[Frame], bool] = lambda _: True
    key: str = KEY
    chance: Callable[[], Reply] = lambda: TAKE
    requests: list[Request] = field(default_factory=list)
    stored: dict[tuple[int, int], Frame] = field(default_factory=dict)
    copies: dict[tuple[int, int], int] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reply(self, headers: dict[str, str], content: bytes) -> tuple[Reply, dict[str, int]]:
        assert headers["content-type"] == "application/x-ndjson"
        lines = gzip.decompress(content).decode().splitlines()
        frames = [parse(line) for line in lines]
        vehicles = {json.loads(line)["vehicle_id"] for line in lines}
        with self._lock:
            reply = self._choose(headers, frames)
            self.requests.append(Request(headers, vehicles, frames, reply))
            known = sum((frame.session, frame.sequence) in self.stored for frame in frames)
            if reply.stores:
                for frame in frames:
                    self._store(frame)
        return reply, {"received": len(frames), "accepted": len(frames) - known, "duplicates": known}

    def _choose(self, headers: dict[str, str], frames: list[Frame]) -> Reply:
        if self.script:
            return self.script.popleft()
        if headers["authorization"] != f"Bearer {self.key}":
            return Reply(401)
        if not all(self.readable(frame) for frame in frames):
            return Reply(400)
        return self.chance()

    def _store(self, frame: Frame) -> None:
        number = (frame.session, frame.sequence)
        assert self.stored.setdefault(number, frame) == frame
        self.copies[number] = self.copies.get(number, 0) + 1


def moody(seed: int) -> Callable[[], Reply]:
    """Every other request fails, in all the ways there are."""
    generator = random.Random(seed)
    failures = [Reply(503, retry_after="0"), Reply(500), CUT, CUT_AFTER_STORING, Reply(429, retry_after="0")]
    return lambda: generator.choice([TAKE] * len(failures) + failures)


def _handler(platform: Platform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # An answer goes out in two pieces; the second must not wait for the client's delayed acknowledgement.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            assert self.path == "/v1/frames"
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not content:
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply, counts = platform.reply(headers, content)
            if reply.status is None:
                self.close_connection = True
                return
            document = (
                counts if reply.status == 202 else {"title": "refused", "detail": f"says the test: {reply.status}"}
            )
            answer = json.dumps(document).encode()
            self.send_response(reply.status)
            self.send_header("Content-Length", str(len(answer)))
            if reply.retry_after is not None:
                self.send_header("Retry-After", reply.retry_after)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
