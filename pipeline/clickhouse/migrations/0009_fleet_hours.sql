-- The hours of a signal over all vehicles of a fleet together. A month of them is 720 rows; from the hours of ten thousand
-- vehicles it would be seven million, spread over the whole table.
-- The rows of before come once: sent again after a crash, the same blocks are known by their token.
CREATE TABLE IF NOT EXISTS fleet_signals_1h_states
(
    fleet LowCardinality(String),
    signal LowCardinality(String),
    message LowCardinality(String),
    timestamp DateTime('UTC') CODEC(Delta, Default),
    count SimpleAggregateFunction(sum, UInt64) CODEC(Default),
    min SimpleAggregateFunction(min, Float64) CODEC(Default),
    max SimpleAggregateFunction(max, Float64) CODEC(Default),
    sum SimpleAggregateFunction(sum, Float64) CODEC(Default),
    stored_on SimpleAggregateFunction(max, Date) DEFAULT today() CODEC(Default)
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfYear(timestamp)
ORDER BY (fleet, signal, message, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, storage_policy = '${storage_policy}',
    fsync_after_insert = 1, fsync_part_directory = 1, default_compression_codec = 'ZSTD(1)',
    materialize_ttl_recalculate_only = 1;

INSERT INTO fleet_signals_1h_states (fleet, signal, message, timestamp, count, min, max, sum, stored_on)
SELECT
    fleet,
    signal,
    message,
    timestamp,
    sum(s.count) AS count,
    min(s.min) AS min,
    max(s.max) AS max,
    sum(s.sum) AS sum,
    max(s.stored_on) AS stored_on
FROM signals_1h_states AS s
GROUP BY fleet, signal, message, timestamp
ORDER BY ALL
SETTINGS insert_deduplication_token = 'fleet hours of before', max_threads = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS signals_1h_to_fleet TO fleet_signals_1h_states AS
SELECT fleet, signal, message, s.timestamp AS timestamp, count, min, max, sum
FROM signals_1h_states AS s;

CREATE VIEW IF NOT EXISTS fleet_signals_1h AS
SELECT
    fleet,
    timestamp,
    message,
    signal,
    sum(s.count) AS count,
    min(s.min) AS min,
    max(s.max) AS max,
    sum(s.sum) / sum(s.count) AS mean
FROM fleet_signals_1h_states AS s
GROUP BY fleet, signal, message, timestamp;
