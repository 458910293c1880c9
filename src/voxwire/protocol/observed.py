"""An engine with an onlooker: every call that can change it, with the identifiers it took and what it decided.

An engine reads no clock and draws no numbers, so the steps that are shown here are all that is needed to
make another one decide the same (`voxwire.protocol.replay`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from .actions import Action
from .engine import RealtimeEngine

__all__ = ["STEPS", "ObservedEngine", "Observer", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of an engine.

    Attributes:
        name: the method.
        arguments: by name, as they were given; defaults that were not given are missing.
        ids: the identifiers the engine took while it decided, in order.
        actions: what it decided.
        raised: what it raised instead.
    """

    name: str
    arguments: Mapping[str, Any]
    ids: tuple[str, ...] = ()
    actions: Sequence[Action] = ()
    raised: Exception | None = None


Observer: TypeAlias = Callable[[Step], None]
"""Called after the engine has decided, before anything is done about it. It must not raise."""

STEPS: Final = (
    "connect",
    "opened",
    "receive",
    "media",
    "timer",
    "send_event",
    "request_response",
    "send_message",
    "update_session",
    "send_function_call_output",
    "send_mcp_response",
    "reset_history",
    "report_heard",
    "report_item_heard",
    "interrupt",
    "interrupt_response",
    "hold_back_audio",
    "release_audio",
    "withhold_audio",
    "disconnected",
)
"""The methods by which a shell drives an engine."""

_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    name: tuple(inspect.signature(getattr(RealtimeEngine, name)).parameters)[1:] for name in STEPS
}


class ObservedEngine:
    """Stands in for an engine: the same attributes and methods, shown to `observer`.

    Args:
        engine: does the work; its `ids` are watched until `release`.
    """

    def __init__(self, engine: RealtimeEngine, observer: Observer) -> None:
        self.observed = engine
        self._observer = observer
        self._new_id = engine.ids
        self._taken: list[str] = []
        engine.ids = self._take_id

    def release(self) -> RealtimeEngine:
        """The engine itself, no longer watched."""
        self.observed.ids = self._new_id
        return self.observed

    def _take_id(self, prefix: str) -> str:
        new = self._new_id(prefix)
        self._taken.append(new)
        return new

    def __getattr__(self, name: str) -> Any:
        if name in _PARAMETERS:
            return partial(self._step, name)
        return getattr(self.observed, name)

    def _step(self, name: str, *values: Any, **named: Any) -> Any:
        arguments = {**dict(zip(_PARAMETERS[name], values, strict=False)), **named}
        self._taken = []  # those taken in between are of no consequence here
        try:
            result: Any = getattr(self.observed, name)(*values, **named)
        except Exception as error:
            self._observer(Step(name, arguments, tuple(self._taken), raised=error))
            raise
        self._observer(Step(name, arguments, tuple(self._taken), result or ()))
        return result
