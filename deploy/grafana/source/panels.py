"""Panels and dashboards that look alike: what every one of a kind shares, without what it asks."""

from __future__ import annotations

from typing import Final, Protocol, Self, TypeAlias, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as models
from grafana_foundation_sdk.models import dashboard

Shown: TypeAlias = Builder[dashboard.Panel]
"""A panel of any kind, done."""
WIDTH: Final = 24
"""Of Grafana's grid."""
TAG: Final = "canfleet"
VEHICLE_UID: Final = "canfleet-vehicle"


class Panel(Protocol):
    """What the builders of all kinds of panels can do; the SDK has no class for it."""

    def datasource(self, datasource: dashboard.DataSourceRef) -> Self:
        """What its queries ask."""

    def with_target(self, target: Builder[Dataquery]) -> Self:
        """One more query."""

    def override_by_name(self, name: str, properties: list[dashboard.DynamicConfigValue]) -> Self:
        """How one field is shown."""

    def thresholds(self, thresholds: Builder[dashboard.ThresholdsConfig]) -> Self:
        """Colours by value."""


AnyPanel = TypeVar("AnyPanel", bound=Panel)


def board(name: str, description: str, *, since: str = "now-6h", refresh: str = "1m") -> build.Dashboard:
    """An empty dashboard `canfleet-NAME`, linked with all the others."""
    link = (
        build.DashboardLink("Dashboards")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
    return (
        build.Dashboard(f"canfleet: {name}")
        .uid(f"canfleet-{name}")
        .description(description)
        .tags([TAG])
        .editable()
        .timezone("browser")
        .time(since, "now")
        .refresh(refresh)
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(link)
    )


def row(title: str) -> build.Row:
    """A heading over the panels that follow."""
    return build.Row(title)


def chart(title: str, unit: str = "short", *, width: int = 12, height: int = 8, meaning: str = "") -> timeseries.Panel:
    """Lines over time; a missing point breaks a line."""
    return (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .unit(unit)
        .span(width)
        .height(height)
        .span_nulls(False)
        .line_width(1)
        .fill_opacity(8)
        .show_points(models.VisibilityMode.AUTO)
        .tooltip(common.VizTooltipOptions().mode(models.TooltipDisplayMode.MULTI))
        .legend(
            common.VizLegendOptions()
            .display_mode(models.LegendDisplayMode.LIST)
            .placement(models.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
    )


def bars(title: str, unit: str = "short", *, width: int = 12, height: int = 8, meaning: str = "") -> timeseries.Panel:
    """Bars over time, stacked."""
    return (
        chart(title, unit, width=width, height=height, meaning=meaning)
        .draw_style(models.GraphDrawStyle.BARS)
        .fill_opacity(70)
        .stacking(common.StackingConfig().mode(models.StackingMode.NORMAL))
    )


def number(title: str, unit: str = "short", *, width: int = 4, height: int = 4, meaning: str = "") -> stat.Panel:
    """One number, or a few."""
    return (
        stat.Panel()
        .title(title)
        .description(meaning)
        .unit(unit)
        .span(width)
        .height(height)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .graph_mode(models.BigValueGraphMode.NONE)
        .color_mode(models.BigValueColorMode.VALUE)
    )


def ranking(title: str, unit: str = "short", *, width: int = 12, height: int = 8, meaning: str = "") -> bargauge.Panel:
    """A bar for each row of a table: a text and a number."""
    return (
        bargauge.Panel()
        .title(title)
        .description(meaning)
        .unit(unit)
        .span(width)
        .height(height)
        .min(0)
        .orientation(models.VizOrientation.HORIZONTAL)
        .display_mode(models.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(True).fields(""))
    )


def grid(title: str, *, width: int = WIDTH, height: int = 9, meaning: str = "") -> table.Panel:
    """Rows with columns; a column `vehicle` leads to the vehicle's dashboard."""
    to_vehicle = {
        "title": "the vehicle",
        "url": f"/d/{VEHICLE_UID}?${{fleet:queryparam}}&var-vehicle=${{__value.text}}&${{__url_time_range}}",
    }
    return (
        table.Panel()
        .title(title)
        .description(meaning)
        .span(width)
        .height(height)
        .override_by_name("vehicle", [dashboard.DynamicConfigValue("links", [to_vehicle])])
    )


def unit_of(panel: AnyPanel, **units: str) -> AnyPanel:
    """Give columns, by name, units of their own."""
    for name, unit in units.items():
        panel = panel.override_by_name(name, [dashboard.DynamicConfigValue("unit", unit)])
    return panel


def red_from(panel: AnyPanel, value: float) -> AnyPanel:
    """Green below a value, red from it on."""
    steps = [dashboard.Threshold(color="green"), dashboard.Threshold(value=value, color="red")]
    return panel.thresholds(build.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
