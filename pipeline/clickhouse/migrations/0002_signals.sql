-- One row per decoded value, NaN and infinities included. Sorted for the history of one signal.
-- merge_selector_base: parts wait until more of them can be merged at once, which halves the rewriting of rows.
CREATE TABLE IF NOT EXISTS signals
(
    fleet LowCardinality(String),
    vehicle_id LowCardinality(String),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    message LowCardinality(String),
    signal LowCardinality(String),
    value Float64 CODEC(ZSTD(1)),
    stored_on Date MATERIALIZED today() CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toMonday(timestamp)
ORDER BY (fleet, vehicle_id, signal, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, merge_selector_base = 16,
    storage_policy = '${storage_policy}';
