"""A function's parameters as a tool's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from ..errors import UserError
from .context import RunContext
from .docstrings import parse_docstring

__all__ = ["REQUIRED", "Parameter", "Signature", "read_signature"]

REQUIRED: Final[Any] = inspect.Parameter.empty
"""The default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a tool.

    Attributes:
        annotation: the type; `Any` if there is none.
        default: the value it has when the model leaves it out, or `REQUIRED`.
    """

    name: str
    annotation: Any
    default: Any = REQUIRED
    description: str = ""
    positional_only: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes.

    Attributes:
        context_name: the parameter that gets the `RunContext`, or None.
        context_first: whether it has to be passed by position.
        parameters: the others, in order.
    """

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    context_name: str | None = None
    context_first: bool = False

    def bind(self, context: RunContext[Any], values: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and keyword arguments for a call with these values."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        if self.context_name is not None:
            if self.context_first:
                args.append(context)
            else:
                kwargs[self.context_name] = context
        for parameter in self.parameters:
            if parameter.name not in values:
                continue
            if parameter.positional_only:
                args.append(values[parameter.name])
            else:
                kwargs[parameter.name] = values[parameter.name]
        return args, kwargs


def read_signature(function: Callable[..., Any]) -> Signature:
    """Read name, types, defaults and docstring.

    Raises:
        UserError: if an annotation cannot be resolved, or the function takes `*args` or `**kwargs`.
    """
    name = getattr(function, "__name__", type(function).__name__)
    hints = _hints(function, name)
    docstring = parse_docstring(inspect.getdoc(function))
    parameters: list[Parameter] = []
    context_name: str | None = None
    context_first = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise UserError(
                f"tool {name!r} takes {stars}{parameter.name}; a model can only fill in named parameters"
            )
        annotation = hints.get(parameter.name, Any)
        positional_only = parameter.kind is parameter.POSITIONAL_ONLY
        if _is_context(annotation):
            if context_name is not None:
                raise UserError(f"tool {name!r} takes two RunContext parameters; one is enough")
            context_name, context_first = parameter.name, positional_only
            continue
        words = _own_description(annotation) or docstring.arguments.get(parameter.name, "")
        parameters.append(Parameter(parameter.name, annotation, parameter.default, words, positional_only))
    return Signature(name, docstring.description, tuple(parameters), context_name, context_first)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    target = function if inspect.isroutine(function) else type(function).__call__
    try:
        return get_type_hints(inspect.unwrap(target), include_extras=True)
    except NameError as error:
        raise UserError(
            f"tool {name!r}: {error}. Types of a tool's parameters are needed at run time: import them "
            f"outside `if TYPE_CHECKING:`, at the top of the module"
        ) from None


def _is_context(annotation: Any) -> bool:
    return annotation is RunContext or get_origin(annotation) is RunContext


def _own_description(annotation: Any) -> str:
    """The description in `Annotated[str, "..."]` or `Annotated[str, Field(description="...")]`."""
    if get_origin(annotation) is not Annotated:
        return ""
    for extra in get_args(annotation)[1:]:
        words = extra if isinstance(extra, str) else getattr(extra, "description", None)
        if isinstance(words, str) and words:
            return words
    return ""
