"""The storage configuration for a server of one's own is one that the engine takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STORAGE = Path(__file__).parents[2] / "deploy/clickhouse/config.d/storage.xml"
_OPEN = """
import sys, chdb
handle = chdb.connect(f"file:{sys.argv[1]}/engine?config-file={sys.argv[2]}")
sql = "SELECT volume_name, arrayJoin(disks) FROM system.storage_policies WHERE policy_name = 'hot_cold'"
disks = "SELECT name FROM system.disks WHERE type = 'ObjectStorage' ORDER BY name"
for query in (sql, disks):
    print(handle.query(query, "TabSeparated").bytes().decode())
"""


def test_it_has_a_hot_and_a_cold_volume(tmp_path: Path) -> None:
    """In a process of its own: the engine opens one configuration a process. Only its folders are moved."""
    config = tmp_path / "config.xml"
    config.write_text(STORAGE.read_text().replace("/var/lib/clickhouse", str(tmp_path)))
    store = {"CANFLEET_COLD_ENDPOINT": "http://127.0.0.1:1/cold/fleet/", "AWS_ACCESS_KEY_ID": "x"}
    opened = subprocess.run(
        [sys.executable, "-c", _OPEN, str(tmp_path), str(config)],
        env=os.environ | store | {"AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert opened.returncode == 0, opened.stdout + opened.stderr
    assert opened.stdout.split() == ["hot", "hot", "cold", "cold", "cold", "cold_s3"]
