"""The configuration file: one YAML document, every key optional, unknown keys refused."""

from __future__ import annotations

import os
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.anomalies.settings import AnomalySettings
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.dedup.settings import DuplicateSettings
from pipeline.errors import ConfigError
from pipeline.frames.limits import FrameLimits
from pipeline.history.settings import HistorySettings
from pipeline.journal.settings import JournalSettings
from pipeline.lanes.settings import LaneSettings
from pipeline.limits.settings import RateLimitSettings
from pipeline.logs.settings import LoggingSettings
from pipeline.privacy.settings import PrivacySettings
from pipeline.scaling import ScalingSettings
from pipeline.tracing.settings import TracingSettings
from pipeline.windows.settings import WindowSettings


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AccessLogSettings(_Section):
    """Where each answered request leaves one line of JSON: see `serve/access_log.py`."""

    path: Path
    """The file. Full, it becomes `path` with `.1` behind it, and what was that is gone."""
    max_bytes: int = Field(default=256 << 20, ge=1 << 16)
    """Size at which the file counts as full: the log takes twice as much at most."""
    sample: float = Field(default=1.0, gt=0, le=1)
    """Share of the requests that are logged, picked by chance."""


class ServerSettings(_Section):
    """Where the HTTP API listens."""

    host: str = "127.0.0.1"
    """Address to bind; loopback unless you ask for more."""
    port: int = 8080
    gateways: int = Field(default=1, ge=1)
    """Gateway replicas: each is one process that parses and routes requests."""
    max_gateways: int | None = Field(default=None, ge=1)
    """So many at most where their number follows how busy they are, `gateways` at least; fixed where absent."""
    max_queries: int | None = Field(default=None, ge=1)
    """The same for the replicas that answer queries, one at least."""
    cpus_per_replica: float = Field(default=0.01, ge=0)
    """Processors that Ray reserves for each; with 1, its autoscaler adds nodes. With 0 Ray places them by chance."""
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    """Addresses or networks of proxies in front, and of the cluster's nodes where it has several: only what comes from
    there may say, in the last field of `X-Forwarded-For`, which client it comes from."""
    access_log: AccessLogSettings | None = None
    """No log of requests unless you ask for one: it holds who sent what when, and grows with every request."""

    @property
    def base_url(self) -> str:
        """Where a client on this machine reaches the API."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class RaySettings(_Section):
    """Which Ray cluster to use."""

    address: str | None = None
    """A running cluster's address, or `auto`; without it a local Ray is started and stopped with the platform."""
    nodes: int = Field(default=1, ge=1)
    """On a cluster: so many nodes must have joined before a new platform is spread over them; two minutes at most."""
    dashboard_port: int = 8265


class ShardSettings(_Section):
    """How the partitions are spread and what one shard may hold."""

    partitions: int = Field(default=16, ge=1, le=65536)
    """Logical partitions, fixed when a data directory is created."""
    shards: int = Field(default_factory=lambda: max(1, (os.cpu_count() or 1) // 2), ge=1)
    """Journals: each holds partitions / shards partitions, and is what moves from one partition actor to another. Fixed
    like the partitions; how many actors hold them: `scaling`."""
    max_in_flight_bytes: int = 1 << 20
    """Submissions on their way from one gateway to one shard and not yet answered; beyond it, requests get 503. Of
    5,000 frames about 90 KB are sent: it is enough for half a million frames per second at 100 ms."""
    max_queued_bytes: int = 16 << 20
    """Submissions waiting for their commit; beyond it, requests get 503 (by lane: `pipeline.lanes.lane.allowance`)."""
    max_unprocessed_bytes: int = 64 << 20
    """Committed frames that wait for decoding; beyond it, likewise."""
    max_cached_bytes: int = 512 << 20
    """Decoded rows that wait for ClickHouse in memory; beyond it they are read again from the journal."""
    flush_interval_s: float = 0.8
    """How long processed frames are gathered before one insert."""
    rollup_interval_s: float = 30.0
    """How long the values of a large fleet are gathered before the rollups learn of them."""
    flush_values: int = 2_000_000
    """Signal values that make an insert at once."""
    checkpoint_interval_s: float = 60.0


class DeadLetterSettings(_Section):
    """How much may wait to be mended."""

    max_rows: int = Field(default=1_000_000, ge=1)
    """Dead letters that a fleet may hold; beyond it, requests with bad rows get 503, those without go on."""


class ModelSettings(_Section):
    """A vehicle model with databases of its own."""

    dbc: tuple[Path, ...]
    vehicles: tuple[str, ...]
    """Globs over vehicle ids, such as `truck-*`."""


class CanfleetConfig(_Section):
    """Everything a deployment can be told."""

    data_dir: Path = Path("canfleet-data")
    server: ServerSettings = ServerSettings()
    ray: RaySettings = RaySettings()
    clickhouse: WarehouseSettings = WarehouseSettings()
    clickhouse_port: int = 8123
    """Port of the embedded ClickHouse (loopback only); unused when `clickhouse.url` is set."""
    dbc: tuple[Path, ...] = ()
    """Signal databases for every vehicle whose model names none."""
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    shard: ShardSettings = Field(default_factory=ShardSettings)
    scaling: ScalingSettings = ScalingSettings()
    journal: JournalSettings = JournalSettings()
    lanes: LaneSettings = LaneSettings()
    limits: FrameLimits = FrameLimits()
    rate_limits: RateLimitSettings = RateLimitSettings()
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    privacy: PrivacySettings = PrivacySettings()
    duplicates: DuplicateSettings = DuplicateSettings()
    windows: WindowSettings = WindowSettings()
    anomalies: AnomalySettings = AnomalySettings()
    history: HistorySettings = HistorySettings()
    tracing: TracingSettings = TracingSettings()
    logging: LoggingSettings = LoggingSettings()

    @property
    def clickhouse_url(self) -> str:
        """Where ClickHouse answers: yours, or the embedded one."""
        return self.clickhouse.url or f"http://127.0.0.1:{self.clickhouse_port}"

    def profiles(self) -> dict[str, tuple[Path, ...]]:
        """Database files by vehicle profile; `default` serves every vehicle that no model claims."""
        return {"default": self.dbc} | {name: model.dbc for name, model in self.models.items()}


def load_config(path: Path | None, overrides: dict[str, Any]) -> CanfleetConfig:
    """Read `path` (or the defaults) and lay `overrides` over it; a dotted key reaches into a section.

    Raises:
        ConfigError: the file is missing, no YAML mapping, or has an unknown or ill-typed key.
    """
    document: Any = {}
    if path is not None:
        try:
            document = yaml.safe_load(path.read_text()) or {}
        except OSError as error:
            raise ConfigError(f"configuration {path}: {error.strerror}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"configuration {path} is not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(document, dict):
            raise ConfigError(f"configuration {path} must be a mapping, not a {type(document).__name__}")
    for key, value in overrides.items():
        section = document
        *parents, name = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[name] = value
    try:
        return CanfleetConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"configuration {path or '(defaults)'}: {where}: {first['msg']}") from error
