"""Writes Terraform's outputs into cluster.yaml: `python -m deploy.aws.render FOLDER`, where FOLDER is an environment's.

It has `outputs.json` (`terraform output -json`), `canfleet.yaml` and `bootstrap.key`; it gets `places`, and
`cluster.yaml` with absolute paths.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

_ROOT: Final = Path(__file__).parents[2]
_RELEASE: Final = "/home/admin/release"


def rendered(cluster: dict[str, Any], outputs: dict[str, Any], folder: Path, root: Path = _ROOT) -> dict[str, Any]:
    """`cluster` with everything that is marked CHANGE taken from `outputs` (by name) or the environment's folder."""
    cluster = cluster | {"cluster_name": outputs["cluster_name"]}
    cluster["provider"] |= {"region": outputs["region"]}
    cluster["auth"] |= {"ssh_private_key": outputs["ssh_private_key"]}
    for name, kind in cluster["available_node_types"].items():
        kind["node_config"] = kind["node_config"] | {
            "ImageId": outputs["image_id"],
            "KeyName": outputs["key_name"],
            "SubnetIds": outputs["subnet_ids"],
            "SecurityGroupIds": [outputs["security_group_id"]],
            "IamInstanceProfile": {"Name": outputs[f"{name}_profile"]},
        }
    worker = cluster["available_node_types"]["worker"]
    worker |= {"min_workers": outputs["min_workers"], "max_workers": outputs["max_workers"]}
    own = {f"{_RELEASE}/{name}": str(folder / name) for name in ("canfleet.yaml", "places", "bootstrap.key")}
    mounts = {to: path if path.startswith("~") else str(root / path) for to, path in cluster["file_mounts"].items()}
    return cluster | {"max_workers": outputs["max_workers"], "file_mounts": mounts | own}


def main() -> None:
    """Write both files."""
    folder = Path(sys.argv[1]).resolve()
    outputs = {name: one["value"] for name, one in json.loads((folder / "outputs.json").read_text()).items()}
    places = {
        "FILE_SYSTEM": outputs["file_system"],
        "TARGET_GROUP": outputs["target_group"],
        "REGION": outputs["region"],
    }
    (folder / "places").write_text("".join(f"{name}={value}\n" for name, value in places.items()))
    cluster = rendered(yaml.safe_load((_ROOT / "cluster.yaml").read_text()), outputs, folder)
    (folder / "cluster.yaml").write_text(yaml.safe_dump(cluster, sort_keys=False, width=1000))


if __name__ == "__main__":
    main()
