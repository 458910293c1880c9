"""Transcription alone: speech in, text out, nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ..audio.base import AudioSource
from ..errors import ProviderError, UserError
from ..listeners import EventStream
from ..protocol.config import Transcription, TurnDetection, coerce_config, merge_wire
from ..protocol.formats import AudioFormat, parse_format
from ..protocol.transport_events import (
    ErrorEvent,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTranscriptDelta,
)
from ..protocol.unset import UNSET, UnsetType
from ..transports.base import ApiKey, RealtimeTransportLayer
from ..transports.endpoint import DEFAULT_URL
from ..transports.websocket import OpenAIRealtimeWebSocket

__all__ = ["Transcript", "TranscriptionSession"]

COMPLETED: Final = "conversation.item.input_audio_transcription.completed"
FAILED: Final = "conversation.item.input_audio_transcription.failed"
COMMITTED: Final = "input_audio_buffer.committed"
NAMES: Final = ("user_speech_started", "user_speech_stopped", "user_transcript_delta", COMPLETED, FAILED)
MAX_OPEN: Final = 1024
"""Utterances whose words are awaited; beyond that the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was understood of one utterance.

    Attributes:
        final: False while words are still coming.
        begin_ms, end_ms: where it lies in the audio that was sent, ms; None where the service did not say.
        error: why there is no text, if so.
    """

    item_id: str
    text: str
    final: bool = True
    begin_ms: int | None = None
    end_ms: int | None = None
    error: ProviderError | None = None


class TranscriptionSession:
    """A session of the type `transcription`: an async iterator of transcripts.

        async with TranscriptionSession(api_key=key, audio_input=Microphone()) as session:
            async for transcript in session:
                print(transcript.text)

    Source: Realtime API, "Realtime transcription" (`?intent=transcription`, session type `transcription`).

    Args:
        transcription: the model, or its settings (`Transcription`, or a dict with the wire's names).
        turn_detection: where utterances end; None leaves that to `commit()`, UNSET to the service.
        input_format: of the audio sent.
        config: more settings of the session, with the wire's names.
        api_key, url: as for `OpenAIRealtimeWebSocket`.
        audio_input: where the audio comes from; without it, call `send_audio`.
        transport: instead of a WebSocket of its own; `audio_input` is its matter then.
        partial: also tell what is understood so far, as transcripts that are not final.

    Raises:
        UserError, ConfigError: if a value cannot be used.
    """

    def __init__(
        self,
        *,
        transcription: str | Transcription | Mapping[str, Any] = "gpt-4o-transcribe",
        turn_detection: TurnDetection | Mapping[str, Any] | UnsetType | None = UNSET,
        input_format: str | AudioFormat | Mapping[str, Any] = "pcm16",
        config: Mapping[str, Any] | None = None,
        api_key: ApiKey | None = None,
        url: str | None = None,
        audio_input: AudioSource | None = None,
        transport: RealtimeTransportLayer | None = None,
        partial: bool = False,
    ) -> None:
        if transport is not None and audio_input is not None:
            raise UserError("give audio_input to the transport, which reads it")
        words = {"model": transcription} if isinstance(transcription, str) else transcription
        heard: dict[str, Any] = {"format": parse_format(input_format).to_wire(), "transcription": words}
        if turn_detection is not UNSET:
            heard["turn_detection"] = turn_detection
        wire = coerce_config({"audio": {"input": {k: _wire(v) for k, v in heard.items()}}}).to_wire()
        self._config = {**merge_wire(wire, config or {}), "type": "transcription"}
        self._api_key = api_key
        self._url = _transcribing(url or getattr(transport, "url", None) or DEFAULT_URL)
        self._transport = transport or OpenAIRealtimeWebSocket(audio_input=audio_input)
        self._partial = partial
        self._stream: EventStream | None = None
        self._open: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._refused: set[str] = set()
        self._commits = 0

    @property
    def transport(self) -> RealtimeTransportLayer:
        """The transport, for everything else; its `error` events tell of what went wrong."""
        return self._transport

    async def connect(self) -> None:
        """Connect; may be called again after the connection has ended.

        Raises:
            Whatever the transport's `connect` raises.
        """
        self._open.clear()
        self._forget()
        for name, listener in self._listeners():
            self._transport.on(name, listener)
        stream = self._stream = self._transport.events(*NAMES)
        try:
            await self._transport.connect(
                api_key=self._api_key, url=self._url, initial_session_config=self._config
            )
        except BaseException:
            stream.close()
            self._forget()
            raise

    async def close(self) -> None:
        """End the connection; the iteration ends with what has arrived. Idempotent."""
        await self._transport.close()
        self._forget()
        self._changed.set()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def send_audio(self, pcm: bytes) -> None:
        """Append audio in the input format."""
        await self._transport.send_audio(pcm)

    async def commit(self) -> None:
        """End the utterance here."""
        await self._transport.send_event({"type": "input_audio_buffer.commit"})

    async def finish(self, timeout: float = 30.0) -> None:
        """No more audio will come: end the last utterance, wait for the words of all, and close.

        Raises:
            ProviderError: the words did not come within `timeout` seconds (code `transcription_timeout`).
        """
        commits = self._commits
        event_id = f"finish_{commits}"
        await self._transport.send_event({"type": "input_audio_buffer.commit", "event_id": event_id})
        try:
            async with asyncio.timeout(timeout):
                # Refused where there is nothing left to commit.
                await self._until(lambda: self._commits > commits or event_id in self._refused)
                await self._until(lambda: not self._open)
        except TimeoutError:
            words = f"{len(self._open)} utterances have no transcript after {timeout:g} s"
            raise ProviderError(words, code="transcription_timeout", retryable=True) from None
        finally:
            await self.close()

    def __aiter__(self) -> AsyncIterator[Transcript]:
        """Transcripts, in the order in which they are complete, until the connection ends."""
        if self._stream is None:
            raise UserError("the transcription session is not connected; use 'async with', or call connect()")
        return self._transcripts(self._stream)

    async def _transcripts(self, stream: EventStream) -> AsyncIterator[Transcript]:
        pending: dict[str, Transcript] = {}
        async for event in stream:
            item_id = cast("str", event.item_id)
            known = pending.get(item_id) or Transcript(item_id, "", final=False)
            known = _with(known, event)
            if known.final:
                pending.pop(item_id, None)
                yield known
                continue
            pending[item_id] = known
            while len(pending) > MAX_OPEN:
                del pending[next(iter(pending))]
            if self._partial and isinstance(event, UserTranscriptDelta):
                yield known

    # -- what is under way ----------------------------------------------------------------------------

    def _listeners(self) -> list[tuple[str, Any]]:
        return [
            (COMMITTED, self._committed),
            (COMPLETED, self._settled),
            (FAILED, self._settled),
            ("error", self._error),
            ("disconnected", self._disconnected),
        ]

    def _forget(self) -> None:
        for name, listener in self._listeners():
            self._transport.off(name, listener)

    def _committed(self, event: Any) -> None:
        self._commits += 1
        self._open[event.item_id] = None
        while len(self._open) > MAX_OPEN:
            del self._open[next(iter(self._open))]
        self._changed.set()

    def _settled(self, event: Any) -> None:
        self._open.pop(event.item_id, None)
        self._changed.set()

    def _error(self, event: ErrorEvent) -> None:
        event_id = getattr(event.error, "event_id", None)
        if isinstance(event_id, str) and event_id.startswith("finish_"):
            self._refused.add(event_id)
            self._changed.set()

    def _disconnected(self, _event: object) -> None:
        self._open.clear()
        self._changed.set()

    async def _until(self, condition: Any) -> None:
        while not condition():
            if self._transport.status != "connected":
                return
            self._changed.clear()
            await self._changed.wait()


def _with(known: Transcript, event: Any) -> Transcript:
    """What is known of an utterance, with one event more."""
    begin, end = known.begin_ms, known.end_ms
    match event:
        case UserSpeechStarted(audio_start_ms=begin):
            return Transcript(known.item_id, known.text, False, begin, end)
        case UserSpeechStopped(audio_end_ms=end):
            return Transcript(known.item_id, known.text, False, begin, end)
        case UserTranscriptDelta(delta=delta):
            return Transcript(known.item_id, known.text + delta, False, begin, end)
        case _ if event.type == FAILED:
            problem = cast("Mapping[str, Any]", event.error)
            words = str(problem.get("message") or "the utterance was not transcribed")
            error = ProviderError(words, code=problem.get("code"), raw=problem)
            return Transcript(known.item_id, "", True, begin, end, error)
        case _:
            return Transcript(known.item_id, str(event.transcript or ""), True, begin, end)


def _wire(value: Any) -> Any:
    return value.to_wire() if hasattr(value, "to_wire") else value


def _transcribing(url: str) -> str:
    parts = urlsplit(url)
    pairs = [
        pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in ("model", "intent")
    ]
    return urlunsplit((*parts[:3], urlencode([*pairs, ("intent", "transcription")]), ""))
