"""The four protocols behind the embedded server's voice, on one page.

All audio in here is mono 16 bit little-endian PCM. The server resamples between these
rates and whatever format the session uses.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

__all__ = [
    "Delay",
    "Disconnect",
    "Failure",
    "Incomplete",
    "Responder",
    "ResponsePart",
    "ResponseRequest",
    "Speech",
    "SpeechHints",
    "SynthesisRequest",
    "Synthesizer",
    "TextPart",
    "ToolCallPart",
    "Transcriber",
    "Transcript",
    "Transcription",
    "VoiceActivityDetector",
    "Word",
    "release",
]

INPUT_RATE = 16_000
"""Hz of the audio that detectors and transcribers get."""


class VoiceActivityDetector(Protocol):
    """Says how likely each frame is speech. One per stream, not shared.

    One that holds something costly may have a method `close()`, which is called when its stream is over. One that
    is not complete at once may have a coroutine method `ready()`; audio that a client sends waits for it, and what
    is said in a call is given to `probabilities`, which must keep it.
    """

    frame_ms: int
    """Length of a frame, ms."""

    def probabilities(self, pcm: bytes, /) -> list[float]:
        """Take 16 kHz audio of any length; return 0..1 for each frame it completed."""
        ...

    def reset(self) -> None:
        """Forget the stream so far."""


def release(detector: VoiceActivityDetector) -> None:
    """The stream of a detector is over."""
    close = getattr(detector, "close", None)
    if close is not None:
        close()


@dataclass(frozen=True, slots=True)
class SpeechHints:
    """What the speaker is likely to say.

    Attributes:
        language: ISO-639-1 code, or None.
        phrases: likely phrases: from the transcription prompt and keywords, the tools'
            names and descriptions and their enum values.
        prompt: the transcription prompt, untouched.
        narrowband: the audio comes from a telephone line: nothing in it is above 4 kHz.
    """

    language: str | None = None
    phrases: tuple[str, ...] = ()
    prompt: str | None = None
    narrowband: bool = False


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood. `seconds` is the length of the audio."""

    text: str
    seconds: float = 0.0


class Transcription(Protocol):
    """One utterance being recognised."""

    def feed(self, pcm: bytes, /) -> None:
        """Take more 16 kHz audio. Never blocks."""

    async def finish(self) -> Transcript:
        """The utterance is over: what was it?

        Raises:
            Exception: recognition failed; the server reports it as
                `conversation.item.input_audio_transcription.failed`.
        """
        ...

    def cancel(self) -> None:
        """Nobody wants the text any more; idempotent."""


class Transcriber(Protocol):
    """Speech to text. One for the whole server."""

    def start(self, hints: SpeechHints, on_partial: Callable[[str], None], /) -> Transcription:
        """Begin an utterance. `on_partial` gets the whole text so far, on the event loop."""
        ...

    async def close(self) -> None:
        """Release processes and models; idempotent."""


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """What a response is to be made from; the values are the wire's.

    Attributes:
        items: the conversation, oldest first, as wire items; truncated ones hold only what was heard.
        tools: the tools in force. tool_choice: `auto`, `none`, `required` or an object.
        modalities: `["audio"]` or `["text"]`.
        response_number: responses made in this session before this one.
        options: the other fields of session and response (temperature, max_output_tokens, metadata, ...).
    """

    instructions: str
    items: tuple[Mapping[str, Any], ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: Any = "auto"
    modalities: tuple[str, ...] = ("audio",)
    model: str = ""
    response_number: int = 0
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class TextPart:
    """More words of the reply, to be spoken or sent as text. Consecutive parts make one message."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A call of a declared tool. `arguments` is JSON text, sent as it is."""

    name: str
    arguments: str = "{}"


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait this many seconds before going on (scripts)."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Incomplete:
    """End the response as `incomplete` for this reason: `max_output_tokens` or `content_filter`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Failure:
    """End the response as `failed` with this error."""

    message: str
    code: str = "server_error"


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection with this WebSocket code; None drops it without goodbye (scripts)."""

    code: int | None = 1011
    reason: str = ""


ResponsePart: TypeAlias = TextPart | ToolCallPart | Delay | Incomplete | Failure | Disconnect


class Responder(Protocol):
    """Decides what to say. One for the whole server; keeps no state of a session."""

    def respond(self, request: ResponseRequest, /) -> AsyncIterator[ResponsePart]:
        """The reply, piece by piece. Cancelled (the iterator is closed) on interruption."""
        ...

    async def close(self) -> None:
        """Release connections; idempotent."""


@dataclass(frozen=True, slots=True)
class Word:
    """Where one word of the text is in the audio.

    Attributes:
        start, end: character offsets in the text given to `speak`.
        start_ms, end_ms: its place in the audio of that call.
    """

    start: int
    end: int
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Speech:
    """A piece of spoken audio and the words that end in it."""

    pcm: bytes
    words: tuple[Word, ...] = ()


@dataclass(frozen=True, slots=True)
class SynthesisRequest:
    """Text to speak. `speed` is 0.25 to 1.5, 1 is normal; `voice` is the session's voice name."""

    text: str
    voice: str | None = None
    speed: float = 1.0
    language: str | None = None


class Synthesizer(Protocol):
    """Text to speech. One for the whole server."""

    sample_rate: int
    """Hz of the audio that `speak` yields."""

    def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        """The audio, in pieces, as soon as they are there. Cancelled on interruption."""
        ...

    async def close(self) -> None:
        """Release processes; idempotent."""
