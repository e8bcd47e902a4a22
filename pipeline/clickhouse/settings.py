"""Settings of the warehouse: where ClickHouse is, and how long it keeps what."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeepSettings(_Section):
    """How long one table's rows stay, counted from the day they were stored, not from event time: an old log that is
    replayed today is kept as long as anything else."""

    hot_days: int | None = Field(default=None, ge=1)
    """Days before rows move to the cold volume; None: they never move. Unused without a storage policy."""
    days: int | None = Field(default=None, ge=1)
    """Days before rows are deleted; None: never."""


class RetentionSettings(_Section):
    """How long each kind of data stays."""

    frames: KeepSettings = KeepSettings(hot_days=7, days=90)
    signals: KeepSettings = KeepSettings(hot_days=30, days=365)
    signals_1m: KeepSettings = KeepSettings(hot_days=90, days=2 * 365)
    signals_1h: KeepSettings = KeepSettings(hot_days=365)
    anomalies: KeepSettings = KeepSettings(hot_days=90, days=2 * 365)
    dead_letters: KeepSettings = KeepSettings(days=90)


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
