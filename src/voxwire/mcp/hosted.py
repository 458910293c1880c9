"""Hosted MCP tools: servers that the service itself reaches and calls.

Source of the fields: Realtime API reference, `session.tools` of type `mcp`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ..errors import ConfigError, UserError
from ..protocol import config_values
from ..protocol.unset import UNSET

__all__ = ["HostedMcpTool", "as_hosted_tool", "hosted_mcp_tool"]


@dataclass(frozen=True, eq=False)
class HostedMcpTool:
    """An entry of an agent's `tools`; `hosted_mcp_tool()` makes one.

    Attributes:
        wire: the tool as the Realtime API has it (`session.tools`).
    """

    wire: Mapping[str, Any] = field(repr=False)  # it holds keys

    @property
    def server_label(self) -> str:
        """What the service calls the server."""
        return str(self.wire["server_label"])

    def to_wire(self) -> dict[str, Any]:
        """A copy of `wire`."""
        return dict(self.wire)

    def __repr__(self) -> str:
        return f"HostedMcpTool({self.server_label!r})"


def hosted_mcp_tool(
    server_label: str,
    *,
    server_url: Any = UNSET,
    connector_id: Any = UNSET,
    authorization: Any = UNSET,
    server_description: Any = UNSET,
    allowed_tools: Sequence[str] | Mapping[str, Any] | Any = UNSET,
    require_approval: str | Mapping[str, Any] | Any = UNSET,
    headers: Mapping[str, str] | Any = UNSET,
    **others: Any,
) -> HostedMcpTool:
    """Tools of an MCP server that the service calls; what is left out is not sent.

    Args:
        server_label: names the server in events and to the model.
        server_url: its address; or
        connector_id: one of the service's own connectors, `connector_gmail` for example.
        authorization: an OAuth token that the service presents to the server.
        server_description: what the model is told about it.
        allowed_tools: names of the tools the model may use, or a filter
            (`{"tool_names": [...], "read_only": True}`).
        require_approval: `"always"`, `"never"`, or `{"always": filter, "never": filter}`; the service's
            default is always. See the session's `tool_approval_requested`.
        headers: sent to the server with every request.
        others: fields that the service knows and this version does not, `defer_loading` for example.

    Raises:
        ConfigError: if a value cannot be used.
    """
    if not isinstance(cast("object", server_label), str) or not server_label.strip():
        raise ConfigError(f"server_label of a hosted MCP tool must not be blank, got {server_label!r}")
    given = {
        "server_url": server_url,
        "connector_id": connector_id,
        "authorization": authorization,
        "server_description": server_description,
        "headers": headers,
        "allowed_tools": allowed_tools,
        "require_approval": require_approval,
        **others,
    }
    if not any(given[name] not in (UNSET, None, "") for name in ("server_url", "connector_id")):
        raise ConfigError(f"hosted MCP tool {server_label!r} needs a server_url or a connector_id")
    fields = {name: value for name, value in given.items() if value is not UNSET}
    if isinstance(fields.get("allowed_tools"), str):
        raise ConfigError(f"allowed_tools must be a list of names or a filter, got {allowed_tools!r}")
    if isinstance(fields.get("allowed_tools"), (tuple, set, frozenset)):
        fields["allowed_tools"] = list(cast("Sequence[str]", fields["allowed_tools"]))
    wire = config_values.tool({"type": "mcp", "server_label": server_label, **fields}, "hosted_mcp_tool()")
    return HostedMcpTool(wire)


def as_hosted_tool(value: object) -> HostedMcpTool | None:
    """The hosted tool that an entry of an agent's `tools` stands for; None if it is something else.

    Dicts of the wire are taken, and objects with such a dict as `tool_config`, as openai-agents has them.

    Raises:
        UserError: if it is one and cannot be used.
    """
    if isinstance(value, HostedMcpTool):
        return value
    config: object = getattr(value, "tool_config", value)
    if not isinstance(config, Mapping) or cast("Mapping[str, Any]", config).get("type") != "mcp":
        return None
    if callable(getattr(value, "on_approval_request", None)):
        raise UserError(
            "on_approval_request of a hosted MCP tool is not called here; "
            "listen to the session's tool_approval_requested"
        )
    fields = {str(key): item for key, item in cast("Mapping[str, Any]", config).items() if key != "type"}
    return hosted_mcp_tool(fields.pop("server_label", ""), **fields)
