"""The engine's configuration file: volumes, a memory cap, and background work sized for a small machine."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

STORAGE_POLICY: Final = "hot_cold"
"""Name of the storage policy that every embedded engine has."""


def server_config(hot: Path, cold_disk: str, memory_bytes: int) -> str:
    """The XML document.

    Args:
        hot: folder of new data.
        cold_disk: the disk of data that a TTL has moved, as XML: see `cold_volume`.
        memory_bytes: of the whole process; a query that would exceed it fails.
    """
    return f"""<clickhouse>
    <max_server_memory_usage>{memory_bytes}</max_server_memory_usage>
    <mark_cache_size>134217728</mark_cache_size>
    <background_pool_size>2</background_pool_size>
    <background_merges_mutations_concurrency_ratio>2</background_merges_mutations_concurrency_ratio>
    <background_move_pool_size>1</background_move_pool_size>
    <background_common_pool_size>2</background_common_pool_size>
    <background_schedule_pool_size>4</background_schedule_pool_size>
    <merge_tree>
        <number_of_free_entries_in_pool_to_execute_mutation>1</number_of_free_entries_in_pool_to_execute_mutation>
        <number_of_free_entries_in_pool_to_lower_max_size_of_merge>1</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
        <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>1</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
    </merge_tree>
    <storage_configuration>
        <disks>
            <hot><type>local</type><path>{escape(str(hot))}/</path></hot>
            {cold_disk}
        </disks>
        <policies>
            <{STORAGE_POLICY}>
                <volumes><hot><disk>hot</disk></hot><cold><disk>cold</disk></cold></volumes>
            </{STORAGE_POLICY}>
        </policies>
    </storage_configuration>
</clickhouse>
"""
