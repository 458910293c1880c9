"""Which lines of voxwire ran after which, in a browser: what coverage.py wants to know, without its database."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable
from types import FrameType
from typing import Any

WATCHED = ("carriers/browser", "carriers/js", "carriers/workers_link", "transports/page", "transports/webs",
           "transports/webrtc", "session/choice")  # fmt: skip
found: dict[str, set[tuple[int, int]]] = defaultdict(set)


def start() -> None:
    sys.settrace(_called)


def _called(frame: FrameType, _event: str, _value: Any) -> Callable[..., Any] | None:
    place = frame.f_code.co_filename.rpartition("site-packages/")[2]
    if not place.startswith(tuple(f"voxwire/{name}" for name in WATCHED)):
        return None
    arcs, first = found[place], frame.f_code.co_firstlineno
    # A coroutine that goes on is called again; it did not come from its first line then.
    at = -first if frame.f_lasti <= 4 else frame.f_lineno

    def traced(frame: FrameType, event: str, _value: Any) -> Any:
        nonlocal at
        if event == "line":
            arcs.add((at, frame.f_lineno))
            at = frame.f_lineno
        elif event == "return":
            arcs.add((at, -first))
        return traced

    return traced
