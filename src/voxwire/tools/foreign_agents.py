"""Handoffs and realtime agents of `openai-agents`, accepted by their shape."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from ..agent import RealtimeAgent
from ..errors import UserError
from ..handoffs import Handoff, is_foreign_agent, is_foreign_handoff
from .arguments import InvalidArgumentsError
from .calling import call
from .context import RunContext
from .foreign import adapt_enabled, run_wrapper, tool_context

__all__ = ["ForeignHandoff", "adapt_agent", "adapt_handoff"]

REMEMBERED: Final = 256
"""Agents that are recognised when they come again, so that each stays one agent of ours."""
_EMPTY: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}
_known: OrderedDict[int, tuple[Any, RealtimeAgent]] = OrderedDict()


@dataclass(frozen=True, eq=False, kw_only=True)
class ForeignHandoff(Handoff):
    """A handoff of that package. Who goes on is known when it is invoked; until then `agent` has only the name."""

    schema: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    foreign: Any = field(repr=False)

    def to_wire(self) -> dict[str, Any]:
        """The handoff as the Realtime API sees it: a function tool."""
        return {**super().to_wire(), "parameters": dict(self.schema or _EMPTY)}

    async def prepare(self, context: RunContext[Any], arguments: str) -> RealtimeAgent:
        """Invoke it; returns who goes on.

        Raises:
            InvalidArgumentsError: if the input cannot be read.
            UserError: if it gave no realtime agent.
            Whatever it raises.
        """
        if is_foreign_agent(self.foreign):
            return adapt_agent(self.foreign)
        try:
            target = await call(self.foreign.on_invoke_handoff, tool_context(context), arguments or "{}")
        except Exception as error:
            if type(error).__name__ == "ModelBehaviorError":
                raise InvalidArgumentsError(str(error)) from error
            raise
        if isinstance(target, RealtimeAgent):
            return target
        if not is_foreign_agent(target):
            raise UserError(f"handoff {self.tool_name!r} gave {target!r}, which is no realtime agent")
        return adapt_agent(target)


def adapt_handoff(foreign: Any) -> ForeignHandoff:
    """A handoff of ours that does what this handoff, or a handoff to this agent, does.

    Raises:
        UserError: if its name cannot be used.
    """
    if is_foreign_handoff(foreign):
        return ForeignHandoff(
            agent=RealtimeAgent(str(getattr(foreign, "agent_name", "") or foreign.tool_name)),
            tool_name=foreign.tool_name,
            description=foreign.tool_description or "",
            is_enabled=adapt_enabled(getattr(foreign, "is_enabled", True)),
            schema=foreign.input_json_schema or {},
            foreign=foreign,
        )
    # As that package names it.
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"transfer_to_{foreign.name}").lower()
    words = f"Handoff to the {foreign.name} agent to handle the request. {foreign.handoff_description or ''}"
    return ForeignHandoff(
        agent=RealtimeAgent(foreign.name), tool_name=name, description=words.strip(), foreign=foreign
    )


def adapt_agent(foreign: Any) -> RealtimeAgent:
    """An agent of ours with the instructions, tools, handoffs and MCP servers of this one; always the same one.

    Raises:
        UserError: if it has something that cannot be used.
    """
    known = _known.get(id(foreign))
    if known is not None and known[0] is foreign:
        return known[1]
    instructions: object = foreign.instructions
    if callable(instructions):
        function = instructions

        async def ask(context: RunContext[Any], _agent: RealtimeAgent) -> str:
            return cast("str", await call(function, run_wrapper(context), foreign))

        instructions = ask
    agent = RealtimeAgent(
        name=foreign.name,
        instructions=cast("Any", instructions) or "",
        prompt=_prompt(getattr(foreign, "prompt", None)),
        tools=foreign.tools,
        handoffs=foreign.handoffs,
        handoff_description=foreign.handoff_description,
        mcp_servers=getattr(foreign, "mcp_servers", None) or [],
    )
    _known[id(foreign)] = (foreign, agent)
    if len(_known) > REMEMBERED:
        _known.popitem(last=False)
    return agent


def _prompt(prompt: Any) -> Any:
    return dict(cast("Mapping[str, Any]", prompt)) if isinstance(prompt, Mapping) else prompt
