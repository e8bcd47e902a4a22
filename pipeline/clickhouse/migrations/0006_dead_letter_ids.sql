-- A dead letter's id: its time of receipt in microseconds, then a hash of the whole row. An alias, so rows stored before
-- this migration have theirs too and none takes room; the time leads to the row by the table's own sort key.
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS id String ALIAS concat(
    toString(toUnixTimestamp64Micro(received_at)),
    '-',
    leftPad(lower(hex(sipHash64(fleet, stage, reason, payload, request_id))), 16, '0')
);

-- What became of the dead letters that are no longer there: `replayed` or `purged`. A mark is written before its row is
-- deleted, so that a removal which was cut short is seen, and can be done again.
CREATE TABLE IF NOT EXISTS dead_letter_marks
(
    fleet LowCardinality(String),
    received_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    id String CODEC(ZSTD(1)),
    state LowCardinality(String),
    marked_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    stored_on Date MATERIALIZED today() CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(marked_at)
PARTITION BY toMonday(received_at)
ORDER BY (fleet, received_at, id)
SETTINGS ttl_only_drop_parts = 1, storage_policy = '${storage_policy}';
