"""Schemas and readers without pydantic, for platforms that do not have it.

It knows str, int, float, bool, None, Any, list, tuple[X, ...], dict, unions, Literal, Enum, Annotated, TypedDict and
dataclasses, and refuses the rest where the tool is defined.
"""

from __future__ import annotations

import dataclasses
import enum
import types
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NoReturn,
    NotRequired,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from ..errors import UserError
from .arguments import InvalidArgumentsError, read_json
from .signature import REQUIRED, Parameter, Signature

__all__ = ["PlainArguments", "PlainValue", "convert", "schema_of"]

_SIMPLE: Final[Mapping[Any, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_LISTS: Final = (list, Sequence, tuple)
_DICTS: Final = (dict, Mapping)


class PlainArguments:
    """The parameters of a function."""

    def __init__(self, signature: Signature, *, strict: bool) -> None:
        self._parameters = {parameter.name: parameter for parameter in signature.parameters}
        self._strict = strict
        try:
            self.schema: Mapping[str, Any] = _object(signature.parameters, closed=strict)
        except UserError as error:
            raise UserError(f"tool {signature.name!r} has a parameter without a schema: {error}") from None

    def parse(self, text: str) -> dict[str, Any]:
        """Values by parameter name; those left out have their defaults."""
        return _read(read_json(text), self._parameters, "", closed=self._strict)


class PlainValue:
    """One dataclass or dict, read as a whole."""

    def __init__(self, annotation: Any) -> None:
        self._annotation = annotation
        self.schema: Mapping[str, Any] = schema_of(annotation)
        if self.schema.get("type") != "object":
            raise UserError(f"{annotation!r} is no JSON object; wrap it in a dataclass")

    def parse(self, text: str) -> Any:
        """The value."""
        return convert(self._annotation, read_json(text), "arguments")


def schema_of(annotation: Any) -> dict[str, Any]:
    """The JSON schema of a type.

    Raises:
        UserError: if it has none here.
    """
    if get_origin(annotation) is Annotated:  # first: what it carries need not be hashable
        return schema_of(get_args(annotation)[0])
    if annotation in (Any, object):
        return {}
    if annotation is None or annotation is type(None):
        return {"type": "null"}
    if annotation in _SIMPLE:
        return {"type": _SIMPLE[annotation]}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {"enum": [member.value for member in annotation]}
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _object(_fields(annotation), closed=False)
    if _is_typed_dict(annotation):
        return _object(_keys(annotation), closed=False)
    return _generic_schema(annotation)


def _generic_schema(annotation: Any) -> dict[str, Any]:
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(arg) for arg in args]}
    if origin in _LISTS and not (origin is tuple and args[1:] != (...,)):
        return {"type": "array", "items": schema_of(args[0])} if args else {"type": "array"}
    if origin in _DICTS and (not args or args[0] is str):
        return {"type": "object", "additionalProperties": schema_of(args[1])} if args else {"type": "object"}
    raise UserError(f"{annotation!r} is not known without pydantic; install it, or pass parameters=")


def _object(parameters: Sequence[Parameter], *, closed: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for parameter in parameters:
        schema = schema_of(parameter.annotation)
        if parameter.description:
            schema["description"] = parameter.description
        if parameter.default is not REQUIRED and _is_json(parameter.default):
            schema["default"] = parameter.default
        properties[parameter.name] = schema
    required = [parameter.name for parameter in parameters if parameter.default is REQUIRED]
    result: dict[str, Any] = {"type": "object", "properties": properties}
    if required:
        result["required"] = required
    if closed:
        result["additionalProperties"] = False
    return result


def _is_json(value: object) -> bool:
    return value is None or type(value) in (str, int, float, bool)


def _fields(cls: type) -> list[Parameter]:
    hints = get_type_hints(cls, include_extras=True)
    return [
        Parameter(item.name, hints[item.name], _default(item))
        for item in dataclasses.fields(cls)
        if item.init
    ]


def _is_typed_dict(annotation: Any) -> bool:
    return is_typeddict(cast("object", annotation))


def _keys(cls: Any) -> list[Parameter]:
    return [_key(cls, name, hint) for name, hint in get_type_hints(cls, include_extras=True).items()]


def _key(cls: Any, name: str, hint: Any) -> Parameter:
    # Where annotations are strings, `__required_keys__` knows nothing of these two.
    marked = get_origin(hint)
    if marked in (Required, NotRequired):
        return Parameter(name, get_args(hint)[0], REQUIRED if marked is Required else _FACTORY)
    return Parameter(name, hint, REQUIRED if name in cls.__required_keys__ else _FACTORY)


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default is not dataclasses.MISSING:
        return item.default
    # A factory's value has no schema; the field is only known to be optional.
    return REQUIRED if item.default_factory is dataclasses.MISSING else _FACTORY


_FACTORY: Final = object()


def convert(annotation: Any, value: Any, where: str) -> Any:
    """A JSON value as this type.

    Raises:
        InvalidArgumentsError: if it does not fit; `where` says which value is meant.
    """
    if get_origin(annotation) is Annotated:
        return convert(get_args(annotation)[0], value, where)
    if annotation in (Any, object):
        return value
    if annotation is None or annotation is type(None):
        return value if value is None else _refuse(where, "null")
    if annotation in _SIMPLE:
        return _simple(annotation, value, where)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _member(annotation, value, where)
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        fields = {parameter.name: parameter for parameter in _fields(annotation)}
        given = _mapping(value, where)
        present = _present(fields, given)
        return cast("Callable[..., Any]", annotation)(**_read(given, present, where, closed=False))
    if _is_typed_dict(annotation):
        keys = {parameter.name: parameter for parameter in _keys(annotation)}
        return _read(given := _mapping(value, where), _present(keys, given), where, closed=False)
    return _generic(annotation, value, where)


def _present(parameters: Mapping[str, Parameter], given: Mapping[str, Any]) -> dict[str, Parameter]:
    """Those that were given, and those that had to be."""
    return {name: item for name, item in parameters.items() if name in given or item.default is REQUIRED}


def _generic(annotation: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Literal:
        found = [option for option in args if type(option) is type(value) and option == value]
        return found[0] if found else _refuse(where, "one of " + ", ".join(map(repr, args)))
    if origin in (Union, types.UnionType):
        return _first_fit(args, value, where)
    if origin in _LISTS:
        if not isinstance(value, list):
            _refuse(where, "an array")
        inner = args[0] if args else Any
        items = [convert(inner, item, f"{where}[{i}]") for i, item in enumerate(cast("Sequence[Any]", value))]
        return tuple(items) if origin is tuple else items
    inner = args[1] if args else Any
    return {key: convert(inner, item, f"{where}.{key}") for key, item in _mapping(value, where).items()}


def _simple(kind: type, value: Any, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is kind else _refuse(where, f"a {_SIMPLE[kind]}")


def _member(cls: type[enum.Enum], value: Any, where: str) -> enum.Enum:
    try:
        return cls(value)
    except ValueError:
        _refuse(where, "one of " + ", ".join(repr(member.value) for member in cls))


def _first_fit(options: Sequence[Any], value: Any, where: str) -> Any:
    problems: list[str] = []
    for option in options:
        try:
            return convert(option, value, where)
        except InvalidArgumentsError as error:
            problems.append(str(error))
    raise InvalidArgumentsError(" or ".join(problems))


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else _refuse(where, "an object")


def _read(
    given: Mapping[str, Any], parameters: Mapping[str, Parameter], where: str, *, closed: bool
) -> dict[str, Any]:
    if closed and (unknown := [name for name in given if name not in parameters]):
        raise InvalidArgumentsError(f"{', '.join(unknown)}: there is no such argument")
    values: dict[str, Any] = {}
    for name, parameter in parameters.items():
        place = f"{where}.{name}".lstrip(".")
        if name in given:
            values[name] = convert(parameter.annotation, given[name], place)
        elif parameter.default is REQUIRED:
            raise InvalidArgumentsError(f"{place}: missing")
        else:
            values[name] = parameter.default
    return values


def _refuse(where: str, expected: str) -> NoReturn:
    raise InvalidArgumentsError(f"{where}: should be {expected}")
