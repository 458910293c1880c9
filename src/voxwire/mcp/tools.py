"""The tools of a local MCP server as function tools."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from ..errors import UserError
from ..tools.arguments import read_json
from ..tools.context import RunContext
from ..tools.function import FunctionTool, NeedsApproval
from .results import result_value

__all__ = ["function_tools", "is_mcp_server", "server_name"]

_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
MAX_NAME: Final = 64


def is_mcp_server(value: object) -> bool:
    """Whether it has the shape of one: `connect`, `list_tools`, `call_tool` and `cleanup`.

    Ours have it, and so have those of openai-agents.
    """
    return all(
        callable(getattr(value, name, None)) for name in ("connect", "list_tools", "call_tool", "cleanup")
    )


def server_name(server: Any) -> str:
    """What to call a server in errors."""
    return str(getattr(server, "name", None) or type(server).__name__)


def function_tools(server: Any, listed: Sequence[Any]) -> list[FunctionTool[..., Any]]:
    """A server's tools, ready to be called by the model.

    The schema is passed on as it is. Characters that a tool's name may not have at the service become
    `_`; the server is called by its own name for the tool.

    Args:
        server: the server, by shape.
        listed: what its `list_tools()` gave: dicts or objects of the `mcp` package.

    Raises:
        UserError: if a tool has no usable name or schema.
    """
    return [_function_tool(server, _as_wire(tool)) for tool in listed]


def _as_wire(tool: Any) -> Mapping[str, Any]:
    if isinstance(tool, Mapping):
        return cast("Mapping[str, Any]", tool)
    dump: Any = getattr(tool, "model_dump", None)
    if not callable(dump):
        raise UserError(f"{tool!r} is no MCP tool")
    wire: Mapping[str, Any] = cast("Callable[..., Any]", dump)(mode="json", by_alias=True, exclude_none=True)
    return wire


def _function_tool(server: Any, tool: Mapping[str, Any]) -> FunctionTool[..., Any]:
    own_name = str(tool.get("name") or "")
    prefixed = f"{getattr(server, 'prefix', '')}{own_name}"
    schema = dict(cast("Mapping[str, Any]", tool.get("inputSchema") or {}))
    schema.setdefault("type", "object")
    schema.setdefault("properties", {})
    try:
        return FunctionTool(
            name=_NOT_IN_NAMES.sub("_", prefixed)[:MAX_NAME],
            description=str(tool.get("description") or tool.get("title") or ""),
            parameters=schema,
            invoke=_Invoke(server, own_name),
            timeout=getattr(server, "timeout", None),
            needs_approval=_approval(server, tool),
            strict=False,
        )
    except UserError as error:
        raise UserError(f"MCP server {server_name(server)!r}: {error}") from None


class _Invoke:
    """Calls the tool at its server."""

    def __init__(self, server: Any, name: str) -> None:
        self._server = server
        self._name = name

    async def __call__(self, _context: RunContext[Any], arguments: str) -> Any:
        result = await self._server.call_tool(self._name, read_json(arguments))
        return result_value(_as_wire(result))


def _approval(server: Any, tool: Mapping[str, Any]) -> NeedsApproval:
    """When a person has to agree; for servers of openai-agents, as they were told (`require_approval`)."""
    if hasattr(server, "needs_approval"):
        return cast("NeedsApproval", server.needs_approval)
    policy: object = getattr(server, "_needs_approval_policy", False)
    if isinstance(policy, Mapping):
        return bool(cast("Mapping[str, Any]", policy).get(str(tool.get("name")), False))
    if not callable(policy):
        return bool(policy)

    async def decide(context: RunContext[Any], _arguments: Mapping[str, Any]) -> bool:
        # Theirs is asked with context, agent and tool; the tool is here what the protocol has.
        answer: Any = policy(context, context.agent, _Named(tool))
        return bool(await answer if inspect.isawaitable(answer) else answer)

    return decide


class _Named:
    """A tool with the protocol's fields as attributes, as functions of openai-agents' users expect it."""

    def __init__(self, tool: Mapping[str, Any]) -> None:
        self.name = str(tool.get("name"))
        self.description = tool.get("description")
        self.inputSchema = self.input_schema = tool.get("inputSchema")
        self.annotations = tool.get("annotations")
