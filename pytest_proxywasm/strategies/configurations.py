"""Strategies for plugin configurations; knows JSON Schema by way of hypothesis-jsonschema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from ..errors import UsageError


def configurations(json_schema: Mapping[str, Any] | bool) -> st.SearchStrategy[Any]:
    """JSON values that a schema allows, for ``proxywasm_filter.replace(configuration=...)``.

    Needs the extra ``jsonschema``.

    Raises:
        UsageError: hypothesis-jsonschema is not installed.
    """
    try:
        from hypothesis_jsonschema import from_schema
    except ImportError:
        raise UsageError(
            "configurations(json_schema) needs hypothesis-jsonschema, which is not installed: "
            "pip install 'pytest-proxywasm[jsonschema]'"
        ) from None
    found: st.SearchStrategy[Any] = from_schema(dict(json_schema) if isinstance(json_schema, Mapping) else json_schema)
    return found
