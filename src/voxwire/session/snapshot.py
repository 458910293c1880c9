"""An agent as the service was told about it, at one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..agent import RealtimeAgent
from ..errors import UserError
from ..handoffs import Handoff
from ..tools.calling import call
from ..tools.context import RunContext
from ..tools.function import Enabled, FunctionTool

__all__ = ["AgentSnapshot", "is_enabled", "take_snapshot"]


@dataclass(frozen=True, slots=True, eq=False)
class AgentSnapshot:
    """The tools and handoffs the model can call, by name. They stay the same while a response runs."""

    agent: RealtimeAgent
    tools: Mapping[str, FunctionTool[..., Any]]
    handoffs: Mapping[str, Handoff]

    def has(self, name: str) -> bool:
        """Whether the model can call something of this name."""
        return name in self.tools or name in self.handoffs

    def wire_tools(self) -> list[dict[str, Any]]:
        """All of them, as the Realtime API has them."""
        return [
            *(tool.to_wire() for tool in self.tools.values()),
            *(entry.to_wire() for entry in self.handoffs.values()),
        ]


async def take_snapshot(agent: RealtimeAgent, context: RunContext[Any]) -> AgentSnapshot:
    """Look at an agent now: what is enabled, and whether it fits together.

    Raises:
        UserError: if two tools or handoffs have one name, or something is asked for that this
            version does not have.
    """
    tools = [tool for tool in agent.all_tools() if await is_enabled(tool.is_enabled, context, agent)]
    handoffs = [entry for entry in agent.all_handoffs() if await is_enabled(entry.is_enabled, context, agent)]
    _refuse_duplicates((tool.name for tool in tools), (entry.tool_name for entry in handoffs))
    _refuse_missing(agent, tools)
    return AgentSnapshot(
        agent, {tool.name: tool for tool in tools}, {entry.tool_name: entry for entry in handoffs}
    )


async def is_enabled(setting: Enabled, context: RunContext[Any], agent: RealtimeAgent) -> bool:
    """The constant, or what the function says now."""
    return bool(await call(setting, context, agent)) if callable(setting) else bool(setting)


def _refuse_duplicates(tools: Iterable[str], handoffs: Iterable[str]) -> None:
    kinds: dict[str, Counter[str]] = {}
    for kind, names in (("function tool", tools), ("handoff", handoffs)):
        for name in names:
            kinds.setdefault(name, Counter())[kind] += 1
    twice = sorted(name for name, counts in kinds.items() if counts.total() > 1)
    if twice:
        listing = ", ".join(f"{name!r} ({_in_words(kinds[name])})" for name in twice)
        raise UserError(f"Duplicate Realtime tool name(s) found: {listing}")


def _in_words(counts: Counter[str]) -> str:
    words = [kind if count == 1 else f"{count} {kind}s" for kind, count in counts.items()]
    return " and ".join(words)


def _refuse_missing(agent: RealtimeAgent, tools: Iterable[FunctionTool[..., Any]]) -> None:
    # To run such a tool unasked, or to leave a server out in silence, would be worse than to say so.
    for tool in tools:
        if tool.needs_approval is not False:
            raise UserError(f"tool {tool.name!r} needs approval, which this version cannot ask for yet")
    if agent.mcp_servers:
        raise UserError(f"agent {agent.name!r} has mcp_servers, which this version cannot use yet")
