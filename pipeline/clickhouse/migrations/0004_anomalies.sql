-- An anomaly is inserted when it opens and whenever it has changed, closing included; each state has more violations
-- than the one before, or closes it, so `state` orders them however inserts are repeated or overtake each other.
CREATE TABLE IF NOT EXISTS anomalies_log
(
    fleet LowCardinality(String),
    vehicle_id LowCardinality(String),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    detected_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    kind LowCardinality(String),
    message LowCardinality(String),
    signal LowCardinality(String),
    arbitration_id Nullable(UInt32),
    value Float64,
    score Float64,
    detail String CODEC(ZSTD(1)),
    ended_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    count UInt64,
    closed Bool,
    id String,
    state UInt64 MATERIALIZED 2 * count + closed,
    stored_on Date MATERIALIZED today()
)
ENGINE = ReplacingMergeTree(state)
PARTITION BY toStartOfMonth(timestamp)
ORDER BY (fleet, timestamp, vehicle_id, id)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, storage_policy = '${storage_policy}';

CREATE VIEW IF NOT EXISTS anomalies AS
SELECT
    fleet,
    vehicle_id,
    timestamp,
    detected_at,
    kind,
    signal,
    value,
    score,
    detail,
    message,
    arbitration_id,
    ended_at,
    (toUnixTimestamp64Micro(ended_at) - toUnixTimestamp64Micro(timestamp)) / 1000 AS duration_ms,
    count,
    closed,
    id
FROM anomalies_log FINAL;
