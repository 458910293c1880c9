"""From the model's JSON to Python values: by pydantic where it is installed, else by `plain`."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from typing import Any, Protocol, cast

from ..errors import ModelBehaviorError
from ..protocol.codec import check_depth

__all__ = ["Arguments", "InvalidArgumentsError", "JsonArguments", "arguments_of", "read_json", "value_of"]


class InvalidArgumentsError(ModelBehaviorError):
    """The model called a tool with arguments that are not JSON or do not fit the schema."""


class Arguments(Protocol):
    """A schema, and how to read what the model wrote for it."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema, of an object."""
        ...

    def parse(self, text: str) -> Any:
        """Read the arguments: values by name for a function, one value for an input type.

        Raises:
            InvalidArgumentsError: if they are not JSON or do not fit.
        """
        ...


def read_json(text: str) -> dict[str, Any]:
    """A JSON object; nothing at all counts as an empty one.

    Raises:
        InvalidArgumentsError: if it is something else.
    """
    if not text.strip():
        return {}
    try:
        if sys.platform == "emscripten":
            check_depth(text)
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgumentsError(f"the arguments are not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise InvalidArgumentsError(f"the arguments must be a JSON object, not {_json_kind(value)}")
    return cast("dict[str, Any]", value)


def _json_kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = (("an array", list), ("a string", str), ("a boolean", bool))
    return next((name for name, kind in kinds if isinstance(value, kind)), "a number")


class JsonArguments:
    """Arguments under a schema that the user wrote: an object, not checked any further."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema = schema

    def parse(self, text: str) -> dict[str, Any]:
        """The object's values by name."""
        return read_json(text)


def arguments_of(signature: Any, *, strict: bool) -> Arguments:
    """Schema and reader for a function's parameters (a `Signature`).

    Raises:
        UserError: if a type has no schema.
    """
    if _has_pydantic():
        from .pydantic_arguments import ModelArguments

        return ModelArguments(signature, strict=strict)
    from .plain import PlainArguments

    return PlainArguments(signature, strict=strict)


def value_of(annotation: Any) -> Arguments:
    """Schema and reader for one type: a model, a dataclass, anything that is a JSON object.

    Raises:
        UserError: if it has no schema, or is no object.
    """
    if _has_pydantic():
        from .pydantic_arguments import TypeArguments

        return TypeArguments(annotation)
    from .plain import PlainValue

    return PlainValue(annotation)


def _has_pydantic() -> bool:
    # Looked up, not imported: pydantic itself comes with the first tool.
    return importlib.util.find_spec("pydantic") is not None
