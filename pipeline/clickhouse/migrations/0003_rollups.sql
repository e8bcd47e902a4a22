-- Minutes and hours of every signal. The shards gather the values of several inserts and send one row for each series
-- and minute, which costs a tenth of a view that follows every insert. The view below only reshapes: rows collapse by
-- sort key when the insert into the AggregatingMergeTree sorts them. `last` is the value with the newest timestamp: the
-- timestamp in the high 64 bits, the value's own bits in the low ones, so that a plain maximum keeps it, whatever order
-- rows come in.
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
