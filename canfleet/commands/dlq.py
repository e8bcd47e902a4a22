"""`canfleet dlq`: dead letters of a running platform, over its HTTP API."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from canfleet import api
from pipeline.errors import CanfleetError

dlq_app = typer.Typer(help="Dead letters: rows that were refused. List, mend, replay, purge.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters by id, see `dlq list`.")]
Reason = Annotated[str | None, typer.Option(help="Only those with this reason, such as timestamp_in_future.")]
Stage = Annotated[str | None, typer.Option(help="Only those refused at this stage: parse, validate, …")]
From = Annotated[str | None, typer.Option("--from", help="Received at or after this time (RFC 3339).")]
Before = Annotated[str | None, typer.Option("--before", help="Received before this time (RFC 3339).")]

_PATH: Final = "/v1/dead-letters"
_PAGE: Final = 1_000
_BATCH: Final = 5_000
_PATIENCE_S: Final = 120.0


@dlq_app.command("list")
def list_letters(
    key: api.AdminKey,
    reason: Reason = None,
    stage: Stage = None,
    since: From = None,
    before: Before = None,
    limit: Annotated[int, typer.Option(min=1, help="Most dead letters to show.")] = 100,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """List dead letters, newest first, and how many there are of each reason."""
    query = {"reason": reason, "stage": stage, "from": since, "to": before}
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = api.get(url, _PATH, key, query | {"limit": min(_PAGE, limit - len(found)), "cursor": cursor})
        found += page["dead_letters"]
        cursor = page["next"]
        if cursor is None or len(found) >= limit:
            break
    if as_json:
        typer.echo(json.dumps(page | {"dead_letters": found}))
        return
    table = Table("id", "received", "stage", "reason", "payload", box=None)
    for column in table.columns[:4]:
        column.no_wrap = True
    for letter in found:
        shown = Text(" ".join(letter["payload"][:500].split()), no_wrap=True, overflow="ellipsis")
        table.add_row(letter["id"], _when(letter["received_at"]), letter["stage"], letter["reason"], shown)
    console = Console()
    console.print(table)
    counts = ", ".join(f"{one['count']:,} {one['reason']}" for one in page["reasons"])
    total = sum(one["count"] for one in page["reasons"])
    console.print(f"{len(found):,} of {total:,} shown" + (f": {counts}" if counts else ""), highlight=False)


@dlq_app.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID")],
    key: api.AdminKey,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Show one dead letter with its whole payload, to mend and give to `dlq replay ID --payload FILE`."""
    found = api.get(url, _path(letter), key)
    if as_json:
        typer.echo(json.dumps(found))
        return
    meaning = f": {found['meaning']}" if found["meaning"] else ""
    typer.echo(f"received {_when(found['received_at'])} with request {found['request_id']}", err=True)
    typer.echo(f"refused at stage {found['stage']} for {found['reason']}{meaning}", err=True)
    typer.echo(found["payload"])


@dlq_app.command()
def replay(
    key: api.AdminKey,
    ids: Ids = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters of the fleet.")] = False,
    payload: Annotated[Path | None, typer.Option(help="A file with the mended row, for one ID.")] = None,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Send dead letters again; those that are good now are stored and leave, the others stay as they are.

    Repeating it is safe: no frame is stored twice. Exit status 1 where some stayed.
    """
    _one_choice(ids, {"--reason": reason}, everything)
    if payload is not None and len(ids or ()) != 1:
        raise CanfleetError("--payload mends one dead letter: give its ID, and no other")
    body: dict[str, Any] = {"filter": {} if reason is None else {"reason": reason}, "limit": _BATCH}
    bodies = [body]
    if ids:
        text = None if payload is None else _text(payload)
        bodies = [{"ids": ids[i : i + _PAGE], "payload": text} for i in range(0, len(ids), _PAGE)]
    total: dict[str, Any] = {"replayed": 0, "accepted": 0, "duplicates": 0, "failed": [], "unknown": []}
    for part in bodies:
        cursor: str | None = None
        while True:
            answer = api.call(
                "POST", url, f"{_PATH}/replay", key, body=part | {"cursor": cursor}, timeout_s=_PATIENCE_S
            )
            total = {name: value + answer[name] for name, value in total.items()}
            cursor = answer["next"]
            if cursor is None:
                break
    if as_json:
        typer.echo(json.dumps(total))
    else:
        typer.echo(
            f"{total['replayed']:,} replayed: {total['accepted']:,} frames accepted, "
            f"{total['duplicates']:,} were duplicates"
        )
    _check(total)


@dlq_app.command()
def purge(
    key: api.AdminKey,
    ids: Ids = None,
    reason: Reason = None,
    before: Before = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters of the fleet.")] = False,
    url: api.Url = api.DEFAULT_URL,
    as_json: api.Json = False,
) -> None:
    """Delete dead letters, for good."""
    _one_choice(ids, {"--reason": reason, "--before": before}, everything)
    if ids:
        answers = [api.call("DELETE", url, _path(letter), key, timeout_s=_PATIENCE_S) for letter in ids]
    else:
        query = {"reason": reason, "to": before, "all": everything or None}
        answers = [api.call("DELETE", url, _PATH, key, query=query, timeout_s=_PATIENCE_S)]
    purged = sum(answer["purged"] for answer in answers)
    typer.echo(json.dumps({"purged": purged}) if as_json else f"{purged:,} purged")


def _path(letter: str) -> str:
    return f"{_PATH}/{quote(letter, safe='')}"


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise CanfleetError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CanfleetError(f"{file} is no UTF-8 text") from error


def _one_choice(ids: list[str] | None, filters: dict[str, str | None], everything: bool) -> None:
    """Refuse a command that does not say which dead letters it means, or says it in two ways."""
    given = [bool(ids), any(value is not None for value in filters.values()), everything]
    if sum(given) != 1:
        raise CanfleetError(f"which dead letters? Give either IDs, or {' / '.join(filters)}, or --all")


def _check(total: dict[str, Any]) -> None:
    """Fail with one line where some stayed."""
    reasons = Counter(failure["reason"] for failure in total["failed"])
    stayed = [f"{count:,} {reason}" for reason, count in reasons.most_common()]
    if total["unknown"]:
        stayed.append(f"{len(total['unknown']):,} not among the dead letters (any more)")
    if stayed:
        raise CanfleetError(f"{len(total['failed']) + len(total['unknown']):,} not replayed: {', '.join(stayed)}")


def _when(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat(" ")[:19]
