"""A phone line: the tasks that read and write a media stream, as an audio source and an audio sink.

What to send, what was heard and what fills a gap is decided in `outgoing` and `incoming`; this is the socket and the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, Final

from ...audio.resample import Converter
from ...errors import ConnectionLost, UserError, WireError
from ...protocol.call_events import CallStarted, CallStopped, MarkReturned, TelephonyMessage
from ...protocol.formats import AudioFormat
from ...protocol.transport_events import DtmfReceived, TransportEventBase
from .incoming import IncomingAudio
from .outgoing import Clear, Mark, Media, Outgoing, OutgoingAudio
from .protocol import CallMedia, Frame, MediaStreamProtocol
from .sockets import PhoneSocket

__all__ = ["PhoneLine"]

logger = logging.getLogger("voxwire")

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that the phone's socket may take over its goodbye."""
MAX_EXTRA: Final = 256
"""Messages of the caller's own that may wait to be sent."""


class PhoneLine:
    """One call's media stream: an `AudioSource` (the caller) and an `AudioSink` (what the caller hears).

    Args:
        socket: the provider's connection.
        protocol: its messages.
        outgoing, incoming: the two directions.
        model_input: the format in which the model takes audio at the moment.
        on_event: told of everything but audio.
        on_message: told of every JSON message, first.
        on_problem: told of what could not be read.
        on_over: told once that the call is over.
    """

    def __init__(
        self,
        socket: PhoneSocket,
        protocol: MediaStreamProtocol,
        outgoing: OutgoingAudio,
        incoming: IncomingAudio,
        *,
        model_input: Callable[[], AudioFormat],
        on_event: Callable[[TransportEventBase], None],
        on_message: Callable[[Mapping[str, Any]], None],
        on_problem: Callable[[Exception], None],
        on_over: Callable[[], None],
    ) -> None:
        self.protocol = protocol
        self.outgoing = outgoing
        self.incoming = incoming
        self.call: CallStarted | None = None
        self.over = False
        self._closing: asyncio.Task[None] | None = None
        self.max_buffer_ms = outgoing.max_ms / 2
        self._socket = socket
        self._model_input = model_input
        self._on_event = on_event
        self._on_message = on_message
        self._on_problem = on_problem
        self._on_over = on_over
        self._extra: list[str | bytes] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._to_send = asyncio.Event()
        self._arrived = asyncio.Event()
        self._begun = asyncio.Event()
        self._stall: asyncio.TimerHandle | None = None
        self._told_lost = self._told_dropped = False

    # -- life -------------------------------------------------------------------------------

    def begin(self) -> None:
        """Read and write from now on; idempotent."""
        if not self._tasks and not self.over:
            self._tasks = [self._start(self._read()), self._start(self._write())]

    @staticmethod
    def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.get_running_loop().create_task(work)

    async def pause(self) -> None:
        """Neither read nor write until `begin`; what comes meanwhile waits in the socket."""
        tasks, self._tasks = self._tasks, []
        self._disarm()
        others = [task for task in tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    async def hang_up(self) -> None:
        """End the call's socket; idempotent, never raises."""
        if self._closing is None:
            self._end()
            self._closing = self._start(self._close())
        await asyncio.shield(self._closing)  # whoever asks second waits as well

    async def _close(self) -> None:
        await self.pause()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._socket.close_socket()

    async def started(self) -> CallStarted:
        """Wait for the provider's start.

        Raises:
            ConnectionLost: if the socket ends before.
        """
        self.begin()
        await self._begun.wait()
        if self.call is None:
            raise ConnectionLost("the phone's socket ended before the call's media stream had started")
        return self.call

    def _end(self) -> None:
        if self.over:
            return
        self.over = True
        self.outgoing.stop()
        self._disarm()
        for event in (self._arrived, self._begun, self._to_send):
            event.set()

    # -- what arrives -------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while (data := await self._socket.receive_message()) is not None:
                self._received(data)
        except Exception as error:  # noqa: BLE001 - each socket has errors of its own for having ended
            logger.debug("the phone's socket failed with %s", type(error).__name__)
        self._end()
        self._on_over()

    def _received(self, data: str | bytes) -> None:
        try:
            parsed = self.protocol.parse(data)
        except WireError as error:
            self._on_problem(error)
            return
        if isinstance(parsed.frame, CallMedia):
            self._media(parsed.frame)
        if parsed.message is not None:
            self._on_message(parsed.message)
        self._act(parsed.frame)

    def _media(self, media: CallMedia) -> None:
        incoming = self.incoming
        incoming.media(media.audio, media.timestamp_ms, self._now())
        if incoming.dropped_ms and not self._told_dropped:
            self._told_dropped = True
            logger.warning(
                "more than %g ms of the caller's audio wait for the model: the oldest is dropped",
                incoming.max_waiting_ms,
            )
        self._arrived.set()
        self._arm()

    def _act(self, frame: Frame) -> None:
        match frame:
            case CallMedia():
                pass
            case CallStarted():
                self.call = frame
                self.incoming.start(frame.format)
                self.outgoing.start(self.protocol.output_format, self.protocol.frame_ms, self._now())
                self._to_send.set()
                self._on_event(frame)
                self._begun.set()
            case MarkReturned(mark=name):
                meaning = self.outgoing.returned(name, self._now())
                if meaning in ("played", "cleared"):
                    self._on_event(MarkReturned(name, meaning == "cleared"))
            case DtmfReceived() | CallStopped() | TelephonyMessage():
                self._on_event(frame)

    # -- in the middle of an utterance ----------------------------------------------------------

    def speech(self, speaking: bool) -> None:
        """The model hears the caller begin or stop speaking."""
        self.incoming.speech(speaking)
        self._arm()

    def _arm(self) -> None:
        self._disarm()
        at = self.incoming.stalls_at()
        if at is not None and not self.over:
            self._stall = asyncio.get_running_loop().call_at(at, self._stalled)

    def _disarm(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _stalled(self) -> None:
        # A timer may fire a little early.
        at = self.incoming.stalls_at()
        if at is not None and self.incoming.stalled(max(at, self._now())):
            self._arrived.set()
        self._arm()

    # -- what goes out ------------------------------------------------------------------------

    def post(self, message: str | bytes) -> None:
        """Send a message of the caller's own, ahead of audio that waits.

        Raises:
            UserError: if the call is over, or too many messages wait.
        """
        if self.over:
            raise UserError("the call is over; nothing can be sent to it any more")
        if len(self._extra) >= MAX_EXTRA:
            raise UserError(
                f"{MAX_EXTRA} messages wait to be sent to the phone; its socket does not take them"
            )
        self._extra.append(message)
        self._to_send.set()

    def mark(self, name: str) -> None:
        """Send a mark behind everything written so far; see `OutgoingAudio.add_mark`."""
        if self.over:
            raise UserError("the call is over; no mark can come back from it any more")
        self.outgoing.add_mark(name)
        self._to_send.set()

    def flush(self) -> None:
        """What was written so far is a whole."""
        self.outgoing.end()
        self._to_send.set()

    async def _write(self) -> None:
        try:
            while not self.over:
                messages = self._due()
                if not messages:
                    await self._wait(self.outgoing.wake_at())
                for message in messages:
                    await self._socket.send_message(message)
        except Exception as error:  # noqa: BLE001 - as in _read
            # The reader learns of the end as well, and tells: once.
            logger.debug("the phone's socket takes no more: %s", type(error).__name__)
            self.outgoing.stop()

    def _due(self) -> list[str | bytes]:
        if self._extra and self.call is not None:
            extra, self._extra = self._extra, []
            return extra
        out = self.outgoing.next(self._now())
        return [] if out is None else self._messages(out)

    def _messages(self, out: Outgoing) -> list[str | bytes]:
        protocol = self.protocol
        match out:
            case Media(audio=audio, mark=mark):
                return [protocol.media(audio), protocol.mark(mark)]
            case Mark(name=name):
                return [protocol.mark(name)]
            case Clear():
                return [protocol.clear()]

    async def _wait(self, until: float | None) -> None:
        self._to_send.clear()
        timer = None
        if until is not None:
            timer = asyncio.get_running_loop().call_at(until, self._to_send.set)
        try:
            await self._to_send.wait()
        finally:
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # -- as an AudioSink ----------------------------------------------------------------------

    async def open(self, format: AudioFormat, /) -> None:
        """Take audio in `format`; what waits in another one is played first."""
        self.outgoing.open(format)

    def write(self, data: bytes, /) -> None:
        """Queue behind what waits."""
        self.outgoing.write(data)
        self._to_send.set()

    def clear(self, _heard_ms: float, /) -> None:
        """Tell the provider to fall silent; this line knows by itself what was heard."""
        self.outgoing.clear(self._now())
        self._to_send.set()

    def heard_ms(self) -> float:
        """What the marks confirm, ms."""
        heard = self.outgoing.heard_ms(self._now())
        if self.outgoing.marks_lost and not self._told_lost:
            self._told_lost = True
            logger.warning("%s does not return marks: real-time playback is assumed", self.protocol.provider)
        return heard

    def buffered_ms(self) -> float:
        """Audio written and not heard, ms."""
        return self.outgoing.buffered_ms(self._now())

    # -- as an AudioSource ----------------------------------------------------------------------

    async def frames(self, _format: AudioFormat, /) -> AsyncIterator[bytes]:
        """The caller's audio in the format the model takes, as it comes; first what was kept before."""
        converter: Converter | None = None
        while True:
            audio = self.incoming.take()
            if audio is None:
                if self.over:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            source, target = self.incoming.format, self._model_input()
            if converter is None or (converter.source, converter.target) != (source, target):
                converter = Converter(source, target)
            data = converter.feed(audio)
            if data:
                yield data

    async def close(self) -> None:
        """The line ends with its call, not with a connection to the model."""
