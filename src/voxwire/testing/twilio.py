"""A phone at Twilio's end: calls a media stream endpoint as Twilio does, and listens as a caller does.

Source: Twilio documentation, "Media Streams - WebSocket Messages". Everything happens in real time by the event loop's
clock: a frame of the caller's audio every 20 ms, what comes back is played at 8000 samples a second, a mark is
returned when what was sent before it has been played, and `clear` drops what waits and returns its marks at once.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET

from ..audio.live_sources import SequenceSource
from ..audio.wav import WavAudio
from ..errors import ConfigError
from ..protocol.formats import PCM16, PCMU, AudioFormat

__all__ = ["StreamPlayout", "TwilioCaller"]


class StreamPlayout:
    """What a phone provider does with the audio, the marks and the clears it is sent.

    Args:
        on_mark: called with a mark's name when what is before it was played, or was cleared.
        format: of the audio.
    """

    def __init__(self, on_mark: Callable[[str], object], format: AudioFormat = PCMU) -> None:
        self.heard = bytearray()
        """Audio that has left the loudspeaker, without the pauses."""
        self.cleared = 0
        """Bytes that were dropped by `clear`."""
        self._on_mark = on_mark
        self._format = format
        self._queue: deque[bytes | str] = deque()
        self._playing = b""
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def heard_ms(self) -> float:
        """What was heard until this moment, ms."""
        return self._format.duration_ms(len(self.heard) + self._played())

    @property
    def waiting_ms(self) -> float:
        """What is still to be heard, ms."""
        waiting = sum(len(entry) for entry in self._queue if isinstance(entry, bytes))
        return self._format.duration_ms(waiting + len(self._playing) - self._played())

    def media(self, audio: bytes) -> None:
        """Play behind what waits."""
        self._queue.append(audio)
        if self._timer is None:
            self._next(asyncio.get_running_loop().time())

    def mark(self, name: str) -> None:
        """Report when everything before this was played; at once if nothing is."""
        if self._timer is None:
            self._on_mark(name)
        else:
            self._queue.append(name)

    def clear(self) -> None:
        """Fall silent; the marks that wait are returned at once."""
        done = self._played()
        self.heard += self._playing[:done]
        self.cleared += len(self._playing) - done
        self._playing = b""
        self.close()
        queue, self._queue = self._queue, deque()
        for entry in queue:
            if isinstance(entry, str):
                self._on_mark(entry)
            else:
                self.cleared += len(entry)

    def close(self) -> None:
        """Stop the clock."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _played(self) -> int:
        if self._timer is None:
            return 0
        since = asyncio.get_running_loop().time() - self._began
        return min(len(self._playing), self._format.size_of(max(0.0, since * 1000)))

    def _next(self, now: float) -> None:
        while self._queue:
            entry = self._queue.popleft()
            if isinstance(entry, str):
                self._on_mark(entry)
                continue
            self._playing, self._began = entry, now
            end = now + self._format.duration_ms(len(entry)) / 1000
            self._timer = asyncio.get_running_loop().call_at(end, self._ended, end)
            return

    def _ended(self, end: float) -> None:
        self._timer = None
        self.heard += self._playing
        self._playing = b""
        self._next(end)  # not now: what waits follows without a gap


class TwilioCaller:
    """A call, as an async context manager: connected and started when the block begins, hung up when it ends.

        async with TwilioCaller("ws://127.0.0.1:8080/media", parameters={"customer": "42"}) as caller:
            await caller.say("question.wav")
            await caller.until(lambda: caller.playout.heard_ms > 1000)

    Args:
        url: of the media stream endpoint; the real Twilio takes `wss` only, this one `ws` as well.
        parameters: custom parameters of the stream.
        headers: of the handshake (a signature, say).
        call_sid, stream_sid, account_sid: Twilio's names.

    Attributes:
        playout: what the caller hears.
        sizes: how many frames of audio came, by their size in bytes.
        clears: how many `clear` messages came.
        marks: how many marks came.
        unknown: messages that Twilio would refuse; as they came if they cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        call_sid: str = "CA00000000000000000000000000000001",
        stream_sid: str = "MZ00000000000000000000000000000001",
        account_sid: str = "AC00000000000000000000000000000001",
    ) -> None:
        self.url = url
        self.call_sid = call_sid
        self.stream_sid = stream_sid
        self.playout = StreamPlayout(self._return_mark)
        self.sizes: Counter[int] = Counter()
        self.clears = 0
        self.marks = 0
        self.unknown: list[Any] = []
        self.sending = True
        """Whether the caller's audio is sent; False is a network that lost it, while time goes on."""
        self._parameters = dict(parameters or {})
        self._headers = dict(headers or {})
        self._account_sid = account_sid
        self._source = SequenceSource()
        self._socket: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._sequence = 0
        self._chunk = 0
        self._news = asyncio.Event()
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._over = asyncio.Event()

    @classmethod
    def answering(cls, twiml: str, **options: Any) -> TwilioCaller:
        """The call that follows from an answer with `<Connect><Stream>`.

        Raises:
            ConfigError: if there is no such stream in it.
        """
        try:
            stream = ET.fromstring(twiml).find("./Connect/Stream")  # noqa: S314 - from the program under test
        except ET.ParseError as error:
            raise ConfigError(f"the TwiML is not XML: {error}") from None
        if stream is None:
            raise ConfigError("the TwiML has no <Connect><Stream>")
        parameters = {item.get("name", ""): item.get("value", "") for item in stream.iter("Parameter")}
        return cls(stream.get("url", ""), parameters=parameters, **options)

    # -- the call -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        from websockets.asyncio.client import connect

        self._socket = await connect(self.url, additional_headers=self._headers, compression=None)
        try:
            await self._begin()
        except BaseException:
            await self._finish()
            raise
        return self

    async def _begin(self) -> None:
        await self._send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        start = {
            "streamSid": self.stream_sid,
            "accountSid": self._account_sid,
            "callSid": self.call_sid,
            "tracks": ["inbound"],
            "customParameters": self._parameters,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        }
        self._post({"event": "start", "start": start})
        self._tasks = [asyncio.create_task(work) for work in (self._listen(), self._talk(), self._write())]

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.hang_up()

    async def hang_up(self) -> None:
        """End the call as Twilio does: `stop`, then the socket. Idempotent."""
        if self._socket is None:
            return
        self._post({"event": "stop", "stop": {"accountSid": self._account_sid, "callSid": self.call_sid}})
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._outbox.join()
        finally:
            await self._finish()

    async def drop(self) -> None:
        """Vanish without a word. Idempotent."""
        if self._socket is not None:
            self._socket.transport.abort()
            await self._finish()

    async def _finish(self) -> None:
        socket, self._socket = self._socket, None
        try:
            if socket is not None:
                await socket.close()
        finally:
            if socket is not None:
                socket.transport.abort()  # where waiting for the other end's goodbye was cancelled
            for task in self._tasks:
                task.cancel()
            self.playout.close()
            self._end()
            await self._source.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _end(self) -> None:
        self._over.set()
        self._news.set()

    async def wait_closed(self) -> None:
        """Until the other end has closed the socket, or this one has hung up."""
        await self._over.wait()

    # -- what the caller does -------------------------------------------------------------------

    def say(
        self, clip: str | os.PathLike[str] | WavAudio | bytes, *, format: AudioFormat = PCM16
    ) -> asyncio.Future[None]:
        """Speak a clip; see `SequenceSource.say`."""
        return self._source.say(clip, format=format)

    async def press(self, digit: str) -> None:
        """Press a key."""
        self._post({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": digit}})

    async def until(self, condition: Callable[[], object], seconds: float = 30.0) -> None:
        """Wait until something is heard, or otherwise true.

        Raises:
            TimeoutError: if it does not come about.
        """
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), 0.02)

    # -- the wire -------------------------------------------------------------------------------

    async def _talk(self) -> None:
        async for frame in self._source.frames(PCMU):
            self._chunk += 1
            if self.sending:
                payload = base64.b64encode(frame).decode("ascii")
                media = {"track": "inbound", "chunk": str(self._chunk), "payload": payload}
                self._post({"event": "media", "media": {**media, "timestamp": str(20 * (self._chunk - 1))}})

    async def _listen(self) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            async for data in self._socket:
                self._take(data)
                self._news.set()
        except ConnectionClosed:  # without a goodbye
            pass
        finally:
            self._end()

    def _take(self, data: str | bytes) -> None:
        try:
            message = json.loads(data)
            kind = message.get("event") if message.get("streamSid") == self.stream_sid else None
            match kind:
                case "media":
                    audio = base64.b64decode(message["media"]["payload"], validate=True)
                    self.sizes[len(audio)] += 1
                    self.playout.media(audio)
                case "mark":
                    name = str(message["mark"]["name"])
                    self.marks += 1
                    self.playout.mark(name)
                case "clear":
                    self.clears += 1
                    self.playout.clear()
                case _:
                    self.unknown.append(message)
        except (ValueError, LookupError, TypeError, AttributeError):
            self.unknown.append(data)

    def _return_mark(self, name: str) -> None:
        self._post({"event": "mark", "mark": {"name": name}})

    def _post(self, message: dict[str, Any]) -> None:
        self._sequence += 1
        message = {**message, "sequenceNumber": str(self._sequence), "streamSid": self.stream_sid}
        self._outbox.put_nowait(json.dumps(message))

    async def _write(self) -> None:
        while True:
            await self._send(await self._outbox.get())
            self._outbox.task_done()

    async def _send(self, text: str) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            await self._socket.send(text)
        except ConnectionClosed:
            self._end()
