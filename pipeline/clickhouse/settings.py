"""Settings of the warehouse: where ClickHouse is, and how long it keeps what."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeepSettings(_Section):
    """How long one table's rows stay, counted from the day they were stored, not from event time: an old log that is
    replayed today is kept as long as anything else."""

    hot_days: int | None = Field(default=None, ge=1)
    """Days before rows move to the cold volume; None: they never move. Unused without a storage policy."""
    cold_zstd: int | None = Field(default=6, ge=1, le=22)
    """Level of ZSTD that rows are compressed with anew, a day before they move; None: they move as they are."""
    days: int | None = Field(default=None, ge=1)
    """Days before rows are deleted; None: never."""


class FleetDays(_Section):
    """Days before the rows of one fleet are deleted, by kind of data; None: with everybody's."""

    frames: int | None = Field(default=None, ge=1)
    signals: int | None = Field(default=None, ge=1)
    signals_1m: int | None = Field(default=None, ge=1)
    signals_1h: int | None = Field(default=None, ge=1)
    anomalies: int | None = Field(default=None, ge=1)
    dead_letters: int | None = Field(default=None, ge=1)


class RetentionSettings(_Section):
    """How long each kind of data stays."""

    frames: KeepSettings = KeepSettings(hot_days=7, days=90)
    signals: KeepSettings = KeepSettings(hot_days=30, days=365)
    signals_1m: KeepSettings = KeepSettings(hot_days=90, days=2 * 365)
    signals_1h: KeepSettings = KeepSettings(hot_days=365)
    anomalies: KeepSettings = KeepSettings(hot_days=90, days=2 * 365)
    dead_letters: KeepSettings = KeepSettings(days=90)
    fleets: dict[str, FleetDays] = Field(default_factory=dict)
    """Fleets that keep their data for a shorter time. Tables with such rows are written anew once a day as they end,
    where those without drop whole parts."""

    @model_validator(mode="after")
    def _shorter_only(self) -> Self:
        for fleet, own in self.fleets.items():
            for kind, days in own:
                most = getattr(self, kind).days
                if days is not None and most is not None and days >= most:
                    raise ValueError(
                        f"fleet {fleet} would keep {kind} {days} days, but they are deleted after {most}: a fleet's "
                        "retention can only be shorter"
                    )
        return self

    def days_of(self, kind: str, fleet: str | None = None) -> int | None:
        """Days that rows of a kind stay, of a fleet or of those without a retention of their own; None: for ever."""
        own = self.fleets.get(fleet) if fleet is not None else None
        days: int | None = getattr(own, kind) if own is not None else None
        shared: int | None = getattr(self, kind).days
        return shared if days is None else days


class S3Settings(_Section):
    """An object store that speaks S3."""

    endpoint: str = Field(pattern=r"^https?://.+/$")
    """Bucket and prefix, such as `https://fleet-cold.s3.eu-central-1.amazonaws.com/canfleet/`."""
    access_key_id: str = ""
    """Empty: from the environment (`AWS_ACCESS_KEY_ID` …) or the machine's role."""
    secret_access_key: str = Field(default="", repr=False)
    region: str = ""


class ColdSettings(_Section):
    """Where the embedded ClickHouse keeps its cold volume; a server of yours has its own configuration."""

    folder: Path | None = None
    """A folder, perhaps of another disk; None: `cold` beside the hot one."""
    s3: S3Settings | None = None
    """An object store, instead of a folder."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.folder is not None and self.s3 is not None:
            raise ValueError("folder and s3 exclude each other")
        return self


class CostSettings(_Section):
    """What storage costs, for `canfleet storage`: defaults are list prices of AWS, us-east-1."""

    hot_usd_per_gb_month: float = Field(default=0.08, ge=0)
    """Of 10^9 bytes; an SSD volume (EBS gp3)."""
    cold_usd_per_gb_month: float = Field(default=0.023, ge=0)
    """S3 Standard, requests not counted."""


class WarehouseSettings(_Section):
    """A ClickHouse, reached over its HTTP interface."""

    url: str | None = None
    """Such as `https://clickhouse.example:8443`; None: canfleet hosts one itself."""
    user: str = "default"
    password: str = Field(default="", repr=False)
    """Of `user`; for the embedded ClickHouse, the password that it asks for. Empty: none."""
    database: str = Field(default="canfleet", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    storage_policy: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Policy with the volumes `hot` and `cold`; None: one volume, nothing moves. The embedded one has `hot_cold`."""
    connect_timeout_s: int = Field(default=5, ge=1)
    timeout_s: int = Field(default=60, ge=1)
    """For one statement, insert or query."""
    retention: RetentionSettings = RetentionSettings()
    cold: ColdSettings = ColdSettings()
    """Of the embedded one; unused with `url`."""
    cost: CostSettings = CostSettings()
