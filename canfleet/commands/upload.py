"""`canfleet upload`: the vehicle's side, from a CAN bus to a platform."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Annotated

import typer

# What is imported here must be there with the extra `edge` alone: nothing of the platform's packages.
from edge.errors import EdgeError, SettingsError
from edge.spool import DEFAULT_MAX_BYTES, SMALLEST_BYTES


def upload(
    channel: Annotated[str, typer.Option(help="The bus, in python-can's words: can0, a serial port …")],
    vehicle: Annotated[str, typer.Option(help="Vehicle id, 1–64 characters.")],
    interface: Annotated[str, typer.Option(help="python-can's interface: socketcan, pcan, slcan …")] = "socketcan",
    url: Annotated[str, typer.Option(help="Base URL of the platform.")] = "http://127.0.0.1:8080",
    key: Annotated[str | None, typer.Option(envvar="CANFLEET_KEY", help="A key with scope ingest.")] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="The key's file instead, read anew for each request: the key may be rotated.")
    ] = None,
    bitrate: Annotated[
        int | None, typer.Option(min=1, help="Bits per second, where the interface sets it (not socketcan).")
    ] = None,
    fd: Annotated[bool, typer.Option("--fd", help="Take CAN FD frames too.")] = False,
    spool: Annotated[Path, typer.Option(help="Folder for what is not sent yet.")] = Path("canfleet-spool"),
    max_spool_bytes: Annotated[
        int, typer.Option(min=SMALLEST_BYTES, help="Bound of that folder; beyond it the oldest frames go.")
    ] = DEFAULT_MAX_BYTES,
    drain: Annotated[float, typer.Option(min=0.0, help="Seconds for the rest at the end.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Take every frame of a bus and send it, through outages and restarts, until Ctrl-C."""
    from edge.agent import Agent
    from edge.bus import BusSettings
    from edge.delivery import Delivery
    from edge.listener import CanfleetListener
    from edge.rejected import Rejected
    from edge.spool import Spool
    from edge.uploader import Uploader

    logging.getLogger("edge").addHandler(_Lines())
    stop = Event()

    def stop_soon(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop_soon)
    try:
        delivery = Delivery(url, _key(key, key_file))
        with Spool(spool, vehicle, max_bytes=max_spool_bytes) as opened:
            uploader = Uploader(opened, delivery, Rejected(spool))
            agent = Agent(
                BusSettings(interface, channel, bitrate, fd),
                CanfleetListener(opened),
                uploader,
                opened,
                drain_s=drain,
            )
            all_sent = agent.run(stop)
            counts = agent.counts()
    except EdgeError as error:
        typer.echo(f"canfleet upload: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps({**counts, "all_sent": all_sent}) if as_json else _words(counts, all_sent=all_sent))


class _Lines(logging.Handler):
    """Warnings and errors of the vehicle's side as lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"canfleet upload: {record.getMessage()}\n")
        sys.stderr.flush()


def _key(key: str | None, key_file: Path | None) -> Callable[[], str]:
    """How to get the key, now and later.

    Raises:
        SettingsError: there is none.
    """
    if key_file is not None:
        path = key_file

        def read() -> str:
            try:
                return path.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"key file {path} cannot be read: {error}") from error

        read()
        return read
    if not key:
        raise SettingsError("no key: give --key, --key-file or CANFLEET_KEY")
    given = key.strip()
    return lambda: given


def _words(counts: dict[str, int], *, all_sent: bool) -> str:
    lost = counts["missed"] + counts["dropped"]
    rest = "nothing waits" if all_sent else "the rest waits in the spool for the next start"
    return "\n".join(
        [
            f"taken      {counts['taken']:,} of {counts['received']:,} frames",
            f"sent       {counts['sent']:,} ({counts['duplicates']:,} duplicates, "
            f"{counts['dead_lettered']:,} dead letters) in {counts['requests']:,} requests, "
            f"{counts['failures']:,} of them in vain; {rest}",
            f"lost       {lost:,} ({counts['missed']:,} not taken, {counts['dropped']:,} dropped from a full spool)",
            f"put aside  {counts['rejected']:,}",
        ]
    )
