"""What a session configures the service to: the user's settings, and those of the agent.

Pure functions on dicts with the wire's names, but for `agent_settings`, which asks the user's functions.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ..errors import UserError
from ..protocol.config import DEFAULT_SESSION, Prompt, SessionConfig, merge_wire
from ..tools.calling import call
from ..tools.context import RunContext
from .snapshot import AgentSnapshot

__all__ = [
    "AgentSettings",
    "TracingOptions",
    "agent_settings",
    "agent_update",
    "first_config",
    "tools_update",
    "user_config",
]

logger = logging.getLogger("voxwire")


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """The part of the configuration that changes with the agent, as the wire has it."""

    instructions: str
    prompt: Mapping[str, Any] | None
    voice: str | Mapping[str, Any] | None
    tools: list[dict[str, Any]]
    tool_choice: str | Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TracingOptions:
    """How the service traces the session, as the session's options say it."""

    disabled: bool = False
    workflow_name: str | None = None
    group_id: str | None = None
    metadata: Mapping[str, Any] | None = None

    def to_wire(self, configured: object = "auto") -> object:
        """`null`, the workflow, or what the configuration has, in this order."""
        if self.workflow_name is None or self.disabled:
            if self.group_id is not None or self.metadata is not None:
                logger.warning(
                    "group_id and trace_metadata have no effect %s",
                    "with tracing_disabled" if self.disabled else "without workflow_name",
                )
            return None if self.disabled else configured
        workflow: dict[str, Any] = {"workflow_name": self.workflow_name}
        if self.group_id is not None:
            workflow["group_id"] = self.group_id
        if self.metadata is not None:
            workflow["metadata"] = dict(self.metadata)
        return workflow


async def agent_settings(snapshot: AgentSnapshot, context: RunContext[Any]) -> AgentSettings:
    """Ask the agent's functions for instructions and prompt.

    Raises:
        UserError: if they give something else than they should.
        Whatever they raise.
    """
    agent = snapshot.agent
    instructions: object = agent.instructions
    if callable(instructions):
        instructions = await call(instructions, context, agent)
    if not isinstance(instructions, str):
        raise UserError(
            f"the instructions function of agent {agent.name!r} gave {type(instructions).__name__}, not a string"
        )
    prompt: object = agent.prompt
    if callable(prompt):
        prompt = await call(prompt, context, agent)
    return AgentSettings(
        instructions, _prompt(prompt, agent.name), agent.voice, snapshot.wire_tools(), snapshot.tool_choice
    )


def _prompt(prompt: object, agent_name: str) -> Mapping[str, Any] | None:
    if prompt is None:
        return None
    if isinstance(prompt, Prompt):
        return prompt.to_wire()
    if isinstance(prompt, Mapping):
        return Prompt.from_dict(cast("Mapping[str, Any]", prompt)).to_wire()
    raise UserError(f"the prompt of agent {agent_name!r} must be a Prompt or a dict, got {prompt!r}")


def user_config(config: SessionConfig, model: str | None) -> dict[str, Any]:
    """The user's settings; `model` wins over the configuration's.

    Raises:
        UserError: if they declare function tools, which nobody would answer.
    """
    wire = config.to_wire()
    for tool in wire.get("tools") or ():
        if tool.get("type") == "function":
            raise UserError(
                f"function tool {tool.get('name')!r} is in config.tools, where nothing would run it; "
                "give it to the agent (tools=[...])"
            )
    return wire if model is None else {**wire, "model": model}


def first_config(user: Mapping[str, Any], settings: AgentSettings, tracing: TracingOptions) -> dict[str, Any]:
    """The first `session.update`: our defaults, the user's settings, then the agent's.

    What an agent leaves empty is left out, so that a prompt, or what the service has for the
    session already, is not overwritten by nothing.
    """
    config = merge_wire(DEFAULT_SESSION.to_wire(), user)
    config = merge_wire(config, {"tracing": tracing.to_wire(user.get("tracing", "auto"))})
    return merge_wire(config, agent_update(config, user, settings))


def agent_update(
    before: Mapping[str, Any], user: Mapping[str, Any], settings: AgentSettings
) -> dict[str, Any]:
    """What `settings` change in the configuration `before`.

    Only the agent's part: whatever else was changed meanwhile stays. What the last agent had
    and this one has not is cleared; what neither has is not mentioned.
    """
    update: dict[str, Any] = {
        "instructions": settings.instructions or user.get("instructions") or "",
        **_tools(before, user, settings.tools, settings.tool_choice),
        "prompt": settings.prompt if settings.prompt is not None else user.get("prompt"),
    }
    update = {key: value for key, value in update.items() if value or before.get(key)}
    if settings.voice is not None and _voice(user) is None:
        update["audio"] = {"output": {"voice": settings.voice}}
    return update


def tools_update(
    before: Mapping[str, Any], user: Mapping[str, Any], snapshot: AgentSnapshot
) -> dict[str, Any]:
    """What changes when only the tools that are enabled do."""
    update = _tools(before, user, snapshot.wire_tools(), snapshot.tool_choice)
    return {key: value for key, value in update.items() if key == "tools" or value}


def _tools(
    before: Mapping[str, Any],
    user: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]],
    choice: str | Mapping[str, Any] | None,
) -> dict[str, Any]:
    # A choice cannot be cleared, only be taken back to what it is by default.
    fallback = "auto" if before.get("tool_choice") is not None else None
    return {
        "tools": [*tools, *(user.get("tools") or ())],
        "tool_choice": choice or user.get("tool_choice") or fallback,
    }


def _voice(config: Mapping[str, Any]) -> object:
    audio = config.get("audio")
    output = cast("Mapping[str, Any]", audio).get("output") if isinstance(audio, Mapping) else None
    return cast("Mapping[str, Any]", output).get("voice") if isinstance(output, Mapping) else None
