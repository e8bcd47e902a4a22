"""Everything a vehicle runs: a bus, its listener, and the uploader."""

from __future__ import annotations

import logging
from threading import Event
from typing import Any, Final

import can

from edge.backoff import Backoff
from edge.bus import BusSettings
from edge.errors import BusError, EdgeError
from edge.listener import CanfleetListener
from edge.spool import Spool
from edge.uploader import Uploader

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 0.1
_READ_S: Final = 0.2


class Agent:
    """Listens to a bus and uploads until it is told to stop; opens the bus again when it fails."""

    def __init__(
        self, bus: BusSettings, listener: CanfleetListener, uploader: Uploader, spool: Spool, *, drain_s: float = 5.0
    ) -> None:
        """Tie the parts together; at the end, what is taken has `drain_s` seconds to be sent."""
        self._settings = bus
        self._listener = listener
        self._uploader = uploader
        self._spool = spool
        self._drain_s = drain_s
        self._backoff = Backoff(first_s=0.5, longest_s=10.0)
        self._told = False

    def run(self, stop: Event) -> bool:
        """Run until `stop` is set.

        Returns:
            Whether everything taken was sent.

        Raises:
            BusError: the bus cannot be opened at the start; later failures are waited out.
            EdgeError: a thread ended by an error of its own, which it has printed.
        """
        try:
            bus = self._settings.open()
            self._uploader.start()
            while not stop.is_set():
                self._listen(bus, stop)
                if not stop.is_set():
                    bus = self._reopen(stop) or bus
        finally:
            self._listener.stop()
            all_sent = self._uploader.stop(self._drain_s)
        return all_sent

    def counts(self) -> dict[str, int]:
        """What became of every frame, and what is left: for a summary."""
        return {
            **vars(self._listener.counts),
            **vars(self._uploader.counts),
            **vars(self._spool.counts),
            "spool_bytes": self._spool.size_bytes,
        }

    def _listen(self, bus: Any, stop: Event) -> None:  # noqa: ANN401 - python-can is untyped here
        """Listen until `stop` is set or the bus fails; shuts the bus down."""
        self._listener.bus_failed.clear()
        received = self._listener.counts.received
        notifier = can.Notifier(bus, [self._listener], timeout=_READ_S)
        try:
            while not stop.wait(_LOOK_S) and not self._listener.bus_failed.is_set():
                self._check_threads()
        finally:
            # The notifier would stop the listener, which has to outlive the bus.
            notifier.remove_listener(self._listener)
            notifier.stop()
            bus.shutdown()
            # Not the opening is success, which a bus that is down may allow, but a frame.
            if self._listener.counts.received > received:
                self._backoff.reset()
                self._told = False

    def _reopen(self, stop: Event) -> Any:  # noqa: ANN401 - python-can is untyped here
        """A new bus, or None once `stop` is set."""
        if not self._told:
            _LOG.error("bus %s failed: %s: opening it again", self._settings.channel, self._listener.bus_error)
        self._told = True
        while not stop.wait(self._backoff.pause_s()):
            self._check_threads()
            try:
                bus = self._settings.open()
            except BusError as error:
                _LOG.debug("%s", error)
                continue
            _LOG.info("bus %s is open again", self._settings.channel)
            return bus
        return None

    def _check_threads(self) -> None:
        if not self._listener.alive:
            raise EdgeError("the thread that writes the spool has ended: see its traceback above")
        if not self._uploader.alive:
            raise EdgeError("the thread that uploads has ended: see its traceback above")
