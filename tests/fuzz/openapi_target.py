"""The API on a socket against its description: see `tests/fuzz/described.py`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from pipeline.config import CanfleetConfig
from tests.fuzz.described import Described
from tests.fuzz.front_door import FrontDoor
from tests.fuzz.target import Target
from tests.serve.serve_sockets import served
from tests.serve.serve_stand_in import BOOTSTRAP

EXAMPLES = 5
"""Of each operation in one input, right ones and wrong ones each."""


class OpenApiTarget(Target):
    """Sends what Schemathesis makes of one operation. An input is the operation's label and a number, as JSON."""

    seconds = 30.0

    def __init__(self) -> None:
        """Open the door on a stand-in, and serve it."""
        self._stack = ExitStack()
        folder = self._stack.enter_context(TemporaryDirectory(prefix="canfleet-fuzz-"))
        # Many requests here have no valid key, to see whether it matters.
        unlimited = CanfleetConfig.model_validate({"rate_limits": {"unauthenticated": ""}})
        self.door = FrontDoor(Path(folder), unlimited)
        self._stack.callback(self.door.close)
        self.described = Described(self._stack.enter_context(served(self.door)), BOOTSTRAP, EXAMPLES)
        self._stack.callback(self.described.close)
        self._by_label = {operation.label: operation for operation in self.described.operations}

    def close(self) -> None:
        """Close the socket, and leave no file behind."""
        self._stack.close()

    def make(self, random: Random) -> bytes:
        """Any operation, and any number."""
        return json.dumps([random.choice(sorted(self._by_label)), random.randrange(1 << 32)]).encode()

    def attempt(self, body: bytes) -> None:
        """Send the requests, and hold each answer against the description."""
        label, number = json.loads(body)
        self.door.forget()
        self.described.try_operation(self._by_label[label], number)
