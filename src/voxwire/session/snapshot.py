"""An agent as the service was told about it, at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..agent import TOOL_CHOICES, RealtimeAgent
from ..errors import UserError
from ..handoffs import Handoff
from ..mcp.hosted import HostedMcpTool
from ..tools.calling import call
from ..tools.context import RunContext
from ..tools.function import Enabled, FunctionTool

__all__ = ["AgentSnapshot", "is_enabled", "may_change", "take_snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class AgentSnapshot:
    """The tools and handoffs the model can call, by name. They stay the same while a response runs."""

    agent: RealtimeAgent
    tools: Mapping[str, FunctionTool[..., Any]]
    handoffs: Mapping[str, Handoff]
    hosted: Sequence[HostedMcpTool] = ()

    def has(self, name: str) -> bool:
        """Whether the model can call something of this name."""
        return name in self.tools or name in self.handoffs

    @property
    def tool_choice(self) -> str | Mapping[str, Any] | None:
        """The agent's choice, as the wire has it; `auto` while the tool that it names is switched off."""
        choice = self.agent.tool_choice
        if not isinstance(choice, str) or choice in TOOL_CHOICES:
            return choice
        return {"type": "function", "name": choice} if self.has(choice) else "auto"

    def wire_tools(self) -> list[dict[str, Any]]:
        """All of them, as the Realtime API has them."""
        return [
            *(tool.to_wire() for tool in self.tools.values()),
            *(entry.to_wire() for entry in self.hosted),
            *(entry.to_wire() for entry in self.handoffs.values()),
        ]


async def take_snapshot(
    agent: RealtimeAgent,
    context: RunContext[Any],
    mcp_tools: Mapping[str, Sequence[FunctionTool[..., Any]]] | None = None,
) -> AgentSnapshot:
    """Look at an agent now: what is enabled, and whether it fits together.

    Args:
        mcp_tools: the tools of its local MCP servers, by the server's name.

    Raises:
        UserError: if two tools or handoffs have one name.
    """
    local = dict(mcp_tools or {})
    tools = [tool for tool in agent.all_tools() if await is_enabled(tool.is_enabled, context, agent)]
    handoffs = [entry for entry in agent.all_handoffs() if await is_enabled(entry.is_enabled, context, agent)]
    _refuse_duplicates(
        *((f"MCP tool of {name!r}", [tool.name for tool in offered]) for name, offered in local.items()),
        ("function tool", [tool.name for tool in tools]),
        ("handoff", [entry.tool_name for entry in handoffs]),
    )
    tools = [*(tool for offered in local.values() for tool in offered), *tools]
    return AgentSnapshot(
        agent,
        {tool.name: tool for tool in tools},
        {entry.tool_name: entry for entry in handoffs},
        tuple(agent.all_hosted_tools()),
    )


def may_change(agent: RealtimeAgent) -> bool:
    """Whether what an agent offers depends on a function."""
    settings = [tool.is_enabled for tool in agent.all_tools()]
    return any(
        callable(setting) for setting in [*settings, *(entry.is_enabled for entry in agent.all_handoffs())]
    )


async def is_enabled(setting: Enabled, context: RunContext[Any], agent: RealtimeAgent) -> bool:
    """The constant, or what the function says now."""
    return bool(await call(setting, context, agent)) if callable(setting) else bool(setting)


def _refuse_duplicates(*named: tuple[str, Iterable[str]]) -> None:
    kinds: dict[str, Counter[str]] = {}
    for kind, names in named:
        for name in names:
            kinds.setdefault(name, Counter())[kind] += 1
    twice = sorted(name for name, counts in kinds.items() if counts.total() > 1)
    if twice:
        listing = ", ".join(f"{name!r} ({_in_words(kinds[name])})" for name in twice)
        raise UserError(f"Duplicate Realtime tool name(s) found: {listing}")


def _in_words(counts: Counter[str]) -> str:
    words = [kind if count == 1 else f"{count} {kind}s" for kind, count in counts.items()]
    return " and ".join(words)
