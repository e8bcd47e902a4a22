"""The user `dashboards`, as whom Grafana asks: it reads, within the limits of deploy/clickhouse/users.d/dashboards.xml.

chDB knows one user. Here every statement of `dashboards` gets that profile's settings and may change none; whose tables
it reads is not limited, as the profile's grants limit it on a server.
"""

from __future__ import annotations

from typing import Final

USER: Final = "dashboards"
LIMITS: Final = {
    "max_execution_time": "30",
    "timeout_overflow_mode": "throw",
    "max_memory_usage": "1000000000",
    "max_rows_to_read": "1000000000",
    "max_bytes_to_read": "20000000000",
    "read_overflow_mode": "throw",
    "max_result_rows": "100000",
    "max_result_bytes": "100000000",
    "result_overflow_mode": "throw",
    "max_rows_to_group_by": "10000000",
    "max_threads": "2",
    "max_concurrent_queries_for_user": "32",
}
"""Settings of every statement of that user, whatever it asks for; beyond a limit a statement fails and says which."""
