"""`canfleet upload` with a vehicle of its own on a virtual bus: `python edge_command.py OPTION...`."""

from __future__ import annotations

import time
from threading import Thread

import can
import typer

from canfleet.commands.upload import upload


def drive() -> None:
    with can.Bus(interface="virtual", channel="can4") as bus:
        while True:
            bus.send(can.Message(arbitration_id=0x123, is_extended_id=False, data=b"\x01"))
            time.sleep(0.01)


if __name__ == "__main__":
    Thread(target=drive, daemon=True).start()
    typer.run(upload)
