"""What becomes of a panel's SQL before ClickHouse sees it: in the browser, then in the data source's backend.

In the browser (grafana/clickhouse-datasource, `src/data/CHDatasource.ts`, `applyConditionalAll`, then Grafana's own
`templateSrv`): `$__conditionalAll` and the variables. In the backend (`pkg/macros/macros.go`, interpolated by
grafana/macropro, before it by grafana-plugin-sdk-go): the macros for times and intervals. The releases split a macro's
arguments in different ways, so an argument with a comma or a parenthesis is refused here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

ALL = "$__all"


@dataclass(frozen=True)
class Range:
    """What is looked at: seconds since the epoch, and the seconds that Grafana chose for one point."""

    start: int
    end: int
    interval_s: float = 60.0


def expanded(sql: str, of: Range, variables: Mapping[str, str | Sequence[str]]) -> str:
    """The statement that is sent.

    Raises:
        ValueError: a macro or variable that nobody knows is left, or a macro has arguments it should not have.
    """
    text = _interpolated(_conditional(sql, variables), variables)
    text = re.sub(r"\$__(\w+)(?:\(([^()]*)\))?", lambda found: _macro(found[1], found[2], of), text)
    if "$" in text:
        raise ValueError(f"something is left to expand: {text}")
    return text


def _conditional(sql: str, variables: Mapping[str, str | Sequence[str]]) -> str:
    """`$__conditionalAll(condition, $variable)`: 1=1 where the variable is All or empty, else the condition."""
    name = "$__conditionalAll("
    while (at := sql.rfind(name)) >= 0:
        arguments, end = _arguments(sql, at + len(name) - 1)
        condition, variable = arguments
        [key] = re.findall(r"\$\{?(\w+)", variable)
        chosen = variables[key]
        value = chosen if isinstance(chosen, str) else ",".join(chosen)
        sql = sql[:at] + ("1=1" if value in {"", ALL} else condition) + sql[end:]
    return sql


def _arguments(sql: str, opening: int) -> tuple[list[str], int]:
    """Arguments between balanced parentheses, split at commas of the first level, as `getMacroArgs` does."""
    found, depth, start = [], 0, opening + 1
    for at in range(opening, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[at], 0)
        if (sql[at] == "," and depth == 1) or depth == 0:
            found.append(sql[start:at])
            start = at + 1
        if depth == 0:
            return found, at + 1
    raise ValueError(f"no end of the macro in {sql}")


def _interpolated(sql: str, variables: Mapping[str, str | Sequence[str]]) -> str:
    """`${name:sqlstring}` and `$name`, `${name}`: the first quotes, the others put the value in as it is."""

    def value(found: re.Match[str]) -> str:
        name, form = found[1] or found[3], found[2]
        chosen = variables[name]
        if form == "sqlstring":
            values = [chosen] if isinstance(chosen, str) else chosen
            return ",".join("'" + one.replace("'", "''") + "'" for one in values)
        if form:
            raise ValueError(f"no panel uses the format {form}")
        return chosen if isinstance(chosen, str) else "'" + "','".join(chosen) + "'"

    return re.sub(r"\$\{(\w+)(?::(\w+))?\}|\$(?!__)(\w+)", value, sql)


def _macro(name: str, arguments: str | None, of: Range) -> str:
    given = [] if arguments is None else [one.strip() for one in arguments.split(",")]
    start, end = of.start, of.end
    seconds = int(max(of.interval_s, 1))
    days = [f"toDate('{datetime.fromtimestamp(at, UTC):%Y-%m-%d}')" for at in (start, end)]
    match name, given:
        case "fromTime", []:
            return f"toDateTime({start})"
        case "toTime", []:
            return f"toDateTime({end})"
        case "fromTime_ms", []:
            return f"fromUnixTimestamp64Milli({start * 1000})"
        case "toTime_ms", []:
            return f"fromUnixTimestamp64Milli({end * 1000})"
        case "interval_s", []:
            return str(seconds)
        case "timeFilter", [column]:
            return f"{column} >= toDateTime({start}) AND {column} <= toDateTime({end})"
        case "timeFilter_ms", [column]:
            return (
                f"{column} >= fromUnixTimestamp64Milli({start * 1000})"
                f" AND {column} <= fromUnixTimestamp64Milli({end * 1000})"
            )
        case "dateFilter", [column]:
            return f"{column} >= {days[0]} AND {column} <= {days[1]}"
        case "dateTimeFilter" | "dt", [date, time]:
            return (
                f"({date} >= {days[0]} AND {date} <= {days[1]}) AND "
                f"({time} >= toDateTime({start}) AND {time} <= toDateTime({end}))"
            )
        case "timeInterval", [column]:
            return f"toStartOfInterval(toDateTime({column}), INTERVAL {seconds} second)"
        case "timeInterval_ms", [column]:
            milliseconds = int(max(of.interval_s * 1000, 1))
            return f"toStartOfInterval(toDateTime64({column}, 3), INTERVAL {milliseconds} millisecond)"
    raise ValueError(f"the data source has no macro $__{name} with {len(given)} arguments")
