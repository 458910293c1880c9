"""Text to wire event and back.

`decode` is called for every message the service sends, fifty times a second and session
for audio, and `encode_audio_append` for every piece of audio that goes out; both are kept
close to the cost of the parser itself; which parser that is, a `Codec` says.

Error messages name positions and sizes, never the text: it may be a transcript.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

from ..errors import UserError, WireError
from .codec import STANDARD, Codec
from .unset import UNSET

__all__ = [
    "DEFAULT_MAX_BYTES",
    "MAX_DEPTH",
    "decode",
    "decode_audio",
    "encode",
    "encode_audio_append",
    "not_base64",
]

DEFAULT_MAX_BYTES = 16 * 1024 * 1024
"""The largest message taken by default, bytes of UTF-8; an audio event may hold 15 MiB of base64."""

MAX_DEPTH = 100
"""How deep objects and lists may be nested in a message."""

_APPEND_HEAD = '{"type":"input_audio_buffer.append","audio":"'


def _plain(value: object) -> object:
    """Let the encoder take any mapping, as the typed events hold them."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    raise TypeError(f"{type(value).__name__} is not JSON")


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_plain).encode


def decode(
    message: str | bytes | bytearray | memoryview,
    max_bytes: int = DEFAULT_MAX_BYTES,
    codec: Codec = STANDARD,
) -> dict[str, Any]:
    """Read one message as a wire event.

    Lone surrogates (half an emoji, as a service may cut one between two deltas) are kept.

    Args:
        message: text, or its UTF-8 bytes.
        max_bytes: the largest message to take, bytes of UTF-8.
        codec: what parses it.

    Raises:
        WireError: if it is too large, not UTF-8, not JSON (RFC 8259: no NaN, no Infinity), nested
            deeper than `MAX_DEPTH`, has an integer beyond Python's digit limit, is not an
            object, or has no string `type`. No other exception is raised.
    """
    # No character has more than four bytes, so that most text need not be looked at.
    if isinstance(message, str) and len(message) * 4 <= max_bytes:
        text = message
    else:
        text = _text(message, max_bytes)
    try:
        event: dict[str, Any] = codec.loads(text)
    except json.JSONDecodeError as error:
        raise WireError(f"the message is not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise WireError(f"the message is not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(event, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - so far that is a hope
        raise WireError(f"the message is a JSON {type(event).__name__}, not an object")
    # Audio is a flat object, which is told faster than its brackets are counted.
    if (text.find("{", 1) > 0 or "[" in text) and _exceeds_depth(text, event):
        raise _too_deep()
    if not isinstance(event.get("type"), str):
        raise WireError("the message has no string 'type'")
    return event


def _text(message: str | bytes | bytearray | memoryview, max_bytes: int) -> str:
    if isinstance(message, str):
        size = len(message)
        # Only text near the limit has to be measured in bytes.
        if size <= max_bytes < size * 4 and not message.isascii():
            size = len(message.encode("utf-8", "surrogatepass"))
    else:
        size = message.nbytes if isinstance(message, memoryview) else len(message)
    if size > max_bytes:
        raise WireError(f"the message has {size} bytes; at most {max_bytes} are taken")
    if isinstance(message, str):
        return message
    try:
        return str(message, "utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"the message is not UTF-8: {error.reason} at byte {error.start}") from None


def _too_deep() -> WireError:
    return WireError(f"the message is nested deeper than {MAX_DEPTH} levels")


def _exceeds_depth(text: str, event: dict[str, Any]) -> bool:
    # Without that many brackets it cannot be that deep: the walk is for the few large events.
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return False
    level: list[Any] = [event]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (cast("dict[str, Any]", node).values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def encode(event: Mapping[str, Any]) -> str:
    """Write one wire event as compact JSON text, ready for a UTF-8 wire.

    Mappings of any kind count as objects, tuples as lists.

    Raises:
        UserError: if the event has no string `type`, or holds something JSON cannot; the
            message names the path to it.
    """
    if not isinstance(event.get("type"), str):
        raise UserError('a wire event needs a string "type", such as {"type": "response.create"}')
    try:
        text = _compact(event)
    except (TypeError, ValueError, RecursionError) as error:
        problem = _find_problem(event) or str(error)
        raise UserError(f"event {event['type']!r} cannot be sent: {problem}") from None
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8, but it has an escape.
        return _ascii(event)
    return text


def _find_problem(event: Mapping[str, Any]) -> str | None:
    """Say what in an event the encoder refused, and where."""
    stack: list[tuple[str, int, object]] = [("", 0, event)]
    while stack:
        path, depth, value = stack.pop()
        if depth > MAX_DEPTH:
            return f"{path[:60]}... is nested deeper than {MAX_DEPTH} levels, or contains itself"
        if isinstance(value, Mapping):
            for key, child in cast("Mapping[object, object]", value).items():
                if not isinstance(key, (str, int, type(None))):
                    return f"{path or 'the event'} has the key {key!r}; keys are strings"
                stack.append((f"{path}.{key}" if path else str(key), depth + 1, child))
        elif isinstance(value, (list, tuple)):
            children = cast("list[object] | tuple[object, ...]", value)
            stack.extend((f"{path}[{i}]", depth + 1, child) for i, child in enumerate(children))
        elif problem := _scalar_problem(value):
            return f"{path} {problem}"
    return None


def _scalar_problem(value: object) -> str | None:
    if value is UNSET:
        return "is UNSET; leave the key out"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value!r}; JSON has no such number"
    if isinstance(value, (bytes, bytearray)):
        return f"is {type(value).__name__}; audio goes on the wire as base64 text"
    if value is not None and not isinstance(value, (str, int, float)):
        return f"is of type {type(value).__name__}, which JSON cannot hold"
    return None


def encode_audio_append(pcm: bytes | bytearray | memoryview, codec: Codec = STANDARD) -> str:
    """The text of an `input_audio_buffer.append` event with this audio.

    Args:
        pcm: audio in the session's input format; at most 15 MiB, says the API reference.
    """
    return f'{_APPEND_HEAD}{codec.b64encode(pcm)}"}}'


def decode_audio(b64: str, codec: Codec = STANDARD) -> bytes:
    """The audio of a base64 field: strict, with padding, in the standard alphabet.

    Raises:
        WireError: if it is anything else.
    """
    try:
        return codec.b64decode(b64)
    except (ValueError, TypeError) as error:  # binascii.Error is a ValueError
        raise not_base64(error) from None


def not_base64(error: Exception) -> WireError:
    """What to raise, or report, where a codec's `b64decode` raised `error`."""
    return WireError(f"the audio is not base64: {error}")
