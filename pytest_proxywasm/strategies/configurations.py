"""Strategies for plugin configurations; knows JSON Schema by way of hypothesis-jsonschema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st
from hypothesis.internal.conjecture import utils

from ..errors import UsageError


class _Many:
    """Hypothesis's helper for collections as hypothesis-jsonschema 0.23 uses it; newer Hypothesis changed its loop."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._new: Any = utils.many(*args, **kwargs)
        self._elements: Iterator[None] | None = None

    def more(self) -> bool:
        """Whether there is another element."""
        if self._elements is None:
            self._new.__enter__()
            self._elements = iter(self._new)
        for _ in self._elements:
            return True
        self._new.__exit__(None, None, None)
        return False

    def reject(self) -> None:
        """The element does not count."""
        self._new.reject()


class _OldUtils:
    """What hypothesis-jsonschema takes from that module."""

    many = _Many


def configurations(json_schema: Mapping[str, Any] | bool) -> st.SearchStrategy[Any]:
    """JSON values that a schema allows, for ``proxywasm_filter.replace(configuration=...)``.

    Needs the extra ``jsonschema``.

    Raises:
        UsageError: hypothesis-jsonschema is not installed.
    """
    try:
        from hypothesis_jsonschema import _from_schema, from_schema
    except ImportError:
        raise UsageError(
            "configurations(json_schema) needs hypothesis-jsonschema, which is not installed: "
            "pip install 'pytest-proxywasm[jsonschema]'"
        ) from None
    if not hasattr(utils.many, "more"):
        module: Any = _from_schema
        module.cu = _OldUtils
    found: st.SearchStrategy[Any] = from_schema(dict(json_schema) if isinstance(json_schema, Mapping) else json_schema)
    return found
