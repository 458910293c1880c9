"""Guardrails: functions that look at what the agent, or the user, says, and can stop the reply.

An `OutputGuardrail` sees the text of a reply while it grows, an `InputGuardrail` the transcript of what the user
said. Guardrails for tools are in `voxwire.tools`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from .errors import ConfigError, UserError
from .tools.calling import call_in_thread
from .tools.context import RunContext

if TYPE_CHECKING:
    from .session.events import GuardrailTripped

__all__ = [
    "Feedback",
    "GuardrailFunction",
    "GuardrailResult",
    "GuardrailSettings",
    "InputGuardrail",
    "OutputGuardrail",
    "as_guardrails",
    "guardrail_feedback",
    "run_guardrail",
]


@dataclass(frozen=True, slots=True)
class GuardrailResult:
    """What a guardrail found.

    Attributes:
        tripped: whether the text must not stand.
        info: anything that is of use to listeners; the default correction shows it to the model, as JSON.
    """

    tripped: bool
    info: Any = None


GuardrailFunction: TypeAlias = (
    "Callable[[str, RunContext[Any]], GuardrailResult | bool | Awaitable[GuardrailResult | bool]]"
)
"""Gets the text and the run context. A plain function runs in a thread, so that it can block."""
FeedbackValue: TypeAlias = "str | Mapping[str, Any] | None"
Feedback: TypeAlias = "FeedbackValue | Callable[[GuardrailTripped], FeedbackValue | Awaitable[FeedbackValue]]"
"""What the model is told after a trip: a text, a message item of the wire, nothing, or a function that says which."""


@dataclass(frozen=True, slots=True)
class _Guardrail:
    """A named check of a text.

    Attributes:
        name: for listeners and messages.
        execute: the check, a function or coroutine function.
        policy_hint: what the model is told of the rule it broke; the name, if None.

    Raises:
        UserError: if it has no name, or is not a function.
    """

    name: str
    execute: GuardrailFunction
    policy_hint: str | None = None

    def __post_init__(self) -> None:
        name = cast("object", self.name)
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"a guardrail needs a name that is not blank, got {name!r}")
        if not callable(self.execute):
            raise UserError(f"guardrail {name!r} needs a function of the text and the context")

    @property
    def hint(self) -> str:
        """What the model is told of the rule."""
        return self.name if self.policy_hint is None else self.policy_hint


class OutputGuardrail(_Guardrail):
    """Checks what the agent says or writes, again and again while it grows; gets all of it so far."""

    __slots__ = ()


class InputGuardrail(_Guardrail):
    """Checks the transcript of what the user said, once it is complete."""

    __slots__ = ()


GuardrailT = TypeVar("GuardrailT", OutputGuardrail, InputGuardrail)


def guardrail_feedback(trip: GuardrailTripped) -> str:
    """The correction that is sent unless you give another: what happened, why, and what to do now."""
    whose = "Your last reply" if trip.kind == "output" else "The user's last message"
    return (
        f"⚠ {whose} was stopped by a guardrail.\n"
        f"Failed Guardrail Reason: {trip.guardrail.hint}.\n"
        f"Failure Details: {_as_json(trip.result.info)}.\n"
        "Answer again without breaking this rule: apologise briefly, do not name the reason, "
        "and offer to go on with something that is allowed."
    )


def _as_json(info: object) -> str:
    return json.dumps({} if info is None else info, ensure_ascii=False, default=str)


@dataclass(frozen=True, slots=True)
class GuardrailSettings:
    """When guardrails run, and what a trip leads to.

    Attributes:
        debounce_text_length: an output guardrail runs whenever this many characters more have arrived, and always at the end
            of the reply; 0 runs it for every piece of text, a negative number only at the end.
        feedback: what the model is told after a trip; by default `guardrail_feedback`.
        max_corrections: trips in a row after which no more feedback is sent, so that a model that cannot
            keep a rule does not talk to itself for ever.
        timeout: seconds a guardrail may take.
        fail_closed: whether a guardrail that raises or takes too long trips. If not, it passes; both are told as
            an `error` event.
        hold_back_ms: keep output audio until its words have passed, for so many ms at most; None does not.
            Text is then checked as it comes, unless `debounce_text_length` is negative.
        hold_back_on_timeout: what to do with audio that has waited that long: `release` plays it unchecked,
            `stop` interrupts the reply.

    Raises:
        ConfigError: if a value cannot be used.
    """

    debounce_text_length: int = 100
    feedback: Feedback = guardrail_feedback
    max_corrections: int = 3
    timeout: float = 10.0
    fail_closed: bool = False
    hold_back_ms: float | None = None
    hold_back_on_timeout: Literal["release", "stop"] = "release"

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ConfigError(f"timeout of guardrails must be more than 0 s, got {self.timeout!r}")
        if self.max_corrections < 0:
            raise ConfigError(f"max_corrections must be 0 or more, got {self.max_corrections!r}")
        if self.hold_back_ms is not None and not self.hold_back_ms > 0:
            raise ConfigError(f"hold_back_ms must be more than 0 ms or None, got {self.hold_back_ms!r}")
        if self.hold_back_on_timeout not in ("release", "stop"):
            raise ConfigError(
                f"hold_back_on_timeout must be 'release' or 'stop', got {self.hold_back_on_timeout!r}"
            )


def as_guardrails(entries: object, kind: type[GuardrailT], what: str) -> tuple[GuardrailT, ...]:
    """Guardrails of what a user wrote: our own, functions, or those of `openai-agents`.

    Raises:
        UserError: if something else is among them.
    """
    if isinstance(entries, (str, Mapping)) or not isinstance(entries, Sequence):
        raise UserError(f"{what} must be a list, got {entries!r}")
    return tuple(_as_guardrail(entry, kind, what) for entry in cast("Sequence[object]", entries))


def _as_guardrail(entry: object, kind: type[GuardrailT], what: str) -> GuardrailT:
    if isinstance(entry, kind):
        return entry
    foreign = getattr(entry, "guardrail_function", None)
    if callable(foreign):
        name = getattr(entry, "name", None) or getattr(foreign, "__name__", type(entry).__name__)
        return kind(str(name), _foreign_function(foreign))
    if callable(entry) and not isinstance(entry, (_Guardrail, type)):
        return kind(getattr(entry, "__name__", type(entry).__name__), cast("GuardrailFunction", entry))
    raise UserError(f"{what}: expected {kind.__name__} or a function, got {entry!r}")


def _foreign_function(function: Callable[..., Any]) -> GuardrailFunction:
    """`openai-agents` asks its guardrails with (context, agent, text)."""

    async def execute(text: str, context: RunContext[Any]) -> GuardrailResult:
        return _result(await call_in_thread(function, context, context.agent, text), function)

    return execute


async def run_guardrail(guardrail: _Guardrail, text: str, context: RunContext[Any]) -> GuardrailResult:
    """Ask one guardrail.

    Raises:
        UserError: if it gives something else than it should.
        Whatever it raises.
    """
    return _result(await call_in_thread(guardrail.execute, text, context), guardrail.execute)


def _result(value: object, function: Callable[..., Any]) -> GuardrailResult:
    if isinstance(value, GuardrailResult):
        return value
    if isinstance(value, bool):
        return GuardrailResult(value)
    tripped = getattr(value, "tripwire_triggered", None)
    if isinstance(tripped, bool):  # by the shape of `GuardrailFunctionOutput`
        return GuardrailResult(tripped, getattr(value, "output_info", None))
    name = getattr(function, "__name__", type(function).__name__)
    raise UserError(
        f"guardrail function {name} gave {type(value).__name__}; it must give a GuardrailResult or a bool"
    )
