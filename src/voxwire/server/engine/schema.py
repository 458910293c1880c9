"""Small validators for what clients send.

A check takes a value and the path of the parameter, returns the value to use and raises
`ClientError` in the words of the service (type, code and param as it gives them).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from .errors import ClientError

__all__ = [
    "Check",
    "any_mapping",
    "any_of",
    "array",
    "base64_audio",
    "boolean",
    "free_form",
    "integer",
    "listed",
    "missing",
    "nullable",
    "number",
    "obj",
    "one_of",
    "tagged",
    "text",
]

Check: TypeAlias = Callable[[Any, str], Any]

_NAMES = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal"),
    (str, "a string"),
    (list, "an array"),
)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "an object")


def _wrong_type(param: str, expected: str, value: object) -> ClientError:
    return ClientError(
        f"Invalid type for '{param}': expected {expected}, but got {_kind(value)} instead.",
        code="invalid_type",
        param=param,
    )


def listed(values: Iterable[str]) -> str:
    """`'a', 'b', and 'c'`."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) < 3:
        return " and ".join(quoted)
    return ", ".join(quoted[:-1]) + f", and {quoted[-1]}"


def missing(param: str) -> ClientError:
    """The error for a parameter that must be there."""
    return ClientError(
        f"Missing required parameter: '{param}'.", code="missing_required_parameter", param=param
    )


def boolean(value: Any, param: str) -> bool:
    """Either true or false."""
    if not isinstance(value, bool):
        raise _wrong_type(param, "a boolean", value)
    return value


def text(max_length: int | None = None, min_length: int = 0) -> Check:
    """A string of a length in characters."""

    def check(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise _wrong_type(param, "a string", value)
        if max_length is not None and len(value) > max_length:
            raise ClientError(
                f"Invalid '{param}': string too long. Expected a string with maximum length {max_length}, "
                f"but got a string with length {len(value)} instead.",
                code="string_above_max_length",
                param=param,
            )
        if len(value) < min_length:
            raise ClientError(
                f"Invalid '{param}': string too short. Expected a string with minimum length {min_length}, "
                f"but got a string with length {len(value)} instead.",
                code="string_below_min_length",
                param=param,
            )
        return value

    return check


def _bounded(kind: str, low: float, high: float) -> Check:
    def check(value: Any, param: str) -> Any:
        for bound, outside, word, sign in (
            (high, value > high, "above maximum", "<="),
            (low, value < low, "below minimum", ">="),
        ):
            if outside:
                code = f"{kind}_{'above_max' if sign == '<=' else 'below_min'}_value"
                raise ClientError(
                    f"Invalid '{param}': {kind} {word} value. Expected a value {sign} {bound:g}, "
                    f"but got {value} instead.",
                    code=code,
                    param=param,
                )
        return value

    return check


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def number(low: float, high: float) -> Check:
    """A finite number in a closed range."""
    bounded = _bounded("decimal", low, high)

    def check(value: Any, param: str) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _finite(value):
            raise _wrong_type(param, "a decimal", value)
        return bounded(value, param)

    return check


def integer(low: int, high: int) -> Check:
    """A whole number in a closed range; `3.0` counts, as some clients know only one kind of number."""
    bounded = _bounded("integer", low, high)

    def check(value: Any, param: str) -> int:
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(param, "an integer", value)
        return cast("int", bounded(value, param))

    return check


def one_of(*values: str) -> Check:
    """One of these strings."""

    def check(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise _wrong_type(param, f"one of {listed(values)}", value)
        if value not in values:
            raise ClientError(
                f"Invalid value: '{value}'. Supported values are: {listed(values)}.", param=param
            )
        return value

    return check


def nullable(inner: Check) -> Check:
    """null, or what `inner` takes."""

    def check(value: Any, param: str) -> Any:
        return None if value is None else inner(value, param)

    return check


def any_of(expected: str, *choices: Check) -> Check:
    """What one of these takes; the last one's error unless all of them complain of the type."""

    def check(value: Any, param: str) -> Any:
        error = _wrong_type(param, expected, value)
        for choice in choices:
            try:
                return choice(value, param)
            except ClientError as exc:
                if exc.code != "invalid_type" or exc.param != param:
                    error = exc
        raise error

    return check


def array(inner: Check, max_length: int, min_length: int = 0) -> Check:
    """A list of what `inner` takes."""

    def check(value: Any, param: str) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong_type(param, "an array", value)
        items: list[Any] = list(cast("Sequence[Any]", value))
        if len(items) > max_length:
            raise ClientError(
                f"Invalid '{param}': array too long. Expected an array with maximum length {max_length}, "
                f"but got an array with length {len(items)} instead.",
                code="array_above_max_length",
                param=param,
            )
        if len(items) < min_length:
            raise ClientError(
                f"Invalid '{param}': empty array. Expected an array with minimum length {min_length}, "
                f"but got an array with length {len(items)} instead.",
                code="array_below_min_length",
                param=param,
            )
        return [inner(item, f"{param}[{index}]") for index, item in enumerate(items)]

    return check


def any_mapping(value: Any, param: str) -> dict[str, Any]:
    """An object with anything in it."""
    if not isinstance(value, Mapping):
        raise _wrong_type(param, "an object", value)
    return dict(cast("Mapping[str, Any]", value))


MAX_DEPTH = 100
"""Nesting of free-form objects: what copies them later calls itself for each level."""


def free_form(value: Any, param: str) -> dict[str, Any]:
    """An object with anything in it, nested within reason."""
    given = any_mapping(value, param)
    level: list[Any] = [given]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return given
    raise ClientError(
        f"Invalid '{param}': nested more than {MAX_DEPTH} levels deep.",
        code="object_above_max_depth",
        param=param,
    )


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value).values()
    return list(cast("Sequence[Any]", value)) if isinstance(value, list) else ()


def obj(fields: Mapping[str, Check], required: Iterable[str] = ()) -> Check:
    """An object with these parameters and no others; absent ones stay absent."""
    needed = tuple(required)

    def check(value: Any, param: str) -> dict[str, Any]:
        given = any_mapping(value, param)
        prefix = f"{param}." if param else ""
        for name in needed:
            if name not in given:
                raise missing(prefix + name)
        result: dict[str, Any] = {}
        for name, item in given.items():
            inner = fields.get(name)
            if inner is None:
                raise ClientError(
                    f"Unknown parameter: '{prefix}{name}'.", code="unknown_parameter", param=prefix + name
                )
            result[name] = inner(item, prefix + name)
        return result

    return check


def tagged(key: str, variants: Mapping[str, Check]) -> Check:
    """An object whose `key` says which of the variants it is."""
    choice = one_of(*variants)

    def check(value: Any, param: str) -> Any:
        given = any_mapping(value, param)
        path = f"{param}.{key}" if param else key
        if key not in given:
            raise missing(path)
        return variants[choice(given[key], path)](given, param)

    return check


def base64_audio(value: Any, param: str) -> bytes:
    """Bytes in base64, as `input_audio_buffer.append` carries them."""
    if not isinstance(value, str):
        raise _wrong_type(param, "a string", value)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ClientError(
            f"Invalid '{param}'. Expected base64-encoded audio bytes, but the value could not be decoded.",
            param=param,
        ) from None
