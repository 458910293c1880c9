"""An engine with a clock and identifiers of its own, and no socket."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from voxwire.server.engine import EngineAction, Send, ServerEngine, SpokenPiece, SpokenWord, StartResponse

FRAME_MS = 20


class Bench:
    """Drives an engine and keeps what it answered."""

    def __init__(self, **options: Any) -> None:
        self.counter = itertools.count(1)
        self.now = 100.0
        self.engine = ServerEngine(
            ids=lambda prefix: f"{prefix}{next(self.counter)}", now=self.now, unix_now=1000.0, **options
        )
        self.actions: list[EngineAction] = []
        self.take(self.engine.start(self.now))

    def take(self, actions: list[EngineAction]) -> list[dict[str, Any]]:
        self.actions += actions
        return [action.event for action in actions if isinstance(action, Send)]

    def send(self, type: str, **fields: Any) -> list[dict[str, Any]]:
        return self.take(self.engine.receive({"type": type, **fields}, self.now))

    def update(self, **session: Any) -> list[dict[str, Any]]:
        return self.send("session.update", session={"type": "realtime", **session})

    def detect(self, **settings: Any) -> list[dict[str, Any]]:
        settings.setdefault("type", "server_vad")
        return self.update(audio={"input": {"turn_detection": settings}})

    def append(self, ms: int) -> list[dict[str, Any]]:
        return self.send("input_audio_buffer.append", audio=base64.b64encode(bytes(ms * 48)).decode())

    def voice(self, probability: float, ms: int) -> list[dict[str, Any]]:
        return self.take(self.engine.voice([probability] * (ms // FRAME_MS), FRAME_MS, self.now))

    def hear(self, probability: float, ms: int) -> list[dict[str, Any]]:
        return self.append(ms) + self.voice(probability, ms)

    def utter(self, ms: int = 800, text: str | None = None) -> list[dict[str, Any]]:
        events = self.hear(1.0, ms) + self.hear(0.0, 500)
        if text is not None:
            item_id = next(e["item_id"] for e in events if e["type"] == "input_audio_buffer.committed")
            events += self.take(self.engine.transcribed(item_id, text, ms / 1000, self.now))
        return events

    def user(self, text: str, **fields: Any) -> list[dict[str, Any]]:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        return self.send("conversation.item.create", item={**item, **fields})

    def of(self, kind: type) -> list[Any]:
        return [action for action in self.actions if isinstance(action, kind)]

    @staticmethod
    def types(events: list[dict[str, Any]]) -> list[str]:
        return [event["type"] for event in events]

    @staticmethod
    def error(events: list[dict[str, Any]]) -> dict[str, Any]:
        """The one error among these events."""
        errors = [event["error"] for event in events if event["type"] == "error"]
        assert len(errors) == 1, [event["type"] for event in events]
        error: dict[str, Any] = errors[0]
        return error

    @property
    def plan(self) -> StartResponse:
        """The response that was started last."""
        return self.of(StartResponse)[-1]

    def say(self, text: str = "Hello there.", ms_per_word: int = 100) -> list[dict[str, Any]]:
        """Speak a sentence of the last response, one piece per word."""
        events: list[dict[str, Any]] = []
        end, at = 0, 0
        for number, word in enumerate(text.split(" ")):
            piece = word if number == 0 else f" {word}"
            end, at = end + len(piece), at + ms_per_word
            spoken = SpokenPiece(piece, bytes(ms_per_word * 48), (SpokenWord(end, at),))
            events += self.take(self.engine.spoken(self.plan.response_id, spoken, self.now))
        return events

    def finish(self) -> list[dict[str, Any]]:
        return self.take(self.engine.finished(self.plan.response_id, self.now))


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(scope="session")
def make_bench() -> type[Bench]:
    return Bench
