"""Whatever a runbook tells one to type can be typed."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import typer
import yaml
from alarm_files import (
    OF_HAPROXY,
    OF_PROMETHEUS,
    OF_RAY,
    OF_SERVE,
    RUNBOOKS,
    blocks,
    exported,
    metrics_in,
    recorded,
    run,
)
from typer.core import TyperGroup

from canfleet.__main__ import app
from pipeline.clickhouse.client import Warehouse

UsageError = typer.BadParameter.__base__
"""What typer raises where a command line is wrong; it has no name of its own there."""

OTHERS = {"cat", "curl", "dd", "df", "dmesg", "du", "export", "ls", "ray", "rm", "serve", "top"}
"""Programs that pages use beside canfleet's own."""


def lines() -> Iterator[tuple[str, str]]:
    """Every line of shell: name of the page, line."""
    for page, code in blocks("sh"):
        for line in code.strip().splitlines():
            yield page, line


def commands() -> list[tuple[str, list[str]]]:
    """Every `canfleet …`, in blocks and within sentences: name of the page, arguments."""
    found = [(page, line) for page, line in lines() if line.startswith("canfleet ")]
    for page in sorted(RUNBOOKS.glob("*.md")):
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        found += [(page.stem, " ".join(code.split())) for code in re.findall(r"`(canfleet [^`]+)`", prose)]
    return [(page, shlex.split(line, comments=True)[1:]) for page, line in found]


def parse(arguments: list[str]) -> None:
    """Parse a command without running it.

    Raises:
        UsageError: there is no such command, option or argument.
    """
    name, command = "canfleet", typer.main.get_command(app)
    context = None
    while isinstance(command, TyperGroup):
        context = command.context_class(command, info_name=name, parent=context)
        if not arguments:
            raise UsageError("a command is missing", context)
        name, command, arguments = command.resolve_command(context, arguments)
    command.make_context(name, list(arguments), parent=context)


@pytest.fixture(autouse=True)
def key() -> Iterator[None]:
    with mock.patch.dict("os.environ", {"CANFLEET_KEY": "key"}):
        yield


def test_every_command_exists_with_its_options() -> None:
    found = commands()
    assert len(found) > 40
    for page, arguments in found:
        if arguments in (["up"], ["forget"], ["sql"]):  # named, not typed
            continue
        try:
            parse(arguments)
        except UsageError as error:
            pytest.fail(f"{page}: canfleet {shlex.join(arguments)}: {error.format_message()}")


@pytest.mark.parametrize("wrong", ["statsu", "status --verbose", "dlq", "dlq lost", "keys revoke", "status extra"])
def test_a_command_that_does_not_exist_is_found(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse(shlex.split(wrong))


def test_every_line_is_shell_and_begins_with_a_known_program() -> None:
    for page, line in lines():
        subprocess.run(["bash", "-n", "-c", line], check=True)
        assert line.split()[0] in OTHERS | {"canfleet"}, f"{page}: {line}"


def test_every_statement_runs(warehouse: Warehouse) -> None:
    statements = [arguments[1] for _, arguments in commands() if arguments[0] == "sql" and len(arguments) > 1]
    assert len(statements) > 5
    for statement in statements:
        warehouse.arrow(statement)


def test_every_expression_is_promql(tmp_path: Path) -> None:
    expressions = [(page, line) for page, code in blocks("promql") for line in code.strip().splitlines()]
    assert len(expressions) > 40
    known = exported() | OF_PROMETHEUS | OF_HAPROXY | OF_RAY | OF_SERVE | recorded()
    for page, expression in expressions:
        assert metrics_in(expression) <= known, page
    rules = [{"record": f"of_a_runbook_{i}", "expr": expression} for i, (_, expression) in enumerate(expressions)]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}))
    run("promtool", "check", "rules", path)
