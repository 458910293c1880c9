"""One response being made: what the responder says goes to the synthesiser and to the engine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

from .engine import EngineAction, ServerEngine, SpokenPiece, StartResponse
from .speaking import SentenceCutter, SpokenMessage
from .speech.base import (
    Delay,
    Disconnect,
    Failure,
    Incomplete,
    Responder,
    ResponsePart,
    Synthesizer,
    TextPart,
    ToolCallPart,
)

__all__ = ["ResponseRun", "Shell"]

logger = logging.getLogger("voxwire.server")

LEAD_SECONDS = 0.3
"""How far paced audio runs ahead of the clock, so that a listener never runs dry."""


@dataclass(frozen=True, slots=True)
class Shell:
    """What a response needs of its connection."""

    perform: Callable[[Sequence[EngineAction]], None]
    wait_for_room: Callable[[], Awaitable[None]]
    disconnect: Callable[[int | None, str], None]


class _Over(Exception):
    """The response has ended before its reply was complete."""


class ResponseRun:
    """Makes one response.

    Args:
        synthesis_seconds: time for one piece of audio.
        pace: of the audio; 1.0 is real time, None as fast as it is made.
    """

    def __init__(
        self,
        plan: StartResponse,
        engine: ServerEngine,
        responder: Responder,
        synthesizer: Synthesizer,
        shell: Shell,
        *,
        synthesis_seconds: float,
        pace: float | None,
    ) -> None:
        self._plan = plan
        self._id = plan.response_id
        self._engine = engine
        self._responder = responder
        self._synthesizer = synthesizer
        self._shell = shell
        self._synthesis_seconds = synthesis_seconds
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._audio = plan.request.modalities == ("audio",)
        self._cutter = SentenceCutter()
        self._message: SpokenMessage | None = None
        self._pace_start: float | None = None
        self._sent_ms = 0.0

    async def run(self) -> None:
        """Make it. A responder or synthesiser that raises makes it `failed`, nothing else."""
        try:
            async with contextlib.aclosing(_closable(self._responder.respond(self._plan.request))) as parts:
                async for part in parts:
                    await self._take(part)
            await self._end_message()
        except _Over:
            return
        except Exception as exc:
            logger.exception("a response failed")
            message = f"The server had an error while making the response: {str(exc) or type(exc).__name__}"
            self._perform(self._engine.failed(self._id, message, "server_error", self._loop.time()))
            return
        self._perform(self._engine.finished(self._id, self._loop.time()))

    def _perform(self, actions: Sequence[EngineAction]) -> None:
        self._shell.perform(actions)

    async def _take(self, part: ResponsePart) -> None:
        match part:
            case TextPart(text):
                await self._say(text)
            case ToolCallPart(name, arguments):
                await self._end_message()
                self._perform(self._engine.called(self._id, name, arguments, self._loop.time()))
            case Delay(seconds):
                await self._flush()
                await asyncio.sleep(seconds)
            case Incomplete(reason):
                await self._end_message()
                self._perform(self._engine.incomplete(self._id, reason, self._loop.time()))
                raise _Over
            case Failure(message, code):
                await self._end_message()
                self._perform(self._engine.failed(self._id, message, code, self._loop.time()))
                raise _Over
            case Disconnect(code, reason):
                await self._flush()
                self._shell.disconnect(code, reason)
                raise _Over

    async def _say(self, text: str) -> None:
        if self._audio:
            for sentence in self._cutter.feed(text):
                await self._speak(sentence)
        else:
            self._perform(self._engine.wrote(self._id, text, self._loop.time()))
            await self._shell.wait_for_room()

    async def _flush(self) -> None:
        for sentence in self._cutter.finish():
            await self._speak(sentence)

    async def _end_message(self) -> None:
        await self._flush()
        message, self._message = self._message, None
        last = message.finish() if message is not None else None
        if last is not None:
            await self._send(last)

    async def _speak(self, sentence: str) -> None:
        if self._message is None:
            self._message = SpokenMessage(self._synthesizer, self._plan, self._synthesis_seconds)
            sentence = sentence.lstrip()
        async with contextlib.aclosing(self._message.speak(sentence)) as pieces:
            async for piece in pieces:
                await self._send(piece)

    async def _send(self, piece: SpokenPiece) -> None:
        await self._keep_pace(piece)
        self._perform(self._engine.spoken(self._id, piece, self._loop.time()))
        await self._shell.wait_for_room()
        # A synthesiser that never waits must not keep the loop from everyone else.
        await asyncio.sleep(0)

    async def _keep_pace(self, piece: SpokenPiece) -> None:
        if self._pace is None:
            return
        now = self._loop.time()
        if self._pace_start is None:
            self._pace_start = now
        due = self._pace_start + self._sent_ms / 1000 / self._pace - LEAD_SECONDS
        if due > now:
            await asyncio.sleep(due - now)
        self._sent_ms += self._plan.format.duration_ms(len(piece.pcm))


async def _closable(parts: AsyncIterator[ResponsePart]) -> AsyncGenerator[ResponsePart, None]:
    """The parts of any iterator, closed with this one where it can be."""
    try:
        async for part in parts:
            yield part
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()
