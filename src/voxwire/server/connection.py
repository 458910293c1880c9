"""The async shell around one server engine: socket, tasks and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .engine import (
    CancelResponse,
    CancelTimer,
    CancelTranscription,
    Close,
    EngineAction,
    FeedTranscription,
    FinishTranscription,
    Hear,
    ResetHearing,
    Send,
    ServerEngine,
    SetTimer,
    StartResponse,
    StartTranscription,
)
from .hearing import Ear, Recognition
from .limits import Limits
from .mcp import AllowList, McpRunner
from .pipeline import ResponseRun, Shell
from .speech.base import Responder, Synthesizer, Transcriber, VoiceActivityDetector

__all__ = ["Connection", "Socket", "Speech"]

logger = logging.getLogger("voxwire.server")


class Socket(Protocol):
    """A message-based connection to a client."""

    async def receive(self) -> str | bytes | None:
        """The next message; None when the client has gone."""
        ...

    async def send(self, message: str) -> None:
        """Send a message; waits while the client is slow."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close with a WebSocket code."""
        ...


@dataclass(frozen=True, slots=True)
class Speech:
    """What one session hears, thinks and speaks with."""

    detector: VoiceActivityDetector
    transcriber: Transcriber
    responder: Responder
    synthesizer: Synthesizer


class Connection:
    """One session on a socket.

    Args:
        pace: of sent audio; 1.0 is real time, None as fast as it is made.
        mcp: the MCP servers that it may reach for its client.
    """

    def __init__(
        self,
        engine: ServerEngine,
        socket: Socket,
        speech: Speech,
        limits: Limits,
        pace: float | None = None,
        *,
        mcp: AllowList | None = None,
    ) -> None:
        self._engine = engine
        self._socket = socket
        self._speech = speech
        self._limits = limits
        self._pace = pace
        self._ear = Ear(speech.detector)
        self._loop = asyncio.get_running_loop()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._recognitions: dict[str, Recognition] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._outgoing: deque[str | Close | None] = deque()  # None: drop the connection
        self._outgoing_bytes = 0
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._mcp = McpRunner(
            engine,
            mcp or AllowList(()),
            limits,
            perform=self._perform,
            spawn=self._spawn,
            cancel=self._cancel_task,
        )
        self._handlers: dict[type[EngineAction], Callable[[Any], None]] = {
            Send: self._send,
            Close: self._enqueue,
            ResetHearing: self._reset_hearing,
            SetTimer: self._set_timer,
            CancelTimer: self._cancel_timer,
            StartResponse: self._start_response,
            CancelResponse: self._cancel_response,
            StartTranscription: self._start_recognition,
            FeedTranscription: self._feed_recognition,
            FinishTranscription: self._finish_recognition,
            CancelTranscription: self._cancel_recognition,
            **self._mcp.handlers(),
        }

    # -- life -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serve the session until it ends; nothing of it is left running."""
        self._perform(self._engine.start(self._loop.time()))
        reader = asyncio.create_task(self._read(), name="voxwire-server-read")
        writer = asyncio.create_task(self._write(), name="voxwire-server-write")
        try:
            done, _ = await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if (error := task.exception()) is not None:
                    logger.error("a session failed", exc_info=error)
                    await self._close_quietly(1011, "Internal error")
        finally:
            await self._stop({reader, writer, *self._tasks.values()})

    def shut_down(self, reason: str) -> None:
        """End the session with close code 1001, once what was sent is out."""
        self._enqueue(Close(1001, reason))

    def _disconnect(self, code: int | None, reason: str) -> None:
        self._enqueue(None if code is None else Close(code, reason))

    async def _stop(self, tasks: set[asyncio.Task[None]]) -> None:
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        for recognition in self._recognitions.values():
            recognition.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._mcp.close()

    async def _close_quietly(self, code: int, reason: str) -> None:
        with contextlib.suppress(Exception):
            await self._socket.close(code, reason)

    # -- in ---------------------------------------------------------------------------------

    async def _read(self) -> None:
        while (message := await self._socket.receive()) is not None:
            # The actions of one event are in order also where listening pauses between slices.
            for action in self._engine.receive_text(message, self._loop.time()):
                if isinstance(action, Hear):
                    await self._hear(action)
                else:
                    self._do(action)
            await self.wait_for_room()

    async def _hear(self, action: Hear) -> None:
        for number, probabilities in enumerate(self._ear.slices(action.pcm, action.format)):
            if number:
                await asyncio.sleep(0)
            if probabilities:
                self._perform(self._engine.voice(probabilities, self._ear.frame_ms, self._loop.time()))

    # -- out --------------------------------------------------------------------------------

    async def wait_for_room(self) -> None:
        """Wait while too much is waiting for the client."""
        await self._room.wait()

    async def _write(self) -> None:
        while True:
            while not self._outgoing:
                self._wake.clear()
                await self._wake.wait()
            message = self._outgoing.popleft()
            if message is None:
                return
            try:
                async with asyncio.timeout(self._limits.send_seconds):
                    if isinstance(message, Close):
                        await self._socket.close(message.code, message.reason)
                        return
                    await self._socket.send(message)
            except TimeoutError:
                logger.info("a client took longer than %g s for a message", self._limits.send_seconds)
                return
            except (ConnectionError, EOFError):
                return
            self._outgoing_bytes -= len(message)
            if self._outgoing_bytes < self._limits.outgoing_bytes:
                self._room.set()

    def _enqueue(self, message: str | Close | None) -> None:
        self._outgoing.append(message)
        self._wake.set()
        if isinstance(message, str):
            self._outgoing_bytes += len(message)
            if self._outgoing_bytes >= self._limits.outgoing_bytes:
                self._room.clear()

    # -- actions ----------------------------------------------------------------------------

    def _perform(self, actions: Sequence[EngineAction]) -> None:
        for action in actions:
            self._do(action)

    def _do(self, action: EngineAction) -> None:
        self._handlers[type(action)](action)

    def _send(self, action: Send) -> None:
        self._enqueue(json.dumps(action.event, separators=(",", ":")))

    def _reset_hearing(self, _: ResetHearing) -> None:
        self._ear.reset()

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
            Shell(self._perform, self.wait_for_room, self._disconnect),
            synthesis_seconds=self._limits.synthesis_seconds,
            pace=self._pace,
        )
        self._spawn(plan.response_id, run.run())

    def _cancel_response(self, action: CancelResponse) -> None:
        self._cancel_task(action.response_id)

    def _start_recognition(self, action: StartTranscription) -> None:
        def on_partial(text: str) -> None:
            self._perform(self._engine.partial(action.item_id, text))

        self._recognitions[action.item_id] = Recognition(
            self._speech.transcriber, action.format, action.session, on_partial
        )

    def _feed_recognition(self, action: FeedTranscription) -> None:
        recognition = self._recognitions.get(action.item_id)
        if recognition is not None:
            recognition.feed(action.pcm)

    def _finish_recognition(self, action: FinishTranscription) -> None:
        self._spawn(action.item_id, self._recognise(action.item_id))

    def _cancel_recognition(self, action: CancelTranscription) -> None:
        self._cancel_task(action.item_id)
        recognition = self._recognitions.pop(action.item_id, None)
        if recognition is not None:
            recognition.cancel()

    async def _recognise(self, item_id: str) -> None:
        recognition = self._recognitions.get(item_id)
        if recognition is None:
            return
        try:
            transcript = await recognition.finish(self._limits.transcription_seconds)
        except Exception as exc:  # noqa: BLE001 - a plug-in may raise anything
            logger.warning("input transcription failed: %s", exc)
            recognition.cancel()
            message = str(exc) or type(exc).__name__
            actions = self._engine.transcription_failed(item_id, message, self._loop.time())
        else:
            now = self._loop.time()
            actions = self._engine.transcribed(item_id, transcript.text, transcript.seconds, now)
        finally:
            self._recognitions.pop(item_id, None)
        self._perform(actions)
