-- One row per frame, as it came. Sorted for "what did this vehicle send at that time".
-- stored_on is what TTLs count from: rows of an old log that is replayed today are kept like any others.
-- merge_selector_base: parts wait until more of them can be merged at once, which halves the rewriting of rows.
CREATE TABLE IF NOT EXISTS frames
(
    fleet LowCardinality(String),
    vehicle_id LowCardinality(String),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    session Nullable(UInt32) CODEC(ZSTD(1)),
    sequence Nullable(UInt64) CODEC(DoubleDelta, ZSTD(1)),
    channel UInt8 CODEC(ZSTD(1)),
    arbitration_id UInt32 CODEC(ZSTD(1)),
    is_extended Bool CODEC(ZSTD(1)),
    data String CODEC(ZSTD(1)),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_on Date MATERIALIZED today() CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toMonday(timestamp)
ORDER BY (fleet, vehicle_id, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, merge_selector_base = 16,
    storage_policy = '${storage_policy}';
