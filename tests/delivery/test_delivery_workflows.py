"""What the workflows run are targets of the Makefile, and what they use is pinned."""

from __future__ import annotations

import re
from typing import Any

import pytest
from delivery_files import ROOT, document

WORKFLOWS = sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml"))


def steps(name: str) -> list[dict[str, Any]]:
    jobs = document(f".github/workflows/{name}")["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_make_target_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    called = [run for step in steps(name) for run in re.findall(r"\bmake (\S+)", step.get("run", ""))]
    assert called
    assert set(called) <= targets


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_and_no_input_is_pasted_into_a_shell(name: str) -> None:
    for step in steps(name):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+\.\d+\.\d+", step["uses"])
        assert "${{" not in step.get("run", "")


def test_what_is_checked_tested_and_built_is_what_people_run() -> None:
    called = [step["run"] for step in steps("ci.yml") if "run" in step]
    assert called == ["make check", "make test", "make wheel", "make image"]


def test_a_failed_deployment_is_rolled_back_in_its_environment() -> None:
    job = document(".github/workflows/deploy.yml")["jobs"]["deploy"]
    assert job["environment"] == job["env"]["ENV"] == "${{ inputs.environment }}"
    names = [step.get("run") for step in job["steps"]]
    back = job["steps"][names.index("make rollback")]
    assert names.index("make rollback") == names.index("make deploy") + 1
    assert back["if"] == "failure() && steps.deploy.outcome == 'failure'"
