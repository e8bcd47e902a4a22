-- What could not be accepted, with the text to look at, mend and send again.
CREATE TABLE IF NOT EXISTS dead_letters
(
    fleet LowCardinality(String),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    stage LowCardinality(String),
    reason LowCardinality(String),
    payload String CODEC(ZSTD(3)),
    request_id String CODEC(ZSTD(1)),
    stored_on Date MATERIALIZED today() CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toMonday(received_at)
ORDER BY (fleet, received_at)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, storage_policy = '${storage_policy}';
