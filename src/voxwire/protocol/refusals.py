"""What a service says over HTTP when it refuses, as an error of this package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from ..errors import AuthenticationError, ProviderError

__all__ = ["refusal"]

_RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def refusal(said: str, status: int, body: bytes | None, otherwise: str) -> ProviderError:
    """The error for an HTTP answer that is none of the wanted ones.

    Args:
        said: what the message begins with, such as `"example.com:443 refused the connection with HTTP 401"`.
        body: as received; an OpenAI error object in it gives message, type, code and param.
        otherwise: what the message ends with where the body says nothing.
    """
    raw, error = _error_object(body)
    told = error.get("message")
    words = told if isinstance(told, str) and told else otherwise
    kind = AuthenticationError if status in (401, 403) else ProviderError
    return kind(
        f"{said}: {words}",
        type=_text(error.get("type")),
        code=_text(error.get("code")),
        param=_text(error.get("param")),
        status=status,
        retryable=status in _RETRYABLE,
        raw=raw,
    )


def _error_object(body: bytes | None) -> tuple[Any, Mapping[str, Any]]:
    if not body:
        return None, {}
    try:
        raw: Any = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode(errors="replace"), {}
    answer: dict[str, Any] = cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}
    error: object = answer.get("error")
    return cast("Any", raw), cast("dict[str, Any]", error) if isinstance(error, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
