"""The schema as numbered SQL files, applied once and in order by `pipeline.clickhouse.migrate`."""
