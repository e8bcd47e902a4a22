"""A vehicle in a process of its own, to be killed: `python edge_vehicle.py SPOOL URL`. Prints what it has taken."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

import can

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


def send_forever(channel: str) -> None:
    count = 0
    with can.Bus(interface="virtual", channel=channel) as bus:
        while True:
            for _ in range(random.randrange(20)):
                data = random.randbytes(random.randrange(9))
                bus.send(can.Message(arbitration_id=count % 0x800, is_extended_id=False, data=data))
                count += 1
            time.sleep(0.005)


def main() -> None:
    directory = Path(sys.argv[1])
    with Spool(directory, "truck-7", batch_frames=50, batch_age_s=0.1) as spool:
        listener = CanfleetListener(spool, sync_interval_s=0.02, on_taken=report)
        delivery = Delivery(sys.argv[2], lambda: "cf_key")
        uploader = Uploader(spool, delivery, Rejected(directory), backoff=Backoff(first_s=0.01, longest_s=0.1))
        Thread(target=send_forever, args=("killed",), daemon=True).start()
        Agent(BusSettings("virtual", "killed"), listener, uploader, spool).run(Event())


if __name__ == "__main__":
    main()
