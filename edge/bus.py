"""Opening a CAN bus with python-can."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import can

from edge.errors import BusError


@dataclass(frozen=True)
class BusSettings:
    """Which bus to listen to, in python-can's words.

    Attributes:
        interface: `socketcan`, `pcan`, `slcan`, `virtual` …
        channel: `can0`, a serial port …
        bitrate: bits per second, where the interface sets it; socketcan's is set by `ip link`.
        fd: whether CAN FD frames are wanted too.
    """

    interface: str
    channel: str
    bitrate: int | None = None
    fd: bool = False

    def open(self) -> Any:  # noqa: ANN401 - python-can is untyped here
        """The open bus, a `can.BusABC`; shut it down at the end.

        Raises:
            BusError: the driver refused.
        """
        settings = {"bitrate": self.bitrate} if self.bitrate is not None else {}
        try:
            # Not every interface knows `fd`, so it is given only where it is wanted.
            if self.fd:
                return can.Bus(interface=self.interface, channel=self.channel, fd=True, **settings)
            return can.Bus(interface=self.interface, channel=self.channel, **settings)
        except (can.CanError, OSError, ValueError, TypeError, ImportError) as error:
            raise BusError(f"bus {self.channel} ({self.interface}) cannot be opened: {error}: is it up?") from error
