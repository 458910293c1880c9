"""Handoffs: how one agent passes the conversation on to another."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from .errors import UserError
from .tools.arguments import Arguments, value_of
from .tools.calling import call_in_thread
from .tools.context import RunContext
from .tools.function import Enabled, check_name

if TYPE_CHECKING:
    from .agent import RealtimeAgent

__all__ = ["Handoff", "as_handoff", "handoff"]

_EMPTY: Mapping[str, Any] = {
    "type": "object",
    "properties": {},
    "required": [],
    "additionalProperties": False,
}


@dataclass(frozen=True, eq=False, kw_only=True)
class Handoff:
    """A tool of the model's that makes another agent go on. `handoff()` makes one.

    Attributes:
        agent: who goes on.
        tool_name: the tool's name, `transfer_to_<agent>` unless given.
        description: what the model is told about it.
        on_handoff: called before the agents change, with the run context and, if there is an
            `input_type`, what the model filled in.
        is_enabled: whether it is offered.
    """

    agent: RealtimeAgent
    tool_name: str
    description: str
    on_handoff: Callable[..., Any] | None = field(default=None, repr=False)
    is_enabled: Enabled = True
    arguments: Arguments | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_name(self.tool_name, f"the tool name of the handoff to {self.agent.name!r}")

    def to_wire(self) -> dict[str, Any]:
        """The handoff as the Realtime API sees it: a function tool."""
        schema = self.arguments.schema if self.arguments is not None else _EMPTY
        return {
            "type": "function",
            "name": self.tool_name,
            "description": self.description,
            "parameters": dict(schema),
        }

    def output_for(self, agent: RealtimeAgent) -> str:
        """What the model is told when `agent` has taken over."""
        return json.dumps({"assistant": agent.name}, ensure_ascii=False)

    async def prepare(self, context: RunContext[Any], arguments: str) -> RealtimeAgent:
        """Read the model's input and call `on_handoff`; returns who goes on.

        Raises:
            InvalidArgumentsError: if the input cannot be read.
            Whatever `on_handoff` raises.
        """
        if self.arguments is None:
            if self.on_handoff is not None:
                await call_in_thread(self.on_handoff, context)
            return self.agent
        value = self.arguments.parse(arguments)
        if self.on_handoff is not None:
            await call_in_thread(self.on_handoff, context, value)
        return self.agent


def handoff(
    agent: RealtimeAgent,
    *,
    tool_name: str | None = None,
    description: str | None = None,
    on_handoff: Callable[..., Any] | None = None,
    input_type: Any = None,
    is_enabled: Enabled = True,
) -> Handoff:
    """A handoff to `agent`, where the bare agent does not say enough.

    Args:
        tool_name: instead of `transfer_to_` and the agent's name.
        description: instead of one made of the agent's name and its `handoff_description`.
        on_handoff: function or coroutine function, called with the run context before the agents
            change; if it raises, they do not. With `input_type` it gets the input as well.
        input_type: what the model is to fill in: a pydantic model, a dataclass, a TypedDict.
        is_enabled: whether it is offered; or a function that decides.

    Raises:
        UserError: if a value cannot be used.
    """
    from .agent import RealtimeAgent

    if not isinstance(cast("object", agent), RealtimeAgent):
        raise UserError(f"a handoff needs a RealtimeAgent, got {agent!r}")
    if on_handoff is not None and not callable(on_handoff):
        raise UserError(f"on_handoff must be a function, got {on_handoff!r}")
    return Handoff(
        agent=agent,
        tool_name=tool_name if tool_name is not None else default_tool_name(agent.name),
        description=description if description is not None else default_description(agent),
        on_handoff=on_handoff,
        is_enabled=is_enabled,
        arguments=value_of(input_type) if input_type is not None else None,
    )


def default_tool_name(agent_name: str) -> str:
    """`transfer_to_Math_Tutor` for "Math Tutor": what is no ASCII letter or digit becomes `_`."""
    return "transfer_to_" + re.sub(r"[^A-Za-z0-9]", "_", agent_name)


def default_description(agent: RealtimeAgent) -> str:
    """What the model is told about a handoff to this agent."""
    words = f"Handoff to the {agent.name} agent to handle the request."
    return f"{words} {agent.handoff_description}" if agent.handoff_description else words


def is_foreign_handoff(value: object) -> bool:
    """Whether this has the shape of a `Handoff` of `openai-agents`."""
    return _has(value, "tool_name", "tool_description", "input_json_schema", "on_invoke_handoff")


def is_foreign_agent(value: object) -> bool:
    """Whether this has the shape of a `RealtimeAgent` of `openai-agents`."""
    return _has(value, "name", "instructions", "tools", "handoffs", "handoff_description")


def _has(value: object, *names: str) -> bool:
    return not isinstance(value, type) and all(hasattr(value, name) for name in names)


def as_handoff(value: object) -> Handoff:
    """The handoff that an entry of an agent's `handoffs` stands for: ours, or `openai-agents`', by its shape.

    Raises:
        UserError: if it is neither a handoff nor an agent.
    """
    from .agent import RealtimeAgent

    if isinstance(value, Handoff):
        return value
    if isinstance(value, RealtimeAgent):
        return handoff(value)
    if is_foreign_handoff(value) or is_foreign_agent(value):
        from .tools.foreign_agents import adapt_handoff

        return adapt_handoff(value)
    raise UserError(f"{value!r} is neither an agent nor a handoff")
