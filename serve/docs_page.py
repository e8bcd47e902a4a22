"""The API listing at `/docs`: the OpenAPI document as plain HTML, without script or network."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>canfleet API</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/page/style.css"></head>
<body class="docs"><main>
<h1>canfleet API</h1><p><a href="/">Dashboard</a> · <a href="/openapi.json">openapi.json</a></p>"""


def render(document: dict[str, Any]) -> str:
    """The page for an OpenAPI document: one section per operation, with parameters, answers and examples."""
    operations = [
        _operation(document, method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    intro = "".join(f"<p>{_prose(text)}</p>" for text in document["info"]["description"].split("\n\n"))
    tags = "".join(f"<dt>{escape(tag['name'])}</dt><dd>{_prose(tag['description'])}</dd>" for tag in document["tags"])
    return "\n".join([_HEAD, intro, f"<dl>{tags}</dl>", *operations, "</main></body></html>"])


def _operation(document: dict[str, Any], method: str, path: str, operation: dict[str, Any]) -> str:
    scopes = {scope for one in operation.get("security", []) for scopes in one.values() for scope in scopes}
    needs = " or ".join(f"<code>{escape(scope)}</code>" for scope in sorted(scopes))
    parts = [
        f"<section><h2><code>{method} {escape(path)}</code></h2><p><strong>{escape(operation['summary'])}</strong>"
    ]
    parts += [f" Scope {needs}." if needs else " No key.", f"</p><p>{_prose(operation['description'])}</p>"]
    parts.append("<h3>Parameters</h3><dl>")
    parts += [
        f"<dt><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}</dt>"
        f"<dd>{_prose(parameter['description'])}</dd>"
        for parameter in (_resolved(document, one) for one in operation["parameters"])
    ]
    parts.append("</dl>")
    parts += [
        f"<h3>Body: <code>{escape(media_type)}</code></h3>{_examples(document, content)}"
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    parts.append("<h3>Answers</h3><dl>")
    for status, response in operation["responses"].items():
        parts.append(f"<dt>{escape(status)}</dt><dd>{_prose(response['description'])}")
        for content in response["content"].values():
            # What a problem looks like is said once; here it is enough which it can be.
            kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in content.get("examples", {}))
            parts.append(f" {kinds}" if status >= "400" else _examples(document, content))
        parts.append("</dd>")
    parts.append("</dl></section>")
    return "\n".join(parts)


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A component of the document that a part points to, or the part itself."""
    if "$ref" not in part:
        return part
    kind, name = part["$ref"].split("/")[-2:]
    found: dict[str, Any] = document["components"][kind][name]
    return found


def _prose(text: str) -> str:
    """Text as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _examples(document: dict[str, Any], content: dict[str, Any]) -> str:
    """The examples of a media type, each with what it is where that is said."""
    several = [_resolved(document, one) for one in content.get("examples", {}).values()] or [
        {"value": content["example"]}
    ]
    return "".join(
        (f"<p>{_prose(one['summary'])}</p>" if "summary" in one else "")
        + f"<pre>{escape(one['value'] if isinstance(one['value'], str) else json.dumps(one['value'], indent=2))}</pre>"
        for one in several
    )
