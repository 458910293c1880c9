"""Whether a tool call may be carried out, and what the model is told if not."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import ModelBehaviorError, UserError
from ..protocol.transport_events import FunctionCall
from ..tools.arguments import InvalidArgumentsError
from ..tools.context import RunContext
from ..tools.function import FunctionTool, default_error_message
from ..tools.running import ToolResult, check_call
from .approvals import Approvals, Decision, ToolErrorFormatter, approval_needed, rejection_text
from .snapshot import is_enabled

__all__ = ["Ask", "Denial", "ToolOptions", "not_found", "permission"]

Ask: TypeAlias = Callable[[FunctionTool[..., Any], RunContext[Any]], Awaitable[Decision]]
"""Asks a person, and waits for the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """How a session treats tool calls; the arguments of `RealtimeSession` are explained there.

    Raises:
        UserError: if a value cannot be used.
    """

    timeout: float | None = None
    cancel_on_interrupt: bool = False
    error_formatter: ToolErrorFormatter | None = None
    guard_before_approval: bool = False
    approval_timeout: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("tool_timeout", self.timeout), ("approval_timeout", self.approval_timeout)):
            if value is not None and not value > 0:
                raise UserError(f"{name} must be more than 0 s or None, got {value!r}")
        if self.error_formatter is not None and not callable(self.error_formatter):
            raise UserError(f"tool_error_formatter must be a function, got {self.error_formatter!r}")
        if not isinstance(self.guard_before_approval, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(
                f"pre_approval_input_guardrails must be True or False, got {self.guard_before_approval!r}"
            )


@dataclass(frozen=True, slots=True)
class Denial:
    """A call that may not be carried out.

    Attributes:
        told: whether listeners hear of the tool all the same, as they do when a person rejects it.
    """

    result: ToolResult
    told: bool = False


async def permission(
    tool: FunctionTool[..., Any],
    context: RunContext[Any],
    approvals: Approvals,
    options: ToolOptions,
    ask: Ask,
) -> Denial | None:
    """Ask whoever has a say in it. None if the tool may run.

    Raises:
        Whatever the tool's own functions raise.
    """
    if context.call is None or tool.needs_approval is False:
        return None  # what was decided for good does not concern a tool that needs no approval
    agent, call = context.agent, context.call
    decision = approvals.standing(agent, tool.name)
    if decision is None:
        if not await approval_needed(tool, context, call.arguments):
            return None
        refusal = _unreadable(tool, context, call)
        if refusal is None and options.guard_before_approval:
            refusal = await _guarded(tool, context, call)
        if refusal is not None:
            return Denial(refusal)
        decision = await ask(tool, context)
        # It may have been switched off while a person thought about it.
        if decision.approved and not await is_enabled(tool.is_enabled, context, agent):
            return Denial(not_found(call))
    if decision.approved:
        return None
    words = await rejection_text(decision.message, options.error_formatter, context)
    return Denial(ToolResult(words), told=True)


def _unreadable(
    tool: FunctionTool[..., Any], context: RunContext[Any], call: FunctionCall
) -> ToolResult | None:
    """With a fixed rule, nobody is asked about arguments that are not JSON: the model is told at once."""
    if callable(tool.needs_approval):
        return None
    try:
        json.loads(call.arguments or "{}")
    except (ValueError, RecursionError) as problem:
        error = InvalidArgumentsError(f"the arguments are not valid JSON: {problem}")
        return ToolResult(default_error_message(context, error), error)
    return None


async def _guarded(
    tool: FunctionTool[..., Any], context: RunContext[Any], call: FunctionCall
) -> ToolResult | None:
    """The input guardrails before a person is asked. What they cannot read, the tool will refuse."""
    try:
        return await check_call(tool, context, call.arguments)
    except InvalidArgumentsError:
        return None


def not_found(call: FunctionCall) -> ToolResult:
    """As in the JavaScript SDK, the model is told, and waits for the user."""
    words = f"Tool {call.tool_name} not found"
    return ToolResult(words, ModelBehaviorError(f"{words} (call {call.call_id!r})"), start_response=False)
