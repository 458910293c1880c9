"""A tool's result as the text the model reads."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any, Final, cast

__all__ = ["output_text"]

_JSON: Final = (dict, list, tuple, set, frozenset, int, float, Mapping, enum.Enum)
_BINARY: Final = (bytes, bytearray, memoryview)


def output_text(result: Any) -> str:
    """Text as it is, everything else in the form a model reads best.

    None is `null`, as in the JavaScript SDK. Numbers, lists, dicts, enums, dataclasses and pydantic models are
    JSON; dates and the like inside them are ISO text. Bytes are not text: they become their
    length and a few of them in hex. Anything else is `str(result)`.
    """
    if isinstance(result, str) and not isinstance(result, enum.Enum):
        return result
    if isinstance(result, _BINARY):
        return _binary(bytes(cast("bytes", result)))
    if result is None or isinstance(result, _JSON) or _is_model(result) or _is_record(result):
        try:
            return json.dumps(result, ensure_ascii=False, default=_plain)
        except (TypeError, ValueError, RecursionError):
            return str(cast("object", result))  # it contains itself, or has keys JSON cannot have
    return str(result)


def _is_model(value: object) -> bool:
    return not isinstance(value, type) and callable(getattr(value, "model_dump", None))


def _is_record(value: object) -> bool:
    return not isinstance(value, type) and dataclasses.is_dataclass(value)


def _plain(value: Any) -> object:
    """What `json` asks for an object it does not know."""
    if _is_model(value):
        return value.model_dump(mode="json")
    if _is_record(value):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if issubclass(type(value), Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(cast("set[Any]", value), key=repr)
    if isinstance(value, _BINARY):
        return base64.b64encode(cast("bytes", value)).decode()
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if callable(isoformat) else str(value)


def _binary(data: bytes) -> str:
    shown = data[:16].hex(" ")
    return (
        f"[{len(data)} bytes of binary data{': ' + shown if data else ''}{' ...' if len(data) > 16 else ''}]"
    )
