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
        _operation(method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    intro = f"<p>{_prose(document['info'].get('description', ''))}</p>"
    return "\n".join([_HEAD, intro, *operations, "</main></body></html>"])


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<section><h2><code>{method} {escape(path)}</code></h2>"]
    parts.append(f"<p>{_prose(operation.get('description') or operation.get('summary', ''))}</p>")
    if operation.get("parameters"):
        parts.append("<h3>Parameters</h3><dl>")
        parts += [
            f"<dt><code>{escape(parameter['name'])}</code> in {escape(parameter['in'])}</dt>"
            f"<dd>{_prose(parameter.get('description', ''))}</dd>"
            for parameter in operation["parameters"]
        ]
        parts.append("</dl>")
    parts += [
        f"<h3>Body: <code>{escape(media_type)}</code></h3>{_example(content)}"
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    parts.append("<h3>Answers</h3><dl>")
    for status, response in operation.get("responses", {}).items():
        parts.append(f"<dt>{escape(status)}</dt><dd>{_prose(response.get('description', ''))}")
        parts += [_example(content) for content in response.get("content", {}).values()]
        parts.append("</dd>")
    parts.append("</dl></section>")
    return "\n".join(parts)


def _prose(text: str) -> str:
    """Text as HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _example(content: dict[str, Any]) -> str:
    example = content.get("example")
    if example is None:
        return ""
    text = example if isinstance(example, str) else json.dumps(example, indent=2)
    return f"<pre>{escape(text)}</pre>"
