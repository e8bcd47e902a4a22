"""A node as the load balancer sees one: `python haproxy_backend.py NAME PORT`, prints `ready` when it listens.

POST answers 202 with its name and what came; `/v1/live` is an event each 0.2 s; `/v1/stream` echoes messages.
"""

from __future__ import annotations

import asyncio
import json
import sys

import uvicorn


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await _echo(receive, send)
    elif scope["path"] == "/v1/live":
        await _start(send, 200, b"text/event-stream")
        for i in range(50):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % i, "more_body": True})
            await asyncio.sleep(0.2)
    else:
        body, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += len(message.get("body", b""))
            more = message.get("more_body", False)
        if scope["path"] == "/slow":
            await asyncio.sleep(30)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        own = [(b"content-security-policy", b"default-src 'self'")] if scope["path"] == "/page" else []
        await _start(send, 200 if scope["method"] == "GET" else 202, b"application/json", own)
        answer = {"node": sys.argv[1], "body": body, "headers": headers, "peer": scope["client"][1]}
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})


async def _start(send, status, media_type, more=()):
    headers = [(b"content-type", media_type), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


class _Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print("ready", flush=True)


if __name__ == "__main__":
    quiet = {"log_level": "critical", "lifespan": "off"}
    _Server(uvicorn.Config(app, port=int(sys.argv[2]), backlog=1, timeout_keep_alive=75, **quiet)).run()
