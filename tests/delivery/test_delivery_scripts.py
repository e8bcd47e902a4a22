"""deploy.sh and rollback.sh go through their steps in order, and stop at the first that fails.

AWS is not here: `ray` and `canfleet` are stand-ins that write down what they are asked, and fail where told to.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from delivery_files import ROOT
from test_delivery_cluster import OUTPUTS

STAND_IN = """#!/bin/bash
echo "${0##*/} $*" | tr '\\n' ' ' | tr -s ' ' >> "$CALLS"; echo >> "$CALLS"
[[ "${0##*/} $*" != *"$FAILING"* ]]
"""

ROLL = ["exec", "dist/", "requirements.lock", "cmp", "canfleet schema", "canfleet install", "--take-over"]


class Clone:
    """A repository with the scripts, and an environment `staging`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "clone"
        self.calls = folder / "calls"
        environment = folder / "environments" / "staging"
        environment.mkdir(parents=True)
        values = OUTPUTS | {"file_system": "fs", "target_group": "arn", "url": "https://example.test"}
        (environment / "outputs.json").write_text(json.dumps({name: {"value": one} for name, one in values.items()}))
        (environment / "canfleet.yaml").write_text("{}")
        (environment / "bootstrap.key").write_text("key")
        shutil.copytree(ROOT / "deploy" / "aws", self.root / "deploy" / "aws")
        for shared in ("roll.sh", "next.sh"):
            shutil.copy(ROOT / "deploy" / shared, self.root / "deploy")
        shutil.copy(ROOT / "cluster.yaml", self.root)
        (self.root / "pipeline" / "clickhouse" / "migrations").mkdir(parents=True)
        (self.root / "Makefile").write_text(".PHONY: deploy\ndeploy:\n\tdeploy/aws/deploy.sh $(ENV)\n")
        binaries = folder / "bin"
        binaries.mkdir()
        for name in ("ray", "canfleet"):
            (binaries / name).write_text(STAND_IN)
            (binaries / name).chmod(0o755)
        self.environment = os.environ | {
            "PATH": f"{binaries}:{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "CANFLEET_ENVIRONMENTS": str(environment.parent),
            "CALLS": str(self.calls),
            "HOME": str(folder),
        }
        self.git("init", "--quiet")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@example.test")
        command = ["git", *who, *arguments]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, text: str) -> str:
        (self.root / "text").write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", text)
        return self.git("rev-parse", "HEAD")

    def run(self, script: str, failing: str = "nothing") -> tuple[int, list[str], str]:
        return self._run("aws/" + script, "staging", failing)

    def roll(self, failing: str = "nothing") -> tuple[int, list[str], str]:
        return self._run("roll.sh", "cluster.yaml", failing)

    def _run(self, script: str, argument: str, failing: str) -> tuple[int, list[str], str]:
        self.calls.write_text("")
        command = [str(self.root / "deploy" / script), argument]
        environment = self.environment | {"FAILING": failing}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, self.calls.read_text().splitlines(), done.stdout + done.stderr


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_a_deployment_looks_at_migrations_before_it_changes_anything_and_ends_with_the_smoke_test(clone: Clone) -> None:
    status, calls, said = clone.run("deploy.sh")
    assert status == 0, said
    wanted = ["get-auth-token", "get-head-ip", "exec", "rsync-up", "canfleet schema", "ray up", "canfleet smoke"]
    assert len(calls) == len(wanted)
    assert all(what in call for what, call in zip(wanted, calls, strict=True)), calls
    assert "--url https://example.test" in calls[-1]
    assert clone.git("rev-parse", "deployed/staging") == clone.git("rev-parse", "HEAD")


@pytest.mark.parametrize(("failing", "last"), [("canfleet schema", "schema"), ("ray up", "ray up"), ("smoke", "smoke")])
def test_what_fails_ends_it_and_is_not_remembered_as_healthy(clone: Clone, failing: str, last: str) -> None:
    status, calls, _ = clone.run("deploy.sh", failing)
    assert status != 0
    assert last in calls[-1]
    assert clone.git("tag") == ""


def test_a_deployment_that_rolls_starts_nothing_anew_and_ends_with_the_smoke_test(clone: Clone) -> None:
    clone.environment["ROLL"] = "1"
    status, calls, said = clone.run("deploy.sh")
    assert status == 0, said
    wanted = ["get-auth-token", "exec", *ROLL[1:], "canfleet smoke"]
    assert len(calls) == len(wanted)
    assert all(what in call for what, call in zip(wanted, calls, strict=True)), calls
    status, calls, _ = clone.run("deploy.sh", "--take-over")
    assert status != 0
    assert "--take-over" in calls[-1]


def test_a_first_deployment_has_no_schema_to_look_at(clone: Clone) -> None:
    status, calls, said = clone.run("deploy.sh", "get-head-ip")
    assert status == 0, said
    assert not [call for call in calls if "schema" in call]


def test_a_release_is_rolled_out_after_libraries_and_migrations_were_looked_at(clone: Clone) -> None:
    status, calls, said = clone.roll()
    assert status == 0, said
    assert len(calls) == len(ROLL)
    assert all(what in call for what, call in zip(ROLL, calls, strict=True)), calls
    assert said.strip() == f"rolled {clone.git('rev-parse', '--short', 'HEAD')} out"


@pytest.mark.parametrize("failing", ROLL[3:])
def test_a_roll_stops_at_what_fails(clone: Clone, failing: str) -> None:
    status, calls, said = clone.roll(failing)
    assert status != 0
    assert failing in calls[-1]
    assert ("with ray up instead" in said) == (failing == "cmp")


def test_a_rollback_deploys_the_commit_that_was_healthy(clone: Clone) -> None:
    healthy = clone.git("rev-parse", "HEAD")
    assert clone.run("deploy.sh")[0] == 0
    clone.commit("second")
    assert clone.run("deploy.sh", "smoke")[0] != 0
    status, calls, said = clone.run("rollback.sh")
    assert status == 0, said
    assert f"deployed {clone.git('rev-parse', '--short', healthy)} to staging" in said
    assert "smoke" in calls[-1]
    assert clone.git("rev-parse", "deployed/staging") == healthy
    assert len(clone.git("worktree", "list").splitlines()) == 1


def test_a_rollback_over_a_migration_is_refused(clone: Clone) -> None:
    assert clone.run("deploy.sh")[0] == 0
    (clone.root / "pipeline" / "clickhouse" / "migrations" / "0099_more.sql").write_text("SELECT 1;")
    clone.commit("second")
    status, calls, said = clone.run("rollback.sh")
    assert (status, calls) == (1, [])
    assert "migrations differ" in said


def test_without_a_healthy_commit_or_its_files_it_says_so(clone: Clone) -> None:
    assert "no tag deployed/staging" in clone.run("rollback.sh")[2]
    Path(clone.environment["CANFLEET_ENVIRONMENTS"], "staging", "bootstrap.key").unlink()
    status, calls, said = clone.run("deploy.sh")
    assert (status, calls) == (1, [])
    assert "bootstrap.key is missing" in said
