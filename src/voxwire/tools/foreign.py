"""Tools of `openai-agents`, accepted by their shape; that package is never imported here.

Its objects want its own context classes. Who has a tool of that package has loaded them
already, so they are looked up among the loaded modules; for anything else of the same shape
there is a plain object with the same attributes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from .calling import call
from .context import RunContext
from .function import FunctionTool, default_error_message
from .guardrails import ToolGuardrailResult, ToolInputGuardrail, ToolOutputGuardrail
from .images import ToolImage

if TYPE_CHECKING:
    from ..agent import RealtimeAgent

__all__ = ["adapt_enabled", "adapt_tool", "run_wrapper", "tool_context"]

EMPTY_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}}


def adapt_tool(foreign: Any) -> FunctionTool[..., Any]:
    """A tool of ours that runs this one, with its guardrails, approval rule, timeout and conditions.

    A timeout is always answered and told as an `error` event, whatever its `timeout_behavior` says.
    """
    return FunctionTool(
        name=foreign.name,
        description=foreign.description or "",
        parameters=foreign.params_json_schema or EMPTY_SCHEMA,
        invoke=_Invoke(foreign),
        timeout=getattr(foreign, "timeout_seconds", None),
        needs_approval=_approval(getattr(foreign, "needs_approval", False)),
        strict=bool(getattr(foreign, "strict_json_schema", True)),
        is_enabled=adapt_enabled(getattr(foreign, "is_enabled", True)),
        error_message=_error_message(foreign),
        input_guardrails=_input_guardrails(getattr(foreign, "tool_input_guardrails", None) or ()),
        output_guardrails=_output_guardrails(getattr(foreign, "tool_output_guardrails", None) or ()),
    )


def _make(module: str, name: str, *args: Any, **fields: Any) -> Any:
    """An object of a class of that package, if it is loaded; else one with the same attributes."""
    made = getattr(sys.modules.get(module), name, None)
    return made(*args, **fields) if made is not None else SimpleNamespace(**fields)


def run_wrapper(context: RunContext[Any]) -> Any:
    """What functions of that package get as their run context."""
    return _make("agents.run_context", "RunContextWrapper", context=context.context)


def tool_context(context: RunContext[Any]) -> Any:
    """What tools of that package get."""
    call = context.call
    if call is None:
        return run_wrapper(context)
    return _make(
        "agents.tool_context",
        "ToolContext",
        context=context.context,
        tool_name=call.tool_name,
        tool_call_id=call.call_id,
        tool_arguments=call.arguments,
        agent=context.agent,
    )


def adapt_enabled(setting: Any) -> Any:
    """A condition of that package as one of ours."""
    if not callable(setting):
        return bool(setting)

    def ask(context: RunContext[Any], agent: RealtimeAgent) -> Any:
        return setting(run_wrapper(context), agent)

    return ask


def _approval(policy: Any) -> Any:
    if not callable(policy):
        return bool(policy)

    def ask(context: RunContext[Any], arguments: Mapping[str, Any]) -> Any:
        call_id = context.call.call_id if context.call is not None else ""
        return policy(tool_context(context), dict(arguments), call_id)

    return ask


def _error_message(foreign: Any) -> Any:
    formatter: Callable[..., Any] | None = getattr(foreign, "timeout_error_function", None)
    if formatter is None:
        return default_error_message

    def words(context: RunContext[Any], error: Exception) -> Any:
        if isinstance(error, TimeoutError):
            return formatter(tool_context(context), error)
        return default_error_message(context, error)

    return words


class _Invoke:
    def __init__(self, foreign: Any) -> None:
        self._foreign = foreign

    async def __call__(self, context: RunContext[Any], arguments: str) -> Any:
        return _ours(await call(self._foreign.on_invoke_tool, tool_context(context), arguments or "{}"))


def _ours(result: Any) -> Any:
    """A result with that package's texts and images in our terms."""
    if isinstance(result, (list, tuple)):
        return [_ours(entry) for entry in cast("list[Any]", result)]
    kind, get = _reader(result)
    if kind == "text" and isinstance(get("text"), str):
        return get("text")
    if kind == "image" and isinstance(get("image_url"), str):
        detail = get("detail")
        return ToolImage(get("image_url"), detail=detail if detail in ("auto", "low", "high") else None)
    return result


def _reader(result: Any) -> tuple[Any, Callable[[str], Any]]:
    def get(name: str) -> Any:
        if isinstance(result, dict):
            return cast("dict[str, Any]", result).get(name)
        return getattr(result, name, None)

    return get("type"), get


def _input_guardrails(entries: Iterable[Any]) -> list[ToolInputGuardrail]:
    return [ToolInputGuardrail(_name(entry), _input_check(entry)) for entry in entries]


def _output_guardrails(entries: Iterable[Any]) -> list[ToolOutputGuardrail]:
    return [ToolOutputGuardrail(_name(entry), _output_check(entry)) for entry in entries]


def _name(guardrail: Any) -> str:
    get_name = getattr(guardrail, "get_name", None)
    return str(get_name() if callable(get_name) else getattr(guardrail, "name", "guardrail"))


def _input_check(guardrail: Any) -> Any:
    async def check(_arguments: Mapping[str, Any], context: RunContext[Any]) -> ToolGuardrailResult:
        data = _make(
            "agents.tool_guardrails",
            "ToolInputGuardrailData",
            context=tool_context(context),
            agent=context.agent,
        )
        return _result(await call(guardrail.run, data))

    return check


def _output_check(guardrail: Any) -> Any:
    async def check(output: Any, context: RunContext[Any]) -> ToolGuardrailResult:
        data = _make(
            "agents.tool_guardrails",
            "ToolOutputGuardrailData",
            context=tool_context(context),
            agent=context.agent,
            output=output,
        )
        return _result(await call(guardrail.run, data))

    return check


def _result(output: Any) -> ToolGuardrailResult:
    behavior: Mapping[str, Any] = output.behavior
    info = getattr(output, "output_info", None)
    match behavior.get("type"):
        case "allow":
            return ToolGuardrailResult.allow(info)
        case "reject_content":
            return ToolGuardrailResult.reject(str(behavior.get("message", "")), info)
        case _:
            return ToolGuardrailResult.stop(info)
