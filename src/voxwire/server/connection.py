"""The async shell around one server engine: clients, audio, tasks and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .channel import Channel, Socket
from .engine import (
    CancelResponse,
    CancelTimer,
    ClearPlayout,
    Close,
    EngineAction,
    Hear,
    Play,
    ResetHearing,
    Send,
    ServerEngine,
    SetTimer,
    StartResponse,
)
from .hearing import Ear
from .limits import Limits
from .mcp import AllowList, McpRunner
from .media import MediaPlane
from .pipeline import ResponseRun, Shell
from .recognising import Recognitions
from .speech.base import Responder, Synthesizer, Transcriber, VoiceActivityDetector

__all__ = ["Connection", "Socket", "Speech"]

logger = logging.getLogger("voxwire.server")

LATE_FRAMES = 500
"""Audio of a call that may wait while a long `input_audio_buffer.append` is heard, in pieces of 20 ms."""

_GONE = Close(1000, "The client has left.")
_TOO_MANY = Close(1013, "As many clients are attached to this call as it may have.")
_TOO_SLOW = Close(1013, "This client takes events too slowly.")


@dataclass(frozen=True, slots=True)
class Speech:
    """What one session hears, thinks and speaks with."""

    detector: VoiceActivityDetector
    transcriber: Transcriber
    responder: Responder
    synthesizer: Synthesizer


class Connection:
    """One session and its clients.

    It lives as long as its first client. Others may come and go (`attach`): all are told
    everything, all may send events, and an error goes to the one whose event it answers.

    Args:
        socket: the first client; None for a call that has only audio, which lives until `end`.
        pace: of sent audio; 1.0 is real time, None as fast as it is made. A media plane has its own.
        mcp: the MCP servers that it may reach for its clients.
        media: the audio of a call; the engine was made with its `played_ms`.
    """

    def __init__(
        self,
        engine: ServerEngine,
        socket: Socket | None,
        speech: Speech,
        limits: Limits,
        pace: float | None = None,
        *,
        mcp: AllowList | None = None,
        media: MediaPlane | None = None,
    ) -> None:
        self._engine = engine
        self._speech = speech
        self._limits = limits
        self._pace = pace if media is None else None
        self._media = media
        self._ear = Ear(speech.detector)
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._first = Channel(socket, limits) if socket is not None else None
        self._channels = [self._first] if self._first is not None else []
        self._reading = asyncio.Lock()
        self._late: deque[bytes] = deque(maxlen=LATE_FRAMES)
        self._ending: Close | None = None
        self._over = asyncio.Event()
        helpers: dict[str, Any] = {
            "perform": self._perform,
            "spawn": self._spawn,
            "cancel": self._cancel_task,
        }
        self._mcp = McpRunner(engine, mcp or AllowList(()), limits, **helpers)
        self._recognitions = Recognitions(engine, speech.transcriber, limits.transcription_seconds, **helpers)
        self._handlers: dict[type[EngineAction], Callable[[Any], None]] = {
            Send: self._send,
            Close: lambda action: self.end(action.code, action.reason),
            ResetHearing: lambda _: self._ear.reset(),
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            StartResponse: self._start_response,
            CancelResponse: self._cancel_response,
            Play: self._play,
            ClearPlayout: self._clear_playout,
            **self._recognitions.handlers(),
            **self._mcp.handlers(),
        }

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the session until it ends; nothing of it is left running."""
        self._perform(self._engine.start(self._loop.time()))
        if self._media is not None:
            self._media.listen(self._heard)
        try:
            if self._first is not None:
                await self._serve(self._first)
            else:
                await self._over.wait()
        finally:
            await self._stop()

    async def attach(self, socket: Socket) -> None:
        """Serve another client of the session until it leaves, which does not end the session.

        When the session ends, it is closed with the reason. One that comes while others take the last places is
        closed as well, with 1013: each was let in (`Call.check_attach`) before the handshake, which takes time.
        """
        if self.attached >= self._limits.sidebands:
            await socket.close(_TOO_MANY.code, _TOO_MANY.reason)
            return
        channel = Channel(socket, self._limits)
        for action in self._engine.greet():
            if isinstance(action, Send):
                channel.put(_text(action))
        self._channels.append(channel)
        if self._ending is not None:
            channel.put(self._ending)
        await self._serve(channel)

    @property
    def attached(self) -> int:
        """How many clients it has besides the first."""
        return sum(channel is not self._first for channel in self._channels)

    def end(self, code: int, reason: str) -> None:
        """End the session with a WebSocket close code, once what was sent is out; idempotent."""
        self._finish(Close(code, reason))

    def press(self, key: str) -> None:
        """The caller pressed a key of the telephone."""
        if not self._over.is_set():
            self._perform(self._engine.press(key, time.time()))

    def shut_down(self, reason: str) -> None:
        """End the session with close code 1001."""
        self.end(1001, reason)

    def _disconnect(self, code: int | None, reason: str) -> None:
        if code is not None:
            self.end(code, reason)
            return
        for channel in self._channels:
            channel.put(None)
        self._over.set()

    def _finish(self, close: Close) -> None:
        self._ending = self._ending or close
        for channel in self._channels:
            channel.put(self._ending)
        self._over.set()

    async def _stop(self) -> None:
        self._finish(_GONE)
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        self._recognitions.cancel_all()
        await _cancelled(self._tasks.values())
        await self._mcp.close()
        self._ear.close()

    async def _serve(self, channel: Channel) -> None:
        reader = asyncio.create_task(self._read(channel), name="voxwire-server-read")
        writer = asyncio.create_task(channel.write(), name="voxwire-server-write")
        try:
            done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    logger.error("a session failed", exc_info=error)
                    with contextlib.suppress(Exception):
                        await channel.socket.close(1011, "Internal error")
        finally:
            self._channels.remove(channel)
            await _cancelled([reader, writer])

    # -- in ---------------------------------------------------------------------------------

    async def _read(self, channel: Channel) -> None:
        while (message := await channel.socket.receive()) is not None:
            async with self._reading:  # the audio of two clients is not mixed up
                if self._over.is_set():
                    continue
                await self._take(channel, message)
                while self._late:
                    self._listen(self._late.popleft())
            await channel.wait_for_room()

    async def _take(self, channel: Channel, message: str | bytes) -> None:
        # The actions of one event are in order also where listening pauses between slices.
        for action in self._engine.receive_text(message, self._loop.time()):
            if isinstance(action, Hear):
                await self._ear.ready()
                for number, probabilities in enumerate(self._ear.slices(action.pcm, action.format)):
                    if number:
                        await asyncio.sleep(0)
                    self._detected(probabilities)
            elif isinstance(action, Send) and action.event["type"] == "error":
                channel.put(_text(action))
            else:
                self._do(action)

    def _detected(self, probabilities: Sequence[float]) -> None:
        if probabilities:
            self._perform(self._engine.voice(probabilities, self._ear.frame_ms, self._loop.time()))

    def _heard(self, pcm: bytes) -> None:
        """Audio of the call."""
        if self._over.is_set():
            return
        if self._reading.locked():
            self._late.append(pcm)
            return
        try:
            self._listen(pcm)
        except Exception:
            logger.exception("a session failed")
            self.end(1011, "Internal error")

    def _listen(self, pcm: bytes) -> None:
        for action in self._engine.hear(pcm, self._loop.time()):
            if isinstance(action, Hear):
                for probabilities in self._ear.slices(action.pcm, action.format):
                    self._detected(probabilities)
            else:
                self._do(action)

    # -- out --------------------------------------------------------------------------------

    async def _wait_for_room(self, response_id: str) -> None:
        """Wait while the client is slow, or the audio is far ahead of what was played."""
        if self._first is not None:
            await self._first.wait_for_room()
        while True:
            beyond_ms = self._engine.ahead_ms(response_id) - self._limits.playout_ms
            if beyond_ms <= 0:
                return
            await asyncio.sleep(min(max(beyond_ms / 1000, 0.02), 1))

    def _send(self, action: Send) -> None:
        text = _text(action)
        for channel in self._channels:
            if channel is not self._first and channel.full:
                channel.give_up(_TOO_SLOW)  # nobody waits for a client that came to look on
            else:
                channel.put(text)

    def _play(self, action: Play) -> None:
        if self._media is not None:
            self._media.write(action.pcm)

    def _clear_playout(self, _: ClearPlayout) -> None:
        if self._media is not None:
            self._media.clear()

    # -- actions ----------------------------------------------------------------------------

    def _perform(self, actions: Sequence[EngineAction]) -> None:
        for action in actions:
            self._do(action)

    def _do(self, action: EngineAction) -> None:
        self._handlers[type(action)](action)

    def _set_timer(self, action: SetTimer) -> None:
        self._drop_timer(action.name)
        self._timers[action.name] = self._loop.call_at(action.at, self._fire, action.name)

    def _cancel_timer(self, action: CancelTimer) -> None:
        self._drop_timer(action.name)

    def _drop_timer(self, name: str) -> None:
        handle = self._timers.pop(name, None)
        if handle is not None:
            handle.cancel()

    def _fire(self, name: str) -> None:
        self._timers.pop(name, None)
        self._perform(self._engine.timer(name, self._loop.time()))

    # -- tasks ------------------------------------------------------------------------------

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=f"voxwire-server-{name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    def _cancel_task(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()

    def _start_response(self, plan: StartResponse) -> None:
        run = ResponseRun(
            plan,
            self._engine,
            self._speech.responder,
            self._speech.synthesizer,
            Shell(self._perform, lambda: self._wait_for_room(plan.response_id), self._disconnect),
            synthesis_seconds=self._limits.synthesis_seconds,
            pace=self._pace,
        )
        self._spawn(plan.response_id, run.run())

    def _cancel_response(self, action: CancelResponse) -> None:
        self._cancel_task(action.response_id)


def _text(action: Send) -> str:
    return json.dumps(action.event, separators=(",", ":"))


async def _cancelled(tasks: Iterable[asyncio.Task[None]]) -> None:
    waiting = list(tasks)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
