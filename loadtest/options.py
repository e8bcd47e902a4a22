"""Options of the scenarios, beside locust's own; a master hands them on to its workers."""

from __future__ import annotations

from typing import Any, Final

from locust import events
from locust.argument_parser import LocustArgumentParser

from loadtest.thresholds import OPTIONS

_BOUNDS: Final = {
    "--max-p99-ms": "most for the 99th percentile of acknowledgements",
    "--max-failures": "most requests that may fail after retries, as a ratio",
    "--min-share": "least of the work due that must be done, as a ratio",
    "--min-per-s": "least frames, or requests, done in a second",
}


@events.init_command_line_parser.add_listener
def _add(parser: LocustArgumentParser, **_: object) -> None:
    parser.add_argument("--key", env_var="CANFLEET_KEY", default="", is_secret=True, help="an API key")
    parser.add_argument("--vehicles-per-user", type=int, default=100, help="of each user that sends (default: 100)")
    parser.add_argument("--hz", type=float, default=5.0, help="frames a second of each vehicle (default: 5)")
    parser.add_argument("--open-s", type=float, default=15.0, help="reconnect-storm: seconds between two tunnels")
    parser.add_argument("--away-s", type=float, default=20.0, help="reconnect-storm: seconds in a tunnel")
    parser.add_argument("--summary", default="", help="write what came of the run to this file, as JSON")
    for option in OPTIONS:
        name = "LOAD_" + option.strip("-").replace("-", "_").upper()
        parser.add_argument(option, env_var=name, default="", help=f"{_BOUNDS[option]}; NUMBER or KIND=NUMBER,…")


def bounds(options: Any) -> dict[str, str | None]:  # noqa: ANN401 - an argparse namespace
    """The thresholds that were given, by option."""
    return {option: getattr(options, option.strip("-").replace("-", "_")) for option in OPTIONS}
