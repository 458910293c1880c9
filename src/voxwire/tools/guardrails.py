"""Guardrails of a tool: checks on the arguments before it runs, and on its result before the model sees it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, cast

from ..errors import UserError, VoxwireError
from .calling import call
from .context import RunContext

__all__ = [
    "ToolGuardrailResult",
    "ToolGuardrailTripped",
    "ToolInputGuardrail",
    "ToolOutputGuardrail",
    "as_guardrails",
    "check_input",
    "check_output",
]

Behavior: TypeAlias = Literal["allow", "reject", "raise"]
REJECTED: Final = "The tool was not run, or its result was withheld, by a guardrail."


class ToolGuardrailTripped(VoxwireError):
    """A guardrail stopped a tool call with `ToolGuardrailResult.stop()`.

    Attributes:
        guardrail: the guardrail's name.
        tool_name: the tool's.
        info: what the guardrail found, if it said so.
    """

    def __init__(self, guardrail: str, tool_name: str, info: Any = None) -> None:
        super().__init__(f"guardrail {guardrail!r} stopped tool {tool_name!r}")
        self.guardrail = guardrail
        self.tool_name = tool_name
        self.info = info


@dataclass(frozen=True, slots=True)
class ToolGuardrailResult:
    """What a tool guardrail decided; made by `allow`, `reject` and `stop`.

    Attributes:
        behavior: `allow`; `reject` (the model gets `message` in place of a result and goes on);
            `raise` (the session tells a `ToolGuardrailTripped` error, the model does not go on by itself).
        message: for the model, with `reject`.
        info: anything worth keeping about the decision; not shown to the model.
    """

    behavior: Behavior = "allow"
    message: str = REJECTED
    info: Any = None

    @classmethod
    def allow(cls, info: Any = None) -> ToolGuardrailResult:
        """Nothing to object to."""
        return cls(info=info)

    @classmethod
    def reject(cls, message: str = REJECTED, info: Any = None) -> ToolGuardrailResult:
        """Tell the model this instead."""
        return cls("reject", message, info)

    @classmethod
    def stop(cls, info: Any = None) -> ToolGuardrailResult:
        """Raise the alarm: an error event, and no further word from the model for now."""
        return cls("raise", info=info)


Decision: TypeAlias = "ToolGuardrailResult | None"
InputCheck: TypeAlias = "Callable[[Mapping[str, Any], RunContext[Any]], Decision | Awaitable[Decision]]"
OutputCheck: TypeAlias = "Callable[[Any, RunContext[Any]], Decision | Awaitable[Decision]]"


@dataclass(frozen=True, slots=True, eq=False)
class ToolInputGuardrail:
    """Looks at a call before the tool runs.

    Attributes:
        name: for error messages.
        check: function or coroutine function of the arguments, as they are in the model's JSON, and
            the run context (`context.call` is the call). None counts as `allow`.
    """

    name: str
    check: InputCheck


@dataclass(frozen=True, slots=True, eq=False)
class ToolOutputGuardrail:
    """Looks at a result before the model sees it.

    Attributes:
        name: for error messages.
        check: function or coroutine function of what the tool returned and the run context.
            None counts as `allow`.
    """

    name: str
    check: OutputCheck


def as_guardrails(entries: object, kind: type, tool_name: str) -> None:
    """Raise `UserError` unless this is a sequence of guardrails of one kind."""
    wrong = (
        entries
        if not isinstance(entries, (list, tuple))
        else next((entry for entry in cast("list[object]", entries) if not isinstance(entry, kind)), None)
    )
    if wrong is not None:
        raise UserError(f"{wrong!r} among the guardrails of tool {tool_name!r} is no {kind.__name__}")


async def check_input(
    guardrails: Iterable[ToolInputGuardrail],
    arguments: Mapping[str, Any],
    context: RunContext[Any],
    tool: str,
) -> str | None:
    """Ask one after the other, until one objects.

    Returns:
        What the model gets in place of a result, or None if the tool may run.

    Raises:
        ToolGuardrailTripped: a guardrail stopped the call.
        Whatever a guardrail raises: a check that fails does not let anything pass.
    """
    for guardrail in guardrails:
        verdict = _verdict(guardrail.name, await call(guardrail.check, arguments, context))
        message = _objection(guardrail.name, verdict, tool)
        if message is not None:
            return message
    return None


async def check_output(
    guardrails: Iterable[ToolOutputGuardrail], output: Any, context: RunContext[Any], tool: str
) -> str | None:
    """Ask all; each sees what the tool returned, and the first objection replaces it.

    Returns:
        What the model gets instead, or None if it may see the result.

    Raises:
        ToolGuardrailTripped: a guardrail stopped the call, also after the objection of another.
        Whatever a guardrail raises.
    """
    first: str | None = None
    for guardrail in guardrails:
        verdict = _verdict(guardrail.name, await call(guardrail.check, output, context))
        message = _objection(guardrail.name, verdict, tool)
        first = message if first is None else first
    return first


def _verdict(name: str, value: object) -> ToolGuardrailResult:
    if value is None:
        return ToolGuardrailResult()
    if not isinstance(value, ToolGuardrailResult):
        raise UserError(f"guardrail {name!r} gave {type(value).__name__}, not a ToolGuardrailResult or None")
    return value


def _objection(name: str, verdict: ToolGuardrailResult, tool: str) -> str | None:
    if verdict.behavior == "raise":
        raise ToolGuardrailTripped(name, tool, verdict.info)
    return verdict.message if verdict.behavior == "reject" else None
