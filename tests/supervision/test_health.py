"""What the supervisor goes by: an answer with reasons is a sign of life, HAProxy's own page is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from canfleet.backoff import Backoff
from canfleet.health import Health, Silence
from serve.problems import away, not_ready

READY = (200, b'{"ready": true, "reasons": []}')
NOT_READY = (503, not_ready(["shard 0: damaged"]).body("urn:x"))
HAPROXY = (503, away("The HTTP API").body("about:blank"))


class Answers(ThreadingHTTPServer):
    answer = READY


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def health(server: Answers) -> Health:
    return Health(f"http://127.0.0.1:{server.server_port}", silence_s=0, period_s=0)


def test_ready_once_is_ready_and_reasons_are_a_sign_of_life(server: Answers) -> None:
    asked = health(server)
    assert json.loads(NOT_READY[1])["reasons"] == ["shard 0: damaged"]
    server.answer = NOT_READY
    assert not asked.look()
    server.answer = READY
    assert asked.look()
    server.answer = NOT_READY
    assert asked.look()


@pytest.mark.parametrize("answer", [HAPROXY, (503, b"no json"), (503, b"[]"), (500, b"")])
def test_silence_counts_only_after_it_was_ready(server: Answers, answer: tuple[int, bytes]) -> None:
    asked = health(server)
    server.answer = answer
    assert not asked.look()
    server.answer = READY
    assert asked.look()
    server.answer = answer
    with pytest.raises(Silence, match="silent"):
        asked.look()


def test_pauses_grow_to_a_bound_and_begin_again_after_a_steady_run() -> None:
    backoff = Backoff()
    assert [backoff.after(5) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert backoff.after(600) == 0
    assert backoff.after(5) == 1
