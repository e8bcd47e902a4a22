"""`canfleet smoke`: one frame through a running platform, from the acknowledgement to the history."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from canfleet import api
from pipeline.errors import CanfleetError

_T = TypeVar("_T")
_POLL_S: Final = 0.5
_MARGIN_US: Final = 1_000_000
VEHICLE: Final = "smoke-test"
"""The vehicle that the frame is from."""


def smoke(
    key: Annotated[str, typer.Option(envvar="CANFLEET_KEY", help="A key with every scope, of a fleet for tests.")],
    url: api.Url = api.DEFAULT_URL,
    frame: Annotated[
        str, typer.Option(help="As candump has it, ID#DATA: a frame that the platform's databases decode.")
    ] = "100#0102030405060708",
    expect_version: Annotated[str | None, typer.Option(help="Fail where another version answers.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds until all of it must be there.")] = 60.0,
    as_json: api.Json = False,
) -> None:
    """Send one frame and follow it: ready, version, acknowledged, in the latest values, in the history.

    Exits 1 with one line that says which of these failed. It leaves one frame a run behind, of vehicle smoke-test.
    """
    until = time.monotonic() + timeout
    sent = _frame(frame)
    _eventually(until, "the platform is ready", lambda: _get(url, "/readyz", key)["ready"])
    version = _get(url, "/v1/status", key)["version"]
    if expect_version is not None and version != expect_version:
        raise CanfleetError(f"{url} answers with version {version}, not {expect_version}")
    began = time.monotonic()
    answer = api.call("POST", url, "/v1/frames", key, body=[sent], timeout_s=10)
    if answer["accepted"] != 1:
        raise CanfleetError(f"{url} did not accept the frame: {json.dumps(answer)}")
    acknowledged_s = time.monotonic() - began
    at = sent["timestamp"]
    latest = _eventually(until, "the frame is in the latest values", lambda: _latest(url, key, at))
    signals = [one["signal"] for one in latest["signals"] if one["timestamp"] == at]
    if not signals:
        raise CanfleetError(f"no database of the platform decodes {frame}: name a frame of yours with --frame")
    _eventually(until, f"{signals[0]} is in the history", lambda: _stored(url, key, signals[0], at))
    told = {"version": version, "acknowledged_s": acknowledged_s, "stored_s": time.monotonic() - began}
    if as_json:
        typer.echo(json.dumps(told))
    else:
        typer.echo(
            f"{url}, version {version}: acknowledged after {acknowledged_s:.3f} s, in the history after "
            f"{told['stored_s']:.1f} s"
        )


def _frame(text: str) -> dict[str, Any]:
    arbitration_id, _, data = text.partition("#")
    try:
        number, _ = int(arbitration_id, 16), bytes.fromhex(data)
    except ValueError as error:
        raise CanfleetError(f"{text!r} is no frame: write ID#DATA in hexadecimal, as 100#0102030405060708") from error
    return {
        "vehicle_id": VEHICLE,
        "timestamp": time.time_ns() // 1000,
        "arbitration_id": number,
        "is_extended": len(arbitration_id) > 3,
        "data": data,
    }


def _get(url: str, path: str, key: str, **query: object) -> dict[str, Any]:
    answer: dict[str, Any] = api.get(url, path, key, query, timeout_s=10)
    return answer


def _latest(url: str, key: str, at: int) -> dict[str, Any] | None:
    latest = _get(url, f"/v1/vehicles/{VEHICLE}/latest", key)
    return latest if latest["last_seen"] >= at else None


def _stored(url: str, key: str, signal: str, at: int) -> bool:
    """Whether ClickHouse has it: while it is away, the history is answered from live state and says so."""
    path = f"/v1/vehicles/{VEHICLE}/signals/{signal}"
    answer = _get(url, path, key, **{"from": at, "to": at + _MARGIN_US})
    return bool(answer["points"]) and not answer["partial"]


def _eventually(until: float, what: str, look: Callable[[], _T | None]) -> _T:
    """What `look` returns once it is true.

    Raises:
        CanfleetError: it is not by `until`, with what it last said.
    """
    while True:
        try:
            if found := look():
                return found
            said = "not yet"
        except CanfleetError as error:
            said = str(error)
        if time.monotonic() > until:
            raise CanfleetError(f"not so in time: {what} ({said})")
        time.sleep(_POLL_S)
