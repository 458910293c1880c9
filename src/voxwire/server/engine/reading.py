"""Messages of clients as JSON: bounded, and everything wrong with them said."""

from __future__ import annotations

import json
import math
from typing import NoReturn

from .errors import ClientError

__all__ = ["read_message"]


def read_message(message: str | bytes, max_bytes: int) -> object:
    """What is in a message.

    Args:
        max_bytes: of its UTF-8.

    Raises:
        ClientError: it is too long, or no JSON.
    """
    size = len(message)
    if isinstance(message, str) and size * 4 > max_bytes:
        size = len(message.encode("utf-8", "surrogatepass"))
    if size > max_bytes:
        raise ClientError(
            f"The message of {size} bytes is longer than the {max_bytes} bytes that this server takes. "
            "Send audio in smaller pieces.",
            code="message_too_large",
        )
    try:
        found: object = json.loads(message, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as exc:
        problem = "nested too deeply" if isinstance(exc, RecursionError) else str(exc)
        raise ClientError(f"The message is not valid JSON: {problem}", code="invalid_json") from None
    return found


def _finite(digits: str) -> float:
    """A number that can be said again: `1e999` would come back as `Infinity`, which is not JSON."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
