"""Results that the model takes note of without going on because of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["BackgroundResult", "background_result", "is_background_result"]


@dataclass(frozen=True, slots=True)
class BackgroundResult:
    """A tool's result that asks for no response; see `background_result`."""

    value: Any


def background_result(value: Any = None) -> BackgroundResult:
    """Return this from a tool whose result is no reason to speak.

        @tool
        def note(text: str) -> BackgroundResult:
            return background_result("saved")

    The model gets the result like any other and knows it when it speaks next. If another call of
    the same response does want an answer, the model goes on after both.
    """
    return BackgroundResult(value)


def is_background_result(value: object) -> bool:
    """Whether this is such a result."""
    return isinstance(value, BackgroundResult)
