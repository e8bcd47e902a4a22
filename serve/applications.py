"""The applications as `serve deploy deploy/serve.yaml` imports them, for a cluster on which the actors run already."""

from __future__ import annotations

from typing import Final

from ray.serve import Application

from actors.platform_client import PlatformClient
from pipeline.config import CanfleetConfig
from serve.deploy import build_apps

_BY_NAME: Final[dict[str, Application]] = {
    app.name: app.target for app in build_apps(CanfleetConfig(), PlatformClient.connect)
}

frames: Final = _BY_NAME["frames"]
logs: Final = _BY_NAME["logs"]
query: Final = _BY_NAME["query"]
