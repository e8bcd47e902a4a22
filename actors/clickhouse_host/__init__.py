"""The embedded ClickHouse: chDB, the engine as a library, behind a subset of ClickHouse's HTTP interface."""
