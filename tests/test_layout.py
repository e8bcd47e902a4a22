"""Imports point one way, and no source file outgrows what a person reads in one go."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("pipeline", "actors", "serve", "simulator", "loadtest", "canfleet", "edge")

MAY_IMPORT = {
    "pipeline": set(),
    "actors": {"pipeline"},
    "serve": {"pipeline", "actors"},
    "simulator": {"pipeline"},
    "loadtest": {"simulator"},
    "canfleet": {"pipeline", "actors", "serve", "simulator", "edge"},
    "edge": set(),
}

LAYERS = [
    {
        "pipeline.kernel_cache",
        "pipeline.errors",
        "pipeline.types",
        "pipeline.arrays",
        "pipeline.prefetch",
        "pipeline.verdicts",
        "pipeline.breaker",
        "pipeline.ranges",
        "pipeline.metrics",
        "pipeline.observations",
        "pipeline.priority",
        "pipeline.descriptors",
        "pipeline.heap",
        "pipeline.light_start",
        "pipeline.absent",
        "pipeline.durable",
        "pipeline.logs",
        "pipeline.tracing",
    },
    {"pipeline.frames", "pipeline.partitioning", "pipeline.keys", "pipeline.limits", "pipeline.privacy"},
    {"pipeline.decode"},
    {
        "pipeline.vehicles",
        "pipeline.series",
        "pipeline.dedup",
        "pipeline.gaps",
        "pipeline.windows",
        "pipeline.anomalies",
    },
    {
        "pipeline.lanes",
        "pipeline.journal",
        "pipeline.submission",
        "pipeline.clickhouse",
        "pipeline.history",
        "pipeline.scaling",
    },
    {"pipeline.config"},
    {"pipeline.shard"},
]
"""Inside `pipeline`, a part imports its own layer and those above it in this list."""

FOREIGN = {
    "pipeline": {"ray", "fastapi", "starlette", "uvicorn"},
    "simulator": {"ray", "fastapi", "starlette"},
    "edge": {"ray", "numba", "numpy", "pyarrow", "orjson", "yaml", "pydantic"},
}
"""Libraries that a package must do without."""


def imports(path: Path) -> set[str]:
    """Every module a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def layer_of(module: str) -> int | None:
    for number, layer in enumerate(LAYERS):
        if any(module == part or module.startswith(part + ".") for part in layer):
            return number
    return None


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_what_they_may(package: str) -> None:
    for path in sources(package):
        for module in imports(path):
            top = module.partition(".")[0]
            assert top == package or top not in PACKAGES or top in MAY_IMPORT[package], f"{path} imports {module}"
            assert top not in FOREIGN.get(package, set()), f"{path} imports {module}"


def test_parts_of_the_pipeline_import_only_downwards() -> None:
    for path in sources("pipeline"):
        own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if own is None:
            assert path.name == "__init__.py"
            continue
        for module in imports(path):
            other = layer_of(module)
            assert other is None or other <= own, f"{path} imports {module}"


@pytest.mark.parametrize("package", PACKAGES)
def test_files_stay_short(package: str) -> None:
    for path in sources(package):
        assert len(path.read_text().splitlines()) <= 400, path
