"""Which lines of voxwire ran after which, in a browser: what coverage.py wants to know, without its database.

By `sys.monitoring`, since a trace function is forgotten when Pyodide switches stacks at an await.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from types import CodeType
from typing import Any

WATCHED = ("carriers/browser", "carriers/js", "carriers/workers_link", "transports/page", "transports/webrtc",
           "transports/websocket", "session/choice")  # fmt: skip
found: dict[str, set[tuple[int, int]]] = defaultdict(set)
_at: dict[Any, int] = {}  # frame -> its last line
_TOOL = 3


def start() -> None:
    monitoring, events = sys.monitoring, sys.monitoring.events
    monitoring.use_tool_id(_TOOL, "arcs")
    monitoring.register_callback(_TOOL, events.PY_START, _began)
    monitoring.register_callback(_TOOL, events.LINE, _line)
    monitoring.register_callback(_TOOL, events.PY_RETURN, _ended)
    monitoring.register_callback(_TOOL, events.PY_UNWIND, _ended)
    monitoring.set_events(_TOOL, events.PY_START | events.PY_UNWIND)


def _place(code: CodeType) -> str:
    return "voxwire/" + code.co_filename.rpartition("/voxwire/")[2]


def _began(code: CodeType, _offset: int) -> Any:
    if not _place(code).startswith(tuple(f"voxwire/{name}" for name in WATCHED)):
        return sys.monitoring.DISABLE
    events = sys.monitoring.events
    sys.monitoring.set_local_events(_TOOL, code, events.LINE | events.PY_RETURN)
    _at[sys._getframe(1)] = -code.co_firstlineno
    return None


def _line(code: CodeType, line: int) -> None:
    frame = sys._getframe(1)
    found[_place(code)].add((_at.get(frame, -code.co_firstlineno), line))
    _at[frame] = line


def _ended(code: CodeType, _offset: int, _value: Any) -> None:
    last = _at.pop(sys._getframe(1), None)
    if last is not None:
        found[_place(code)].add((last, -code.co_firstlineno))
