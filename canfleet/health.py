"""Is the platform at a URL ready, alive, or silent: what the supervisor goes by when no process has died."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import Final

from pipeline.errors import CanfleetError

_TIMEOUT_S: Final = 2.0
_STARTING_S: Final = 0.5
_PERIOD_S: Final = 5.0
_SILENCE_S: Final = 60.0


class Silence(CanfleetError):
    """Nothing of the platform has answered for too long."""


class Health:
    """Asks `/readyz` from time to time.

    A platform that is not ready but says why is alive: a shard that cannot start must not take the others down with
    it again and again. Only silence, of a platform that was ready once, is a reason to start it anew.
    """

    def __init__(self, url: str, silence_s: float = _SILENCE_S, period_s: float = _PERIOD_S) -> None:
        """Of the platform at `url`, which is asked every `period_s` once it was ready and may be quiet `silence_s`."""
        self._url = f"{url}/readyz"
        self._silence_s = silence_s
        self._period_s = period_s
        self._next = 0.0
        self._heard = 0.0
        self.ready = False

    def look(self) -> bool:
        """Ask if it is time to, which may take 2 s; whether the platform has been ready since this object was made.

        Raises:
            Silence: it was, and has not answered since `silence_s`.
        """
        if time.monotonic() < self._next:
            return self.ready
        answer = _ask(self._url)
        now = time.monotonic()
        self._next = now + (self._period_s if self.ready else min(self._period_s, _STARTING_S))
        self.ready = self.ready or answer is True
        if answer is not None:
            self._heard = now
        elif self.ready and now - self._heard > self._silence_s:
            raise Silence(f"{self._url} was silent for {self._silence_s:g} s")
        return self.ready


def _ask(url: str) -> bool | None:
    """True when ready, False when it says why not, None when nothing of the platform itself answers.

    HAProxy answers 503 too where it reaches no replica; its page names no reasons.
    """
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        try:
            return False if "reasons" in json.loads(body) else None
        except ValueError:
            return None
    except OSError:
        return None
