"""`python -m loadtest SCENARIO --url URL`: a scenario against a running platform, its report, and the ledger after it.

Exits 1 where a threshold was missed or the ledger disagrees.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from loadtest.catalogue import SCENARIOS, Scenario
from loadtest.ledger import Ledger, LedgerError, disagreements


def arguments_of(program: str, *, url: bool) -> argparse.ArgumentParser:
    """The options of a load test; with `url`, that of the platform too."""
    names = "\n".join(f"  {one.name:16} {one.models}" for one in SCENARIOS.values())
    parser = argparse.ArgumentParser(
        prog=program,
        description=f"Load tests. Scenarios:\n{names}",
        epilog="Further options are locust's and those in loadtest/options.py: --processes 2 --max-p99-ms batches=300",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("scenario", choices=SCENARIOS, metavar="SCENARIO")
    parser.add_argument("--users", type=int, help="locust users (default: by scenario)")
    parser.add_argument("--vehicles", type=int, help="vehicles of all users together (default: by scenario)")
    parser.add_argument("--rate", type=float, help="frames/s of all vehicles together (default: by scenario)")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--out", type=Path, help="folder of the report (default: a new one)")
    if url:
        parser.add_argument("--url", required=True, help="of the platform; its key is in CANFLEET_KEY, or --key")
        parser.add_argument("--key", default=os.environ.get("CANFLEET_KEY", ""), help=argparse.SUPPRESS)
        parser.add_argument("--alone", action="store_true", help="nobody else sends to the key's fleet")
    return parser


def main() -> int:
    """Run it."""
    arguments, further = arguments_of("python -m loadtest", url=True).parse_known_args()
    if not arguments.key:
        print("loadtest: give a key: CANFLEET_KEY, or --key", file=sys.stderr)
        return 2
    out = arguments.out or Path(tempfile.mkdtemp(prefix="canfleet-load-"))
    out.mkdir(parents=True, exist_ok=True)
    summary = out / "summary.json"
    summary.unlink(missing_ok=True)
    ledger = Ledger(arguments.url, arguments.key)
    try:
        before = ledger.totals()
        command = locust_command(SCENARIOS[arguments.scenario], arguments, out, further)
        status = subprocess.run(command, env=os.environ | {"CANFLEET_KEY": arguments.key}, check=False).returncode
        if not summary.exists():
            return status or 1
        print(f"report: {out}/report.html")
        kinds = json.loads(summary.read_text())["kinds"]
        wrong = disagreements(before, ledger.settled(), kinds, alone=arguments.alone)
        found = ledger.reconciliation()
    except LedgerError as error:
        print(f"loadtest: {error}", file=sys.stderr)
        return 1
    if not found["agrees"]:
        wrong.append(f"ClickHouse disagrees with the ledger: {found['difference']}")
    for line in wrong:
        print(f"ledger: {line}")
    if not wrong:
        print(f"ledger and ClickHouse agree: {found['frames']:,} frames from {found['from']}")
    return 1 if wrong or status else 0


def locust_command(scenario: Scenario, arguments: argparse.Namespace, out: Path, further: list[str]) -> list[str]:
    """The command line of locust."""
    users = arguments.users or scenario.users
    sizes = scenario.options(users, arguments.vehicles or scenario.vehicles, arguments.rate or scenario.rate)
    return [
        *(sys.executable, "-m", "locust", "-f", str(scenario.file), "--host", arguments.url),
        *("--headless", "--only-summary", "--users", str(users), "--spawn-rate", str(users)),
        *("--run-time", f"{max(1, round(arguments.minutes * 60))}s", "--stop-timeout", "90"),
        *(part for option, value in sizes.items() for part in (option, str(value))),
        *("--html", str(out / "report.html"), "--csv", str(out / "report")),
        *("--summary", str(out / "summary.json")),
        *further,
    ]


if __name__ == "__main__":
    sys.exit(main())
