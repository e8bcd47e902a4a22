-- Minutes and hours of every signal. The materialised views only reshape: rows collapse by sort key when the insert
-- into the AggregatingMergeTree sorts them, which costs less than half of a GROUP BY over hundreds of thousands of
-- groups. `last` is the value with the newest timestamp: the timestamp in the high 64 bits, the value's own bits in
-- the low ones, so that a plain maximum keeps it, whatever order rows come in.
CREATE TABLE IF NOT EXISTS signals_1m_states
(
    fleet LowCardinality(String),
    vehicle_id LowCardinality(String),
    signal LowCardinality(String),
    message LowCardinality(String),
    timestamp DateTime('UTC') CODEC(Delta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) CODEC(ZSTD(1)),
    sum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    last SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    stored_on SimpleAggregateFunction(max, Date) DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfMonth(timestamp)
ORDER BY (fleet, vehicle_id, signal, message, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, storage_policy = '${storage_policy}';

CREATE TABLE IF NOT EXISTS signals_1h_states
(
    fleet LowCardinality(String),
    vehicle_id LowCardinality(String),
    signal LowCardinality(String),
    message LowCardinality(String),
    timestamp DateTime('UTC') CODEC(Delta, ZSTD(1)),
    count SimpleAggregateFunction(sum, UInt64) CODEC(ZSTD(1)),
    min SimpleAggregateFunction(min, Float64) CODEC(ZSTD(1)),
    max SimpleAggregateFunction(max, Float64) CODEC(ZSTD(1)),
    sum SimpleAggregateFunction(sum, Float64) CODEC(ZSTD(1)),
    last SimpleAggregateFunction(max, UInt128) CODEC(ZSTD(1)),
    stored_on SimpleAggregateFunction(max, Date) DEFAULT today() CODEC(ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toStartOfYear(timestamp)
ORDER BY (fleet, vehicle_id, signal, message, timestamp)
SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, storage_policy = '${storage_policy}';

CREATE MATERIALIZED VIEW IF NOT EXISTS signals_to_1m TO signals_1m_states AS
SELECT
    fleet,
    vehicle_id,
    signal,
    message,
    toStartOfMinute(s.timestamp) AS timestamp,
    toUInt64(1) AS count,
    value AS min,
    value AS max,
    value AS sum,
    bitOr(bitShiftLeft(toUInt128(toUnixTimestamp64Micro(s.timestamp)), 64), reinterpretAsUInt64(value)) AS last
FROM signals AS s
WHERE isFinite(value);

CREATE MATERIALIZED VIEW IF NOT EXISTS signals_1m_to_1h TO signals_1h_states AS
SELECT fleet, vehicle_id, signal, message, toStartOfHour(s.timestamp) AS timestamp, count, min, max, sum, last
FROM signals_1m_states AS s;

CREATE VIEW IF NOT EXISTS signals_1m AS
SELECT
    fleet,
    vehicle_id,
    timestamp,
    message,
    signal,
    sum(s.count) AS count,
    min(s.min) AS min,
    max(s.max) AS max,
    sum(s.sum) / sum(s.count) AS mean,
    reinterpretAsFloat64(toUInt64(max(s.last))) AS last
FROM signals_1m_states AS s
GROUP BY fleet, vehicle_id, signal, message, timestamp;

CREATE VIEW IF NOT EXISTS signals_1h AS
SELECT
    fleet,
    vehicle_id,
    timestamp,
    message,
    signal,
    sum(s.count) AS count,
    min(s.min) AS min,
    max(s.max) AS max,
    sum(s.sum) / sum(s.count) AS mean,
    reinterpretAsFloat64(toUInt64(max(s.last))) AS last
FROM signals_1h_states AS s
GROUP BY fleet, vehicle_id, signal, message, timestamp;
