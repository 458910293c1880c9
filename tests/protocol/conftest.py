"""An engine without a shell: what it sends, tells and asks for, and time that the test moves."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest

from voxwire.protocol.actions import (
    Action,
    CancelTimer,
    Emit,
    Fail,
    Play,
    Ready,
    Send,
    SetTimer,
    StopPlayback,
)
from voxwire.protocol.engine import EngineOptions, RealtimeEngine

T = TypeVar("T")


class Driver:
    """Carries out actions as a shell does, and writes them down."""

    def __init__(self, options: EngineOptions | None = None) -> None:
        count = itertools.count(1)
        self.engine = RealtimeEngine(ids=lambda prefix: f"{prefix}_{next(count)}", options=options)
        self.now = 100.0
        self.timers: dict[str, float] = {}
        self.sent: list[dict[str, Any]] = []
        self.told: list[Any] = []
        self.played: list[Any] = []
        self.stops: list[float] = []
        self.ready: list[str | None] = []
        self.failures: list[Exception] = []

    def do(self, actions: Sequence[Action]) -> Driver:
        for action in actions:
            match action:
                case Send(event=event):
                    self.sent.append(event)
                case Emit(event=event):
                    self.told.append(event)
                case Play(audio=audio):
                    self.played.append(audio)
                case StopPlayback(heard_ms=heard):
                    self.stops.append(heard)
                case SetTimer(name=name, at=at):
                    self.timers[name] = at
                case CancelTimer(name=name):
                    self.timers.pop(name, None)
                case Ready(warning=warning):
                    self.ready.append(warning)
                case Fail(error=error):
                    self.failures.append(error)
        return self

    def connect(self, session: dict[str, Any] | None = None, **in_force: Any) -> Driver:
        self.do(self.engine.connect(session, self.now))
        self.do(self.engine.opened(self.now))
        self.recv("session.created", session={"type": "realtime", **in_force})
        if session:
            self.recv("session.updated", session={"type": "realtime", **session, **in_force})
        assert self.engine.connection == "connected"
        return self.forget()

    def forget(self) -> Driver:
        for log in (self.sent, self.told, self.played, self.stops, self.ready, self.failures):
            log.clear()
        return self

    def recv(self, type: str, **fields: Any) -> Driver:
        return self.do(self.engine.receive({"type": type, "event_id": "event_x", **fields}, self.now))

    def created(self, response_id: str, **response: Any) -> Driver:
        return self.recv(
            "response.created", response={"id": response_id, "status": "in_progress", **response}
        )

    def done(self, response_id: str, status: str = "completed", **response: Any) -> Driver:
        return self.recv("response.done", response={"id": response_id, "status": status, **response})

    def audio(self, response_id: str, item_id: str, ms: int, index: int = 0) -> Driver:
        delta = base64.b64encode(bytes(ms * 48)).decode()
        ids = {"response_id": response_id, "item_id": item_id, "content_index": index}
        return self.recv("response.output_audio.delta", **ids, delta=delta)

    def call(self, response_id: str, call_id: str, name: str = "tool", arguments: str = "{}") -> Driver:
        item = {"id": f"item_{call_id}", "type": "function_call", "call_id": call_id, "name": name}
        item |= {"arguments": arguments, "status": "completed"}
        return self.recv("response.output_item.done", response_id=response_id, item=item)

    def error(self, **error: Any) -> Driver:
        return self.recv("error", error={"type": "invalid_request_error", "message": "no", **error})

    def wait(self, seconds: float) -> Driver:
        """Let time pass; timers fire on the way."""
        end = self.now + seconds
        while self.timers:
            name, at = min(self.timers.items(), key=lambda timer: timer[1])
            if at > end:
                break
            del self.timers[name]
            self.now = max(self.now, at)
            self.do(self.engine.timer(name, self.now))
        self.now = end
        return self

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def events(self, kind: type[T]) -> list[T]:
        return [event for event in self.told if isinstance(event, kind)]

    def history(self) -> list[str]:
        return [item.item_id for item in self.engine.history.snapshot()]


@pytest.fixture
def driver() -> Driver:
    """A connected engine."""
    return Driver().connect()


@pytest.fixture
def make_driver() -> type[Driver]:
    """For engines that need options or are not connected."""
    return Driver
