"""The platform's own process, `python -m canfleet.platform_process`: what `canfleet up` starts and watches."""

from __future__ import annotations

import os
import queue
import signal
import sys

from canfleet.binding import end_with_parent
from canfleet.supervisor import BOOTSTRAP_KEY, CONFIG
from pipeline.config import CanfleetConfig
from pipeline.errors import CanfleetError
from pipeline.logs.handler import set_up_logs


def main() -> None:
    """Run a platform until SIGTERM; an error that canfleet foresees is one line and exit status 1."""
    try:
        config = CanfleetConfig.model_validate_json(os.environ.pop(CONFIG))
        set_up_logs(config.logging, "platform")
        # On a cluster the platform lives on without this process; drained by SIGTERM it would not.
        end_with_parent(signal.SIGTERM if config.ray.address is None else signal.SIGKILL)
        _run(config, os.environ.pop(BOOTSTRAP_KEY) or None)
    except CanfleetError as error:
        print(f"canfleet: {error}", file=sys.stderr)
        sys.exit(1)


def _run(config: CanfleetConfig, bootstrap_key: str | None) -> None:
    from canfleet.runtime import running_platform

    received: queue.SimpleQueue[int] = queue.SimpleQueue()

    def listen() -> None:
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: received.put(number))

    with running_platform(config, bootstrap_key, listen) as platform:
        for fault in platform.faults:
            print(f"canfleet: {fault}", file=sys.stderr, flush=True)
        if not platform.faults:
            print(f"canfleet is ready: {platform.url}", flush=True)
        while received.get() == signal.SIGHUP:
            print("replacing the replicas of the HTTP API", flush=True)
            platform.roll()
            print("replaced", flush=True)
        print("draining", flush=True)
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
