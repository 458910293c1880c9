"""Running a tool so that there is an answer whatever happens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ToolTimeoutError
from .arguments import read_json
from .background import BackgroundResult
from .calling import call
from .context import RunContext
from .function import FunctionTool
from .guardrails import ToolGuardrailTripped, check_input, check_output
from .images import ToolImage, split_images
from .output import output_text

__all__ = ["NO_REASON", "STOPPED", "ToolResult", "check_call", "run_tool"]

NO_REASON: Final = "The tool failed."
STOPPED: Final = "The tool call was stopped by a guardrail."


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What to answer a call with.

    Attributes:
        output: the text for the model.
        error: why the tool has no result of its own, if so.
        start_response: whether the model should go on once it has the output.
        images: pictures that go with it.
    """

    output: str
    error: Exception | None = None
    start_response: bool = True
    images: tuple[ToolImage, ...] = ()


async def run_tool(
    tool: FunctionTool[..., Any], context: RunContext[Any], arguments: str, *, timeout: float | None = None
) -> ToolResult:
    """Run a tool between its guardrails. Raises nothing but the cancellation of the caller.

    Args:
        arguments: JSON as the model wrote it.
        timeout: seconds, where the tool has no limit of its own.
    """
    limit = tool.timeout if tool.timeout is not None else timeout
    try:
        if refusal := await check_call(tool, context, arguments):
            return refusal
        return await _presented(tool, context, await _limited(tool, context, arguments, limit))
    except asyncio.CancelledError:
        if _being_cancelled():
            raise
        # The tool awaited something that was cancelled; nobody cancelled the tool.
        return await _failed(tool, context, RuntimeError("the tool was cancelled from within"))
    except Exception as error:  # noqa: BLE001 - a call always gets an answer
        return await _failed(tool, context, error)


async def check_call(
    tool: FunctionTool[..., Any], context: RunContext[Any], arguments: str
) -> ToolResult | None:
    """Ask the tool's input guardrails; None if the tool may run.

    Raises:
        InvalidArgumentsError: if there are guardrails and the arguments are no JSON object. What no
            guardrail could read does not get past them.
    """
    if not tool.input_guardrails:
        return None
    values = read_json(arguments)
    try:
        message = await check_input(tool.input_guardrails, values, context, tool.name)
    except Exception as error:  # noqa: BLE001 - a check that fails lets nothing pass
        return _tripped(error, context)
    return ToolResult(message) if message is not None else None


async def _presented(tool: FunctionTool[..., Any], context: RunContext[Any], value: Any) -> ToolResult:
    """What a tool returned, as its output guardrails let the model see it."""
    background = isinstance(value, BackgroundResult)
    if isinstance(value, BackgroundResult):
        value = value.value
    try:
        message = await check_output(tool.output_guardrails, value, context, tool.name)
    except Exception as error:  # noqa: BLE001 - a check that fails lets nothing pass
        return _tripped(error, context)
    if message is not None:
        return ToolResult(message, start_response=not background)
    rest, images = split_images(value)
    return ToolResult(output_text(rest), start_response=not background, images=images)


def _tripped(error: Exception, context: RunContext[Any]) -> ToolResult:
    error.add_note(f"in a guardrail of call {context.call.call_id if context.call else '?'!r}")
    if isinstance(error, ToolGuardrailTripped):
        return ToolResult(STOPPED, error, start_response=False)
    return ToolResult(NO_REASON, error)


async def _limited(
    tool: FunctionTool[..., Any], context: RunContext[Any], arguments: str, limit: float | None
) -> Any:
    timer = asyncio.timeout(limit)
    try:
        async with timer:
            return await tool.invoke(context, arguments)
    except TimeoutError:
        if limit is not None and timer.expired():
            raise ToolTimeoutError(tool.name, limit) from None
        raise  # one of the tool's own


async def _failed(tool: FunctionTool[..., Any], context: RunContext[Any], error: Exception) -> ToolResult:
    error.add_note(f"in tool {tool.name!r}, call {context.call.call_id if context.call else '?'!r}")
    if tool.error_message is None:
        return ToolResult(NO_REASON, error)
    try:
        words: object = await call(tool.error_message, context, error)
    except Exception as problem:  # noqa: BLE001 - the call must be answered all the same
        error.add_note(f"its error_message raised {type(problem).__name__}")
        return ToolResult(NO_REASON, error)
    if not isinstance(words, str):
        error.add_note(f"its error_message gave {type(words).__name__}, not a string")
        return ToolResult(NO_REASON, error)
    return ToolResult(words, error)


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
