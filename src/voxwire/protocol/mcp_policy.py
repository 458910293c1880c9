"""What `allowed_tools` and `require_approval` of a hosted MCP tool say about one tool.

Source: Realtime API reference, `session.tools` of type `mcp`: a filter has `tool_names`, `read_only`, or both,
which then must both hold; without a word on it, approval is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["is_allowed", "is_read_only", "needs_approval"]


def is_read_only(tool: Mapping[str, Any]) -> bool:
    """Whether a listed tool says that it changes nothing (`annotations.readOnlyHint`)."""
    annotations = tool.get("annotations")
    return isinstance(annotations, Mapping) and bool(
        cast("Mapping[str, Any]", annotations).get("readOnlyHint")
    )


def is_allowed(allowed: object, tool: Mapping[str, Any]) -> bool:
    """Whether the model may use a listed tool, by `allowed_tools`: names, a filter, or nothing at all."""
    if isinstance(allowed, (list, tuple)):
        return tool.get("name") in cast("list[Any]", allowed)
    return _matches(cast("Mapping[str, Any]", allowed), tool) if isinstance(allowed, Mapping) else True


def needs_approval(policy: object, tool: Mapping[str, Any]) -> bool:
    """Whether a call of a listed tool has to be approved, by `require_approval`."""
    if isinstance(policy, Mapping):
        rules = cast("Mapping[str, Any]", policy)
        always, never = rules.get("always"), rules.get("never")
        if isinstance(always, Mapping) and _matches(cast("Mapping[str, Any]", always), tool):
            return True
        if isinstance(never, Mapping):
            return not _matches(cast("Mapping[str, Any]", never), tool)
        # Only an `always` filter was given: it names the tools that are meant.
        return not isinstance(always, Mapping)
    return policy != "never"


def _matches(rule: Mapping[str, Any], tool: Mapping[str, Any]) -> bool:
    names, read_only = rule.get("tool_names"), rule.get("read_only")
    if names is None and read_only is None:
        return False
    if isinstance(names, (list, tuple)) and tool.get("name") not in cast("list[Any]", names):
        return False
    return read_only is None or bool(read_only) == is_read_only(tool)
