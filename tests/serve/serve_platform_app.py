"""Starts Ray, HAProxy and the whole HTTP face before a stand-in backend actor; for the test that uses real sockets.

    python serve_platform_app.py PORT FOLDER [SERVER]

SERVER are further settings of `server`, as JSON.
Prints one JSON line when it serves, then waits until standard input ends.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    port, folder, more = int(sys.argv[1]), Path(sys.argv[2]), json.loads(next(iter(sys.argv[3:]), "{}"))
    from pipeline.config import CanfleetConfig, ServerSettings
    from serve.haproxy import environment

    config = CanfleetConfig(server=ServerSettings.model_validate({"port": port} | more))
    added = environment(folder / "h", config.server)
    os.environ |= added | {"RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}

    import ray

    from serve import deploy

    ray.init(
        num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False, object_store_memory=80 << 20
    )
    base_url = deploy.start(config, lambda: connect(str(folder), config))
    ports = {name: int(added[f"RAY_SERVE_HAPROXY_{name}_PORT"]) for name in ("METRICS", "STATS")}
    sys.stdout.write(json.dumps({"url": base_url, **ports}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()  # ends when the parent closes it, or dies
    deploy.stop()
    ray.shutdown()


async def connect(folder: str, config: Any) -> Any:
    from serve_stand_in import StandIn

    return StandIn(Path(folder), config)


if __name__ == "__main__":
    main()
