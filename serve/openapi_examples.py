"""Examples of whole answers, put together from the examples of their fields, so that each is written down once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def example_of(schema: Mapping[str, Any], components: Mapping[str, Mapping[str, Any]]) -> Any:  # noqa: ANN401
    """The example of a JSON schema: its own first one, or an object or list of the examples of its parts.

    Args:
        schema: part of an OpenAPI 3.1 document.
        components: the document's schemas by name.

    Raises:
        ValueError: a part has none.
    """
    if "$ref" in schema:
        return example_of(components[schema["$ref"].rsplit("/", 1)[-1]], components)
    if "examples" in schema:
        return schema["examples"][0]
    if "anyOf" in schema:
        return example_of(schema["anyOf"][0], components)
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: example_of(part, components) for name, part in schema["properties"].items()}
        case "array":
            return [example_of(schema["items"], components)]
    raise ValueError(f"no example in {dict(schema)}")
