"""What clients may say about hosted MCP tools.

Source: Realtime API reference, `session.tools` of type `mcp`, and openai-python 3.x.
"""

from __future__ import annotations

from typing import Any

from .errors import ClientError
from .schema import Check, any_mapping, any_of, array, boolean, missing, nullable, obj, one_of, text

__all__ = ["MCP_CHOICE", "MCP_TOOL", "unique_labels"]

_FILTER = obj({"tool_names": array(text(256, 1), 512), "read_only": boolean})


def _headers(value: Any, param: str) -> dict[str, str]:
    check = text(16_384)
    return {str(name): check(item, f"{param}.{name}") for name, item in any_mapping(value, param).items()}


_FIELDS = obj(
    {
        "type": text(),
        "server_label": text(256, 1),
        "server_url": nullable(text(4096)),
        "connector_id": nullable(text(256)),
        "authorization": nullable(text(65_536)),
        "server_description": nullable(text()),
        "headers": nullable(_headers),
        "allowed_tools": nullable(any_of("an array or an object", array(text(256, 1), 512), _FILTER)),
        "require_approval": nullable(
            any_of(
                "'always', 'never' or an object",
                one_of("always", "never"),
                obj({"always": nullable(_FILTER), "never": nullable(_FILTER)}),
            )
        ),
        # Stored like `noise_reduction`: what they ask for does not exist here.
        "allowed_callers": nullable(array(text(), 16)),
        "defer_loading": nullable(boolean),
        "tunnel_id": nullable(text(256)),
    },
    required=("server_label",),
)

MCP_CHOICE: Check = obj(
    {"type": text(), "server_label": text(256, 1), "name": nullable(text(256, 1))}, required=("server_label",)
)
"""The `tool_choice` of type `mcp`."""


def MCP_TOOL(value: Any, param: str) -> dict[str, Any]:  # noqa: N802 - a check, used like the constants
    """One tool of type `mcp`."""
    given: dict[str, Any] = _FIELDS(value, param)
    if not given.get("server_url") and not given.get("connector_id"):
        raise missing(f"{param}.server_url")
    return given


def unique_labels(inner: Check) -> Check:
    """A list of tools in which each server label occurs once."""

    def check(value: Any, param: str) -> list[dict[str, Any]]:
        tools: list[dict[str, Any]] = inner(value, param)
        seen: set[str] = set()
        for index, tool in enumerate(tools):
            label = tool.get("server_label")
            if label in seen:
                raise ClientError(
                    f"Duplicate server_label: '{label}'. Each MCP server needs a label of its own.",
                    param=f"{param}[{index}].server_label",
                )
            if label is not None:
                seen.add(label)
        return tools

    return check
