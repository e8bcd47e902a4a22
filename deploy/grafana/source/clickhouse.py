"""What asks ClickHouse: queries, variables and annotations for the data source grafana-clickhouse-datasource.

SQL may use the data source's macros and the dashboards' variables. A macro's argument holds no comma and no
parenthesis, for the releases of the data source split arguments in different ways. Values of variables go in as
`${name:sqlstring}`, which quotes them.
"""

from __future__ import annotations

from enum import Enum
from textwrap import dedent
from typing import Final

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard

from deploy.grafana.source.panels import AnyPanel

SOURCE: Final = dashboard.DataSourceRef("grafana-clickhouse-datasource", "canfleet-clickhouse")


class Shape(Enum):
    """How the data source hands rows on: its `queryType` and the number that its backend reads, `format`."""

    SERIES = ("timeseries", 0)
    """The first column is the time, texts name the series."""
    TABLE = ("table", 1)


class Query(Dataquery, Builder["Query"]):
    """One statement of a panel; its own builder."""

    def __init__(self, sql: str, shape: Shape, ref_id: str = "A") -> None:
        self.sql = dedent(sql).strip()
        self.shape = shape
        self.ref_id = ref_id

    def build(self) -> Query:
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """As the data source's editor saves it."""
        query_type, number = self.shape.value
        return {
            "refId": self.ref_id,
            "datasource": SOURCE,
            "editorType": "sql",
            "queryType": query_type,
            "format": number,
            "rawSql": self.sql,
        }


class _AnnotationTarget(dashboard.AnnotationTarget, Builder[dashboard.AnnotationTarget]):
    """The SDK knows Grafana's own annotations only; this is a statement, as the data source's editor saves it."""

    def __init__(self, sql: str) -> None:
        super().__init__()
        self._query = Query(sql, Shape.TABLE, "Anno")

    def build(self) -> dashboard.AnnotationTarget:
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """The statement's."""
        return self._query.to_json()


def series(panel: AnyPanel, sql: str) -> AnyPanel:
    """Let a panel show series."""
    return panel.datasource(SOURCE).with_target(Query(sql, Shape.SERIES))


def table(panel: AnyPanel, sql: str) -> AnyPanel:
    """Let a panel show rows."""
    return panel.datasource(SOURCE).with_target(Query(sql, Shape.TABLE))


def annotation(name: str, sql: str, color: str) -> build.AnnotationQuery:
    """Events on all charts: columns `time`, `timeEnd`, `text` and `tags`."""
    return build.AnnotationQuery().name(name).datasource(SOURCE).icon_color(color).target(_AnnotationTarget(sql))


def variable(name: str, label: str, sql: str, *, multi: bool = False, everything: bool = False) -> build.QueryVariable:
    """A variable with the values of a statement's first column, asked again when the range of time changes.

    Args:
        name: as SQL and links name it.
        label: as people read it.
        sql: gives the values.
        multi: several may be chosen.
        everything: `All` may be chosen, and is.
    """
    one = (
        build.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(dedent(sql).strip())
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.DISABLED)
        .multi(multi)
        .include_all(everything)
    )
    return one.current(dashboard.VariableOption(text="All", value="$__all")) if everything else one


FLEET: Final = """
    SELECT DISTINCT toString(fleet) AS fleet FROM signals_1h_states
    WHERE timestamp >= toStartOfHour($__fromTime) AND timestamp <= $__toTime
    ORDER BY fleet
"""
"""Fleets with values in the range."""
VEHICLE: Final = """
    SELECT DISTINCT toString(vehicle_id) AS vehicle FROM signals_1h_states
    WHERE fleet = ${fleet:sqlstring} AND timestamp >= toStartOfHour($__fromTime) AND timestamp <= $__toTime
    ORDER BY vehicle LIMIT 10000
"""
"""The fleet's vehicles with values in the range."""
