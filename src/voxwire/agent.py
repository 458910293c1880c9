"""Agents: instructions, tools and other agents to hand over to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from .errors import UserError
from .guardrail import InputGuardrail, OutputGuardrail, as_guardrails
from .handoffs import Handoff, as_handoff
from .mcp.hosted import HostedMcpTool, as_hosted_tool
from .mcp.tools import is_mcp_server
from .protocol.config import Prompt
from .tools.context import RunContext
from .tools.function import FunctionTool, as_tool

__all__ = ["TOOL_CHOICES", "Instructions", "PromptLike", "RealtimeAgent"]

Instructions: TypeAlias = "str | Callable[[RunContext[Any], RealtimeAgent], str | Awaitable[str]]"
"""A text, or a function or coroutine function that gives one; asked at every configuration."""
PromptValue: TypeAlias = "Prompt | Mapping[str, Any] | None"
PromptLike: TypeAlias = (
    "PromptValue | Callable[[RunContext[Any], RealtimeAgent], PromptValue | Awaitable[PromptValue]]"
)
"""A prompt stored at the service, or a function that gives one."""
TOOL_CHOICES: Final = ("auto", "none", "required")
"""Tool choices that are no tool's name."""


@dataclass(frozen=True, eq=False, repr=False)
class RealtimeAgent:
    """Somebody to talk to.

    The attributes stay what they are; `tools` and `handoffs` are lists that may still grow, so that two
    agents can hand over to each other. A session looks at them when it connects, at a handoff and at
    `update_agent`.

    Attributes:
        name: shown to the model in handoffs; not blank.
        instructions: the system prompt, or a function of the run context and the agent.
        prompt: a prompt stored at the service.
        tools: what `@tool` makes, and `hosted_mcp_tool(...)`.
        handoffs: agents, or `handoff(...)` for more control.
        handoff_description: when to hand over to this agent, for the others.
        voice: its voice, where the session's configuration names none. The service keeps the first
            voice once the agent has spoken.
        tool_choice: `auto`, `none`, `required`, or the name of the tool that every response calls. It holds
            for the response to a tool's output as well: with `required`, the agent never speaks.
        mcp_servers: local MCP servers: `McpStdioServer`, `McpHttpServer`, or those of openai-agents.
        output_guardrails, input_guardrails: checks of what this agent says, and of what the user says to it,
            beside the session's.

    Raises:
        UserError: if a value cannot be used.
    """

    name: str
    instructions: Instructions = ""
    prompt: PromptLike = None
    tools: list[Any] = field(default_factory=list[Any])
    handoffs: list[RealtimeAgent | Handoff] = field(default_factory=list["RealtimeAgent | Handoff"])
    handoff_description: str | None = None
    voice: str | Mapping[str, Any] | None = None
    mcp_servers: list[Any] = field(default_factory=list[Any])
    tool_choice: str | Mapping[str, Any] | None = None
    output_guardrails: list[Any] = field(default_factory=list[Any])
    input_guardrails: list[Any] = field(default_factory=list[Any])

    def __post_init__(self) -> None:
        self._check()
        for name in ("tools", "handoffs", "mcp_servers", "output_guardrails", "input_guardrails"):
            object.__setattr__(self, name, list(getattr(self, name)))
        # Said where the agent is written, not where it is first used.
        self.all_tools()
        self.all_hosted_tools()
        self.all_handoffs()
        self.all_mcp_servers()
        self.all_output_guardrails()
        self.all_input_guardrails()

    def _check(self) -> None:
        name = cast("object", self.name)
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"an agent needs a name that is not blank, got {name!r}")
        instructions: object = self.instructions
        if not isinstance(instructions, str) and not callable(instructions):
            raise UserError(
                f"instructions of agent {name!r} must be a string or a function, "
                f"got {type(instructions).__name__}"
            )
        choice = cast("object", self.tool_choice)
        if choice is not None and not (isinstance(choice, Mapping) or (isinstance(choice, str) and choice)):
            raise UserError(
                f"tool_choice of agent {name!r} must be one of {', '.join(TOOL_CHOICES)}, a tool's name, "
                f"or a dict as the wire has it, got {choice!r}"
            )
        for what in ("tools", "handoffs", "mcp_servers", "output_guardrails", "input_guardrails"):
            _need_list(getattr(self, what), f"{what} of agent {name!r}")

    def all_tools(self) -> list[FunctionTool[..., Any]]:
        """The function tools, enabled or not.

        Raises:
            UserError: if something else is among them.
        """
        try:
            return [as_tool(entry) for entry in self.tools if as_hosted_tool(entry) is None]
        except UserError as error:
            raise UserError(f"tools of agent {self.name!r}: {error}") from None

    def all_hosted_tools(self) -> list[HostedMcpTool]:
        """The tools that the service calls itself.

        Raises:
            UserError: if two have one `server_label`.
        """
        hosted = [found for entry in self.tools if (found := as_hosted_tool(entry)) is not None]
        labels = [found.server_label for found in hosted]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise UserError(f"tools of agent {self.name!r}: two hosted MCP tools have the label {twice[0]!r}")
        return hosted

    def all_mcp_servers(self) -> list[Any]:
        """The local MCP servers.

        Raises:
            UserError: if something else is among them.
        """
        for entry in self.mcp_servers:
            if not is_mcp_server(entry):
                hint = "; hosted MCP tools belong into tools" if as_hosted_tool(entry) is not None else ""
                raise UserError(f"mcp_servers of agent {self.name!r}: {entry!r} is no MCP server{hint}")
        return list(self.mcp_servers)

    def all_handoffs(self) -> list[Handoff]:
        """The handoffs, enabled or not; agents are wrapped.

        Raises:
            UserError: if something else is among them.
        """
        try:
            return [as_handoff(entry) for entry in self.handoffs]
        except UserError as error:
            raise UserError(f"handoffs of agent {self.name!r}: {error}") from None

    def all_output_guardrails(self) -> tuple[OutputGuardrail, ...]:
        """The checks of what the agent says.

        Raises:
            UserError: if something else is among them.
        """
        return as_guardrails(
            self.output_guardrails, OutputGuardrail, f"output_guardrails of agent {self.name!r}"
        )

    def all_input_guardrails(self) -> tuple[InputGuardrail, ...]:
        """The checks of what the user says to the agent.

        Raises:
            UserError: if something else is among them.
        """
        return as_guardrails(
            self.input_guardrails, InputGuardrail, f"input_guardrails of agent {self.name!r}"
        )

    def __repr__(self) -> str:
        # Not the instructions: they are long, and not for the log.
        return f"RealtimeAgent({self.name!r})"


def _need_list(value: object, what: str) -> None:
    if not isinstance(value, (list, tuple)):
        raise UserError(f"{what} must be a list, got {value!r}")
