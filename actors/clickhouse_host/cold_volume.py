"""The embedded engine's cold volume: a folder that must be the one it was, or a bucket of an object store."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from pipeline.clickhouse.settings import S3Settings
from pipeline.durable import create_file
from pipeline.errors import ConfigError

_MARK: Final = "canfleet-cold-volume"


def claim_folder(data_dir: Path, cold: Path) -> None:
    """Create the cold folder, or check that it is the one that belongs to `data_dir`.

    ClickHouse takes an empty folder, such as the mount point of a disk that is not mounted, for a cold volume without
    parts: rows would be missing, others that were merged and deleted would come back, and new ones be moved into it.

    Raises:
        ConfigError: it is not that folder.
    """
    cold.mkdir(parents=True, exist_ok=True)
    known, there = data_dir / _MARK, cold / _MARK
    if not known.exists():
        name = there.read_text() if there.exists() else uuid.uuid4().hex
        for mark in (there, known):
            create_file(mark, [memoryview(name.encode())])
    elif not there.exists() or there.read_text() != known.read_text():
        raise ConfigError(
            f"{cold} is not the cold volume of the data in {data_dir}: mount or restore it (it has a file {_MARK}), "
            "since ClickHouse would take what is cold for deleted"
        )


def folder_disk(cold: Path) -> str:
    """The disk `cold` as XML."""
    return f"<cold><type>local</type><path>{escape(str(cold))}/</path></cold>"


def s3_disk(store: S3Settings, metadata: Path) -> str:
    """The disk `cold` as XML, on an object store; `metadata` is the local folder with the names of its objects.

    Few attempts: ClickHouse's own 500 have a query wait for half an hour where the store is away.
    """
    secret = (
        f"<access_key_id>{escape(store.access_key_id)}</access_key_id>"
        f"<secret_access_key>{escape(store.secret_access_key)}</secret_access_key>"
        if store.access_key_id
        else "<use_environment_credentials>true</use_environment_credentials>"
    )
    region = f"<region>{escape(store.region)}</region>" if store.region else ""
    return (
        f"<cold><type>s3</type><endpoint>{escape(store.endpoint)}</endpoint>{secret}{region}"
        f"<metadata_path>{escape(str(metadata))}/</metadata_path><skip_access_check>true</skip_access_check>"
        "<connect_timeout_ms>2000</connect_timeout_ms><request_timeout_ms>10000</request_timeout_ms>"
        "<s3_retry_attempts>3</s3_retry_attempts></cold>"
    )
