"""Which library turns text into JSON, and audio into base64 and back.

Half of the time that a frame of audio costs is spent in these three functions. Whichever are used, the same
messages are taken and the same errors raised: what a faster one refuses, the standard library looks at again.

The standard library's parser takes `NaN`, `Infinity` and, after overflow, `1e999`, none of
which JSON (RFC 8259) has; they are refused here, so that what was decoded can always be encoded again.
"""

from __future__ import annotations

import binascii
import functools
import importlib
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import MissingExtraError

__all__ = ["SAFE_DEPTH", "STANDARD", "Codec", "check_depth", "default_codec", "fast_codec"]

_SPACE = " \t\r\n"
_INFINITE = (math.inf, -math.inf)
_IN_JAVASCRIPT = sys.platform == "emscripten"
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)

SAFE_DEPTH = 200
"""Levels of nesting that the standard library's parser survives anywhere."""


@dataclass(frozen=True, slots=True)
class Codec:
    """Three functions.

    Attributes:
        loads: JSON text to a value; raises `ValueError` or `RecursionError`.
        b64encode: bytes to base64 text, with padding, in the standard alphabet.
        b64decode: the same text to bytes; raises `ValueError` for any other.
        packages: the third-party packages it uses.
    """

    loads: Callable[[str], Any]
    b64encode: Callable[[bytes | bytearray | memoryview], str]
    b64decode: Callable[[str], bytes]
    packages: tuple[str, ...] = ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number is too large for a 64 bit float")
    return value


_parse = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).raw_decode


def check_depth(text: str) -> None:
    """Refuse what would end the interpreter rather than raise an exception.

    The standard library's parser recurses in C. CPython stops it in time; under Pyodide it runs out of JavaScript's
    stack first, which is fatal, so brackets are counted before it begins.

    Raises:
        RecursionError: if there are more than `SAFE_DEPTH` levels.
    """
    if text.count("[") + text.count("{") <= SAFE_DEPTH:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        bracket = match[0]
        if bracket in ("[", "{"):
            depth += 1
            if depth > SAFE_DEPTH:
                raise RecursionError(f"nested deeper than {SAFE_DEPTH}")
        elif bracket in ("]", "}"):
            depth -= 1


def _standard_loads(text: str) -> Any:
    if _IN_JAVASCRIPT:
        check_depth(text)
    if text[:1] in _SPACE:
        text = text.lstrip(_SPACE)
    value, end = _parse(text)
    if end != len(text) and text[end:].strip(_SPACE):
        raise ValueError(f"text after the JSON value at character {end}")
    return value


def _standard_b64encode(data: bytes | bytearray | memoryview) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _standard_b64decode(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


STANDARD = Codec(_standard_loads, _standard_b64encode, _standard_b64decode)
"""The standard library's."""


@functools.cache
def default_codec() -> Codec:
    """What a transport uses unless it is told otherwise.

    Where `pydantic` is installed, which voxwire needs for tools anyway, its parser reads the flat
    events, audio among them, and their base64 in a third of the time; everything else is the standard library's.
    """
    core = _optional("pydantic_core")
    if core is None:
        return STANDARD
    parse = functools.partial(core.from_json, allow_inf_nan=False)
    return Codec(_flat_first(parse), STANDARD.b64encode, _base64_first(core), ("pydantic_core",))


def _flat_first(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def loads(text: str) -> Any:
        # A nested event may hold an overflowing number anywhere, which this parser takes for infinity.
        if text.find("{", 1) > 0 or "[" in text:
            return _standard_loads(text)
        try:
            value = parse(text)
        except (ValueError, RecursionError):
            return _standard_loads(text)
        if not isinstance(value, dict):
            return _standard_loads(text)
        fields: dict[str, object] = value  # pyright: ignore[reportUnknownVariableType] - a cast would be a call
        for field in fields.values():
            if type(field) is float and field in _INFINITE:
                return _standard_loads(text)
        return fields

    return loads


def _base64_first(core: Any) -> Callable[[str], bytes]:
    validator = core.SchemaValidator({"type": "bytes"}, {"val_json_bytes": "base64"})
    decode: Callable[[str], bytes] = validator.validate_strings
    try:
        if decode("+/8=") != b"\xfb\xff":
            return _standard_b64decode
    except ValueError:
        return _standard_b64decode  # pydantic before 2.9 or 2.10 has no base64, or only that for URLs

    def b64decode(text: str) -> bytes:
        # It takes the URL-safe alphabet and missing padding as well.
        if len(text) % 4 or "-" in text or "_" in text:
            return _standard_b64decode(text)
        try:
            return decode(text)
        except ValueError:
            return _standard_b64decode(text)

    return b64decode


def fast_codec() -> Codec:
    """`msgspec` for JSON and `pybase64` for audio, or the one of them that is installed.

    Raises:
        MissingExtraError: if neither is (extra `fast`).
    """
    msgspec, pybase64 = _optional("msgspec"), _optional("pybase64")
    if msgspec is None and pybase64 is None:
        raise MissingExtraError("The fast codec", "fast", "msgspec")
    return _codec_of(msgspec, pybase64)


@functools.cache
def _codec_of(msgspec: Any, pybase64: Any) -> Codec:
    """One for all sessions of a process, so that it stays in the processor's cache between two of them."""
    loads, b64encode, b64decode = STANDARD.loads, STANDARD.b64encode, STANDARD.b64decode
    packages: list[str] = []
    if msgspec is not None:
        loads = _checked(msgspec.json.Decoder().decode, msgspec.MsgspecError, _standard_loads)
        packages.append("msgspec")
    if pybase64 is not None:
        b64encode = pybase64.b64encode_as_string
        b64decode = _strict_first(pybase64.b64decode)
        packages.append("pybase64")
    return Codec(loads, b64encode, b64decode, tuple(packages))


def _strict_first(decode: Callable[[str, None, bool], bytes]) -> Callable[[str], bytes]:
    def b64decode(text: str) -> bytes:
        try:
            return decode(
                text, None, True
            )  # validate; by position, since a name costs as much as the decoding
        except ValueError:
            return _standard_b64decode(text)

    return b64decode


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _checked(
    fast: Callable[[str], Any], refusal: type[Exception], standard: Callable[[str], Any]
) -> Callable[[str], Any]:
    def call(text: str) -> Any:
        try:
            return fast(text)
        except (refusal, ValueError, RecursionError):
            return standard(text)

    return call
