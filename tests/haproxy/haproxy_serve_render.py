"""Writes the configuration that Serve would, without Ray: `python haproxy_serve_render.py FOLDER PORT PROXY REPLICA...`

PROXY is the one trusted proxy, or `-`; each REPLICA a port. Prints the wrapper's path and the configuration's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    folder, port, proxy, *replicas = sys.argv[1:]
    from pipeline.config import ServerSettings
    from serve.haproxy import environment

    settings = ServerSettings.model_validate({"trusted_proxies": [] if proxy == "-" else [proxy]})
    os.environ |= environment(Path(folder), settings)

    from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
    from ray.serve.config import HTTPOptions

    made = HAProxyConfig(
        http_options=HTTPOptions(host="127.0.0.1", port=int(port), keep_alive_timeout_s=75), has_received_routes=True
    )
    backends = {}
    for name, prefix in (("http-frames", "/v1/frames"), ("http-query", "/")):
        servers = [ServerConfig(f"r{i}", "127.0.0.1", int(replica)) for i, replica in enumerate(replicas)]
        backends[name] = BackendConfig(
            name, prefix, servers=servers, app_name=name, http_health_check_path="/-/healthz"
        )
    HAProxyApi(made, backends)._generate_config_file_internal()
    Path(folder, "server-state").touch()
    print(os.environ["RAY_SERVE_HAPROXY_BINARY_PATH"], os.environ["RAY_SERVE_HAPROXY_CONFIG_FILE_LOC"])


if __name__ == "__main__":
    main()
