"""A vehicle in a process of its own: `python outage_vehicle.py SPOOL VEHICLE URL KEY MAX_BYTES LONGEST_PAUSE_S`.

It is `canfleet upload` on a bus, but for a line on stdout for every frame it has taken, once that is synced to disk.
`CAN_CONFIG` says where the bus is. SIGTERM ends it, and prints its counts as JSON.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from edge.agent import Agent
from edge.backoff import Backoff
from edge.bus import BusSettings
from edge.delivery import Delivery
from edge.frame import Frame
from edge.listener import CanfleetListener
from edge.rejected import Rejected
from edge.spool import Spool
from edge.uploader import Uploader


def report(frames: Sequence[Frame]) -> None:
    sys.stdout.write("".join(f"{frame.session} {frame.sequence} {frame.data.hex()}\n" for frame in frames))
    sys.stdout.flush()


def main() -> None:
    folder, vehicle, url, key, max_bytes, longest_pause_s = sys.argv[1:]
    # python-can warns of each frame that comes in two pieces.
    logging.getLogger("can").setLevel(logging.ERROR)
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Spool(Path(folder), vehicle, max_bytes=int(max_bytes)) as spool:
        listener = CanfleetListener(spool, on_taken=report)
        backoff = Backoff(longest_s=float(longest_pause_s))
        uploader = Uploader(spool, Delivery(url, lambda: key), Rejected(spool.directory), backoff=backoff)
        agent = Agent(BusSettings("socketcand", "can0"), listener, uploader, spool, drain_s=60.0)
        all_sent = agent.run(stop)
        print(json.dumps({**agent.counts(), "all_sent": all_sent}))


if __name__ == "__main__":
    main()
