"""Tools: functions that the model may call."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeAlias, TypeVar, cast, overload

from ..errors import ToolTimeoutError, UserError
from .arguments import Arguments, InvalidArgumentsError, JsonArguments, arguments_of
from .calling import call_in_thread
from .context import RunContext
from .guardrails import ToolInputGuardrail, ToolOutputGuardrail, as_guardrails
from .signature import Signature, read_signature

if TYPE_CHECKING:
    from ..agent import RealtimeAgent

__all__ = [
    "Enabled",
    "ErrorMessage",
    "FunctionTool",
    "NeedsApproval",
    "Progress",
    "as_tool",
    "check_name",
    "default_error_message",
    "tool",
]

P = ParamSpec("P")
R = TypeVar("R")

Enabled: TypeAlias = "bool | Callable[[RunContext[Any], RealtimeAgent], bool | Awaitable[bool]]"
"""Whether a tool or a handoff is offered: a constant, or a function asked at every configuration and call."""
ErrorMessage: TypeAlias = "Callable[[RunContext[Any], Exception], str | Awaitable[str]]"
"""Makes the text the model gets in place of a result."""
NeedsApproval: TypeAlias = "bool | Callable[[RunContext[Any], Mapping[str, Any]], bool | Awaitable[bool]]"
"""Whether a person has to agree before the tool runs; the function gets the arguments."""
Progress: TypeAlias = "str | Callable[[RunContext[Any]], str | Awaitable[str | None] | None]"
"""What the agent says while a slow tool runs; a function that gives None lets it be silent."""

_NAME: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


def default_error_message(context: RunContext[Any], error: Exception) -> str:  # noqa: ARG001
    """What the model is told when a tool fails: the exception's text, so that it can do better.

    Where that text may hold secrets, give the tool an `error_message` of its own, or None.
    """
    if isinstance(error, InvalidArgumentsError):
        return (
            "An error occurred while parsing tool arguments. "
            f"Please try again with valid JSON. Error: {error}"
        )
    if isinstance(error, ToolTimeoutError):
        return str(error)
    return f"An error occurred while running the tool. Please try again. Error: {error}"


@dataclass(frozen=True, eq=False, kw_only=True)
class FunctionTool(Generic[P, R]):
    """A tool; `@tool` makes one of a function. Calling it calls the function.

    Attributes:
        name: 1 to 64 letters, digits, `_` or `-`.
        parameters: the JSON schema of its arguments, an object.
        invoke: called with the run context and the arguments as JSON text; gives the result, raises
            `InvalidArgumentsError` for arguments that cannot be read.
        function: what was decorated, if anything.
        timeout: seconds it may run; None takes the session's `tool_timeout`.
        needs_approval: a person has to agree first.
        strict: arguments the schema does not name are refused, else ignored.
        is_enabled: whether it is offered to the model.
        error_message: makes the text the model gets when it fails; None tells it nothing of the reason.
        input_guardrails: look at the arguments before it runs.
        output_guardrails: look at its result before the model does.
        progress: what the agent says, once, when the tool is slow.
        progress_after: seconds of silence until it does.
    """

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(repr=False)
    invoke: Callable[[RunContext[Any], str], Awaitable[Any]] = field(repr=False)
    function: Callable[P, R] | None = field(default=None, repr=False)
    timeout: float | None = None
    needs_approval: NeedsApproval = False
    strict: bool = True
    is_enabled: Enabled = True
    error_message: ErrorMessage | None = field(default=default_error_message, repr=False)
    input_guardrails: Sequence[ToolInputGuardrail] = field(default=(), repr=False)
    output_guardrails: Sequence[ToolOutputGuardrail] = field(default=(), repr=False)
    progress: Progress | None = None
    progress_after: float = 0.8

    def __post_init__(self) -> None:
        check_name(self.name, "a tool's name")
        if self.timeout is not None and not self.timeout > 0:
            raise UserError(
                f"timeout of tool {self.name!r} must be more than 0 s or None, got {self.timeout!r}"
            )
        if not self.progress_after >= 0:
            raise UserError(
                f"progress_after of tool {self.name!r} must be 0 s or more, got {self.progress_after!r}"
            )
        as_guardrails(self.input_guardrails, ToolInputGuardrail, self.name)
        as_guardrails(self.output_guardrails, ToolOutputGuardrail, self.name)
        if self.parameters.get("type") != "object":
            raise UserError(
                f"parameters of tool {self.name!r} must be a JSON schema with type 'object', "
                f"got type {self.parameters.get('type')!r}"
            )

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the decorated function, as if it had not been decorated."""
        if self.function is None:
            raise UserError(f"tool {self.name!r} was not made of a function; use invoke()")
        return self.function(*args, **kwargs)

    def to_wire(self) -> dict[str, Any]:
        """The tool as the Realtime API has it (`session.tools`)."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": dict(self.parameters),
        }


def check_name(name: object, what: str) -> None:
    """Raise `UserError` unless the service takes this as a tool's name."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise UserError(f"{what} must be 1 to 64 letters, digits, '_' or '-', got {name!r}")


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    needs_approval: NeedsApproval = False,
    strict: bool = True,
    is_enabled: Enabled = True,
    error_message: ErrorMessage | None = default_error_message,
    input_guardrails: Sequence[ToolInputGuardrail] = (),
    output_guardrails: Sequence[ToolOutputGuardrail] = (),
    progress: Progress | None = None,
    progress_after: float = 0.8,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    timeout: float | None = None,
    needs_approval: NeedsApproval = False,
    strict: bool = True,
    is_enabled: Enabled = True,
    error_message: ErrorMessage | None = default_error_message,
    input_guardrails: Sequence[ToolInputGuardrail] = (),
    output_guardrails: Sequence[ToolOutputGuardrail] = (),
    progress: Progress | None = None,
    progress_after: float = 0.8,
) -> Any:
    """Make a tool of a function: `@tool` or `@tool(timeout=5)`.

    The schema comes from the signature and the docstring (Google, NumPy or Sphinx style). A parameter
    annotated `RunContext` gets the run context and is not shown to the model. Coroutine
    functions are awaited, plain ones run in a thread. The result is sent as `output_text` writes it.

    Args:
        function: what the model may call.
        name: instead of the function's.
        description: instead of the docstring's words before its first section.
        parameters: a JSON schema instead of the signature's; the function then gets the
            object's values by name, as they are in the JSON.
        timeout: seconds it may run.
        needs_approval: a person has to agree first; or a function that decides.
        strict: refuse arguments the schema does not name (`additionalProperties: false`).
        is_enabled: whether it is offered; or a function that decides.
        error_message: makes the text the model gets when the tool fails. The default tells the
            exception's text; None tells only that it failed.
        input_guardrails, output_guardrails: checks on the arguments, and on the result.
        progress: what the agent says, once, when the tool is slow: words, or a function or coroutine
            function of the run context.
        progress_after: seconds of silence until it does.

    Raises:
        UserError: if a parameter has no schema, or a setting has a value that cannot be used.
    """

    def decorate(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        if not callable(function):
            raise UserError(f"@tool decorates a function, got {function!r}")
        if isinstance(function, FunctionTool):
            raise UserError(f"{function.name!r} is a tool already; change it with dataclasses.replace()")
        signature = read_signature(function)
        reader: Arguments = (
            JsonArguments(parameters) if parameters is not None else arguments_of(signature, strict=strict)
        )
        return FunctionTool(
            name=name if name is not None else signature.name,
            description=description if description is not None else signature.description,
            parameters=reader.schema,
            invoke=_Invoke(function, signature, reader),
            function=function,
            timeout=timeout,
            needs_approval=needs_approval,
            strict=strict,
            is_enabled=is_enabled,
            error_message=error_message,
            input_guardrails=input_guardrails,
            output_guardrails=output_guardrails,
            progress=progress,
            progress_after=progress_after,
        )

    return decorate if function is None else decorate(function)


class _Invoke:
    """Reads the arguments and calls the function."""

    def __init__(self, function: Callable[..., Any], signature: Signature, reader: Arguments) -> None:
        self._function = function
        self._signature = signature
        self._reader = reader

    async def __call__(self, context: RunContext[Any], arguments: str) -> Any:
        args, kwargs = self._signature.bind(context, self._reader.parse(arguments))
        return await call_in_thread(self._function, *args, **kwargs)


def is_foreign_tool(value: object) -> bool:
    """Whether this has the shape of a `FunctionTool` of `openai-agents`."""
    return not isinstance(value, type) and all(
        hasattr(value, name) for name in ("name", "description", "params_json_schema", "on_invoke_tool")
    )


def as_tool(value: object) -> FunctionTool[..., Any]:
    """The tool that an entry of an agent's `tools` stands for: ours, or one of `openai-agents`, by its shape.

    Raises:
        UserError: if it is none.
    """
    if isinstance(value, FunctionTool):
        return cast("FunctionTool[..., Any]", value)
    if is_foreign_tool(value):
        from .foreign import adapt_tool

        return adapt_tool(value)
    hint = "; decorate the function with @tool" if callable(value) else ""
    raise UserError(f"{value!r} is not a tool{hint}")
