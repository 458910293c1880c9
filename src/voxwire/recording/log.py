"""The event log: every wire event of both directions, and what the engine decided, one JSON object per line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Self

from .._version import __version__
from ..protocol.actions import Send
from ..protocol.history_json import item_to_dict
from ..protocol.items import RealtimeItem
from ..protocol.observed import Step
from ..protocol.options import EngineOptions
from ..protocol.redaction import Redaction
from ..protocol.replay import header
from ..protocol.step_codec import encode_step

__all__ = ["EventLog"]

Direction = Literal["sent", "received"]


class EventLog:
    """Writes events as they happen, so that the log of a crash is complete.

    Each line goes to the operating system at once; nothing queues here.

    Args:
        path: replaced if it exists.
        redaction: what must not be in the file.
        options: of the engine. about: more for the first line.

    Raises:
        OSError: if the file cannot be written; also from every other method.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        redaction: Redaction | None = None,
        *,
        options: EngineOptions | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self._redaction = redaction or Redaction()
        self._file = open(path, "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by close()
        self._by_engine: list[Mapping[str, Any]] = []
        self._reported: object = None
        self.counts: dict[Direction, int] = {"sent": 0, "received": 0}
        head = {"voxwire": __version__, **(about or {})}
        self._line(header(options or EngineOptions(), self._redaction, **head))

    def write(self, direction: Direction, event: Mapping[str, Any], t_ms: float) -> None:
        """Append a wire event; one that a step led to is there already.

        Args:
            t_ms: ms since the recording began.
        """
        for number, known in enumerate(self._by_engine):
            if known is event:
                del self._by_engine[number]
                return
        self._event(direction, event, t_ms)

    def step(self, step: Step, t_ms: float) -> None:
        """Append a call of the engine, and the wire events it led to."""
        self._by_engine = [action.event for action in step.actions if isinstance(action, Send)]
        if step.name == "report_heard":
            heard = step.arguments.get("heard_ms")
            if heard is None or heard == self._reported:
                return  # nothing new
            self._reported = heard
        entry = encode_step(step)
        if step.name == "receive":
            del entry["arguments"]["event"]
            self._event("received", step.arguments["event"], t_ms, **entry)
        else:
            if step.name == "connect":
                self._reported = None
            self._line({"t_ms": round(t_ms, 1), **self._redaction.event(entry)})
        for event in self._by_engine:
            self._event("sent", event, t_ms, by="engine")

    def history(self, items: Sequence[RealtimeItem], t_ms: float) -> None:
        """Append the conversation as it is now."""
        entries = [self._redaction.event(item_to_dict(item)) for item in items]
        self._line({"t_ms": round(t_ms, 1), "history": entries})

    def error(self, error: Exception, t_ms: float) -> None:
        """Append an error that was told to the listeners."""
        self._line({"t_ms": round(t_ms, 1), "error": type(error).__name__, "message": str(error)})

    def _event(self, direction: Direction, event: Mapping[str, Any], t_ms: float, **more: Any) -> None:
        entry = {
            "t_ms": round(t_ms, 1),
            "direction": direction,
            "type": event.get("type"),
            "event": self._redaction.event(event),
        }
        self._line({**entry, **more})
        self.counts[direction] += 1

    def _line(self, entry: Mapping[str, Any]) -> None:
        self._file.write(self._redaction.line(entry) + "\n")

    def close(self) -> None:
        """Finish the file; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
