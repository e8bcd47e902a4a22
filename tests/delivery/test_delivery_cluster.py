"""cluster.yaml is one that Ray's launcher takes, opens nothing to strangers, and installs what the lock says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from delivery_files import ROOT, document, prepared

from canfleet.environment import NODE_PORTS, ray_environment
from deploy.aws.render import rendered
from pipeline.config import load_config

TERRAFORM = ROOT / "deploy" / "terraform"
CLUSTERS = ["cluster.yaml", "deploy/local-cluster.yaml"]
OUTPUTS = {
    "cluster_name": "canfleet-staging",
    "region": "eu-west-1",
    "ssh_private_key": "~/.ssh/key.pem",
    "image_id": "ami-1",
    "key_name": "key",
    "subnet_ids": ["subnet-1", "subnet-2"],
    "security_group_id": "sg-1",
    "head_profile": "head-profile",
    "worker_profile": "worker-profile",
    "min_workers": 3,
    "max_workers": 5,
}


def start_lines(name: str, kind: str) -> list[str]:
    """What starts Ray, less what a file says of its own place."""
    lines = document(name)[f"{kind}_start_ray_commands"]
    return [re.sub(r"--data-dir \S+", "", line) for line in lines if "target_group.py" not in line]


def test_ray_accepts_it_and_adds_no_command_of_its_own() -> None:
    cluster = document("cluster.yaml")
    whole = prepared(cluster)
    assert whole["head_setup_commands"] == whole["worker_setup_commands"] == cluster["setup_commands"]
    assert whole["available_node_types"]["head"]["max_workers"] == 0
    assert whole["available_node_types"]["worker"]["min_workers"] == 2
    for kind in whole["available_node_types"].values():
        node = kind["node_config"]
        [disk] = node["BlockDeviceMappings"]
        assert (disk["Ebs"]["VolumeType"], disk["Ebs"]["Encrypted"]) == ("gp3", True)
        assert node["MetadataOptions"]["HttpTokens"] == "required"
        assert node["IamInstanceProfile"]["Name"]
        assert node["SecurityGroupIds"]


def test_terraforms_outputs_reach_every_place_that_is_marked(tmp_path: Path) -> None:
    cluster = rendered(document("cluster.yaml"), OUTPUTS, tmp_path)
    whole = prepared(cluster)
    declared = set(re.findall(r'^output "(\w+)"', (TERRAFORM / "outputs.tf").read_text(), re.MULTILINE))
    assert set(OUTPUTS) | {"url", "file_system", "target_group", "clickhouse_url"} == declared
    assert (whole["cluster_name"], whole["provider"]["region"], whole["max_workers"]) == (
        "canfleet-staging",
        "eu-west-1",
        5,
    )
    for name, kind in whole["available_node_types"].items():
        assert kind["node_config"]["IamInstanceProfile"] == {"Name": f"{name}-profile"}
        assert kind["node_config"]["SubnetIds"] == ["subnet-1", "subnet-2"]
    text = yaml.safe_dump(cluster)
    assert "0123456789abcdef" not in text
    mounts = cluster["file_mounts"]
    assert mounts["/home/admin/release/bootstrap.key"] == str(tmp_path / "bootstrap.key")
    for path in mounts.values():
        inside = Path(path)
        assert path.startswith("~") or inside.parent == tmp_path or inside.name == "dist" or inside.exists(), path


def test_the_renderer_writes_both_files(tmp_path: Path) -> None:
    outputs = OUTPUTS | {"file_system": "fs-1.efs", "target_group": "arn:1", "url": "https://x", "clickhouse_url": None}
    (tmp_path / "outputs.json").write_text(json.dumps({name: {"value": value} for name, value in outputs.items()}))
    subprocess.run([sys.executable, "-m", "deploy.aws.render", str(tmp_path)], cwd=ROOT, check=True)
    assert (tmp_path / "places").read_text() == "FILE_SYSTEM=fs-1.efs\nTARGET_GROUP=arn:1\nREGION=eu-west-1\n"
    prepared(yaml.safe_load((tmp_path / "cluster.yaml").read_text()))


def test_the_internet_reaches_https_alone() -> None:
    # With provider.security_group Ray adds a rule of its own: ssh from everywhere.
    assert "security_group" not in document("cluster.yaml")["provider"]
    rules = re.findall(
        r'^resource "(aws_\w*(?:ingress|security_group)\w*)" "(\w+)" \{\n(.*?)^\}', everything(), re.M | re.S
    )
    kinds = {kind for kind, _, _ in rules}
    assert kinds == {
        "aws_security_group",
        "aws_vpc_security_group_ingress_rule",
        "aws_vpc_security_group_egress_rule",
    }
    assert not any("ingress" in body for kind, _, body in rules if kind == "aws_security_group")
    ingress = {name: body for kind, name, body in rules if kind == "aws_vpc_security_group_ingress_rule"}
    assert set(ingress) == {"https", "ssh", "http", "among", "nfs", "clickhouse"}
    for name, body in ingress.items():
        if name == "https":
            assert re.search(r"from_port\s+= 443\n\s+to_port\s+= 443", body)
        else:
            assert "0.0.0.0/0" not in body
            assert "::/0" not in body
            assert "referenced_security_group_id" in body or "var.admin_network" in body


def everything() -> str:
    return "\n".join(path.read_text() for path in sorted(TERRAFORM.glob("*.tf")))


@pytest.mark.parametrize("name", CLUSTERS)
def test_nodes_install_from_the_lock_alone(name: str) -> None:
    installs = [line for line in document(name)["setup_commands"] if "pip install" in line]
    assert len(installs) == 2
    assert all(
        part in installs[0] for part in ("--require-hashes", "--only-binary=:all:", "-r ~/release/requirements.lock")
    )
    assert all(part in installs[1] for part in ("--no-deps", "--no-index", "canfleet-*.whl"))


@pytest.mark.parametrize("kind", ["head", "worker"])
def test_both_clusters_start_by_the_same_lines(kind: str) -> None:
    assert start_lines(CLUSTERS[0], kind) == start_lines(CLUSTERS[1], kind)


def test_the_dashboard_listens_on_loopback_and_every_node_has_the_environment() -> None:
    [head] = [line for line in start_lines(CLUSTERS[0], "head") if "ray start" in line]
    [worker] = [line for line in start_lines(CLUSTERS[0], "worker") if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in head
    for line in (head, worker):
        assert re.search(r'="\$\(canfleet environment .*\)" && eval "\$wanted" &&\s+ray start', line)


def test_a_nodes_environment_is_the_one_that_up_sets(tmp_path: Path) -> None:
    """The command that nodes run prints what `canfleet up` gives to the Ray it starts, but for the ports."""
    # HAProxy's folder must have a short path, which a folder of pytest's has not.
    with tempfile.TemporaryDirectory(prefix="cf-", dir="/tmp") as folder:
        of_node_and_of_up_agree(folder, tmp_path)


def of_node_and_of_up_agree(folder: str, home: Path) -> None:
    command = [sys.executable, "-m", "canfleet", "environment", "--folder", folder]
    shell = f'eval "$({" ".join(command)})"; env -0'
    plain = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    done = subprocess.run(["bash", "-c", shell], capture_output=True, cwd=ROOT, env=plain, text=True, check=True)
    on_node = dict(item.split("=", 1) for item in done.stdout.split("\0") if "=" in item)
    of_up = ray_environment(Path(folder), load_config(None, {}), plain)
    ports = {name for name in of_up if name.endswith("_PORT")}
    assert len(ports) == len(NODE_PORTS)
    assert {int(on_node[name]) for name in ports} == set(NODE_PORTS)
    assert {name: on_node.get(name) for name in of_up.keys() - ports} == {
        name: value for name, value in of_up.items() if name not in ports
    }
    assert (on_node["RAY_AUTH_MODE"], on_node["RAY_SERVE_ENABLE_HA_PROXY"]) == ("token", "1")


def test_the_clusters_configuration_is_one() -> None:
    config = load_config(ROOT / "deploy" / "aws" / "canfleet.yaml", {})
    assert config.ray.address == "auto"
    assert str(config.data_dir).startswith("/mnt/canfleet/")
    assert config.clickhouse.url is not None
    [mount] = [line for line in document("cluster.yaml")["setup_commands"] if "nfs4" in line]
    assert "/mnt/canfleet" in mount
    assert "lookupcache=none" in mount
