"""Small deterministic speech components, and a client on a real socket."""

from __future__ import annotations

import array
import asyncio
import base64
import contextlib
import json
import types
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import websockets

from voxwire.server import EmbeddedServer
from voxwire.server.speech.base import (
    ResponsePart,
    ResponseRequest,
    Speech,
    SpeechHints,
    SynthesisRequest,
    TextPart,
    Transcript,
    Word,
)

WORD_MS = 100


class LoudnessDetector:
    """Speech is whatever is louder than 1000."""

    frame_ms = 20

    def __init__(self) -> None:
        self.rest = b""
        self.resets = 0

    def probabilities(self, pcm: bytes, /) -> list[float]:
        data = self.rest + pcm
        size = 640
        whole = len(data) - len(data) % size
        self.rest = data[whole:]
        frames = [array.array("h", data[at : at + size]) for at in range(0, whole, size)]
        return [1.0 if max(map(abs, frame)) > 1000 else 0.0 for frame in frames]

    def reset(self) -> None:
        self.rest = b""
        self.resets += 1


class SetTranscription:
    def __init__(self, owner: SetTranscriber, on_partial: Callable[[str], None]) -> None:
        self.owner = owner
        self.on_partial = on_partial
        self.size = 0
        self.cancelled = False

    def feed(self, pcm: bytes, /) -> None:
        self.size += len(pcm)

    async def finish(self) -> Transcript:
        if self.owner.gate is not None:
            await self.owner.gate.wait()
        text = self.owner.texts.pop(0) if self.owner.texts else "something"
        if isinstance(text, Exception):
            raise text
        words = text.split()
        for count in range(1, len(words) + 1):
            self.on_partial(" ".join(words[:count]))
        return Transcript(text, self.size / 32_000)

    def cancel(self) -> None:
        self.cancelled = True


class SetTranscriber:
    """Recognises the texts it was given, in order."""

    def __init__(self, *texts: str | Exception) -> None:
        self.texts = list(texts)
        self.gate: asyncio.Event | None = None
        self.started: list[SetTranscription] = []
        self.hints: list[SpeechHints] = []
        self.closed = False

    def start(self, hints: SpeechHints, on_partial: Callable[[str], None], /) -> SetTranscription:
        self.hints.append(hints)
        transcription = SetTranscription(self, on_partial)
        self.started.append(transcription)
        return transcription

    async def close(self) -> None:
        self.closed = True


class CannedResponder:
    """Replies with what `replies` says, in order; an item may be a part, a text or an exception."""

    def __init__(self, *replies: list[Any]) -> None:
        self.replies = list(replies)
        self.requests: list[ResponseRequest] = []
        self.cancelled = 0
        self.gate: asyncio.Event | None = None
        self.closed = False

    async def respond(self, request: ResponseRequest, /) -> AsyncIterator[ResponsePart]:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else ["Very well."]
        try:
            for part in reply:
                if isinstance(part, asyncio.Event):
                    await part.wait()
                elif isinstance(part, Exception):
                    raise part
                else:
                    yield TextPart(part) if isinstance(part, str) else part
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def close(self) -> None:
        self.closed = True


class BeepSynthesizer:
    """100 ms per word, at 16 kHz; `words=False` keeps quiet about where they are."""

    sample_rate = 16_000

    def __init__(self, *, words: bool = True, gate: asyncio.Event | None = None) -> None:
        self.words = words
        self.gate = gate
        self.requests: list[SynthesisRequest] = []
        self.closed = False

    async def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        self.requests.append(request)
        at = 0
        start_ms = 0.0
        for text in request.text.split():
            start = request.text.index(text, at)
            at = start + len(text)
            word = Word(start, at, start_ms, start_ms + WORD_MS)
            start_ms += WORD_MS
            yield Speech(b"\x10\x20" * (16 * WORD_MS), (word,) if self.words else ())
            if self.gate is not None:
                await self.gate.wait()

    async def close(self) -> None:
        self.closed = True


class Client:
    """A wire client that keeps everything it was sent."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket
        self.events: list[dict[str, Any]] = []

    async def send(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            event: dict[str, Any] = json.loads(await self.socket.recv())
        self.events.append(event)
        return event

    async def until(self, type: str) -> dict[str, Any]:
        while True:
            event = await self.next()
            if event["type"] == type:
                return event

    async def update(self, **session: Any) -> dict[str, Any]:
        await self.send("session.update", session={"type": "realtime", **session})
        return await self.until("session.updated")

    async def say(self, text: str, **response: Any) -> None:
        part = {"type": "input_text", "text": text}
        await self.send(
            "conversation.item.create", item={"type": "message", "role": "user", "content": [part]}
        )
        await self.send("response.create", response=response)

    async def append(self, pcm: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    def types(self) -> list[str]:
        """Types in order, repeated deltas once."""
        names: list[str] = []
        for event in self.events:
            if not names or names[-1] != event["type"] or not event["type"].endswith(".delta"):
                names.append(event["type"])
        return names

    def types_of_all(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == type]


def loud(ms: int, rate: int = 24_000) -> bytes:
    wave = b"\x00\x30" * (rate // 1000) + b"\x00\xd0" * (rate // 1000)  # 500 Hz: survives resampling
    return wave * (ms // 2)


def quiet(ms: int, rate: int = 24_000) -> bytes:
    return bytes(rate * ms // 1000 * 2)


@contextlib.asynccontextmanager
async def connect(
    server: EmbeddedServer, query: str = "model=gpt-realtime", **options: Any
) -> AsyncIterator[Client]:
    options.setdefault("additional_headers", {"Authorization": f"Bearer {server.api_key}"})
    async with websockets.connect(f"{server.url}?{query}", max_size=None, **options) as socket:
        yield Client(socket)


@pytest.fixture(scope="session")
def lab() -> types.SimpleNamespace:
    """The names of this file, for tests that make their own components."""
    return types.SimpleNamespace(**globals())


@pytest.fixture
def kit() -> dict[str, Any]:
    """Components for `EmbeddedServer(**kit)`."""
    return {
        "responder": CannedResponder(),
        "transcriber": SetTranscriber(),
        "synthesizer": BeepSynthesizer(),
        "vad": LoudnessDetector,
    }
