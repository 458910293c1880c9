"""A carrier over a plain TCP stream: each message with its kind and its length before it.

OpenAIRealtimeWebSocket(url="ws://gateway.example.com:7000", connect=StreamCarrier)

See `docs/guide/own-transport.md`. The promises that a carrier keeps are those of `voxwire.carriers.base`.
"""

import asyncio
import struct
from typing import Final
from urllib.parse import SplitResult, urlsplit

from voxwire.carriers.base import CarrierClosed, CarrierReceiver, CarrierRequest
from voxwire.carriers.flow import MAX_UNSENT_BYTES, Inbox, SendGate, closing_words, lost
from voxwire.errors import ConnectError, ConnectTimeout, UserError

HEAD: Final = struct.Struct("!BI")  # what it is, and how many bytes follow
TEXT, GOODBYE = 0, 1


class StreamCarrier(asyncio.Protocol):
    """One end of a stream. The accepting side makes one as well, as the protocol of `create_server`, and calls `open`."""

    def __init__(self) -> None:
        self._gate = SendGate()  # where `drain` waits
        self._inbox: Inbox | None = None  # keeps the order, the pauses and the one `closed`
        self._pipe: asyncio.Transport | None = None
        self._how: CarrierClosed | None = None  # how the connection ended
        self._unread = bytearray()
        self._max_bytes = 0
        self._close_timeout: float | None = None
        self._gone = asyncio.Event()

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        if self._inbox is not None:
            raise UserError("a carrier is used once; make a new one to connect again")
        self._max_bytes, self._close_timeout = request.max_message_bytes, request.close_timeout
        pipe = self._pipe or await self._connect(urlsplit(request.url), request.open_timeout)
        self._inbox = Inbox(receiver, stop=pipe.pause_reading, go=pipe.resume_reading)
        if self._how is not None:
            self._inbox.end(self._how)
        self._inbox.opened()
        pipe.resume_reading()

    async def _connect(self, where: SplitResult, timeout: float | None) -> asyncio.Transport:
        try:
            async with asyncio.timeout(timeout):
                loop = asyncio.get_running_loop()
                pipe, _ = await loop.create_connection(lambda: self, where.hostname or "", where.port or 80)
        except TimeoutError:
            raise ConnectTimeout(f"{where.netloc} did not answer within {timeout} s") from None
        except OSError as error:
            raise ConnectError(f"no connection to {where.netloc}: {error}") from error
        return pipe

    def send(self, text: str, /) -> None:
        if self._pipe is None or self._how is not None:
            raise lost(self._how)
        self._write(self._pipe, TEXT, text.encode())
        if self._pipe.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.drop()

    async def drain(self) -> None:
        if self._pipe is None:
            raise lost(None)
        await self._gate.wait()

    def pause_reading(self) -> None:
        if self._inbox is not None:
            self._inbox.pause()

    def resume_reading(self) -> None:
        if self._inbox is not None:
            self._inbox.resume()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self._pipe is None or self._inbox is None:
            return
        if self._how is None:
            self._inbox.discard()
            self._say_goodbye(self._pipe, *closing_words(code, reason))
        try:
            async with asyncio.timeout(self._close_timeout):
                await self._gone.wait()
        except TimeoutError:
            self._pipe.abort()

    def drop(self) -> None:
        """Vanish without a goodbye."""
        if self._pipe is not None:
            self._pipe.abort()

    @staticmethod
    def _write(pipe: asyncio.Transport, kind: int, body: bytes) -> None:
        pipe.write(HEAD.pack(kind, len(body)) + body)

    def _say_goodbye(self, pipe: asyncio.Transport, code: int, reason: str) -> None:
        self._write(pipe, GOODBYE, code.to_bytes(2) + reason.encode())
        pipe.write_eof()  # and read on: the peer closes when it has read this
        self._end(CarrierClosed(code, reason))

    def _end(self, how: CarrierClosed) -> None:
        if self._how is None:  # the first word counts
            self._how = how
            self._gate.end(how)
            if self._inbox is not None:
                self._inbox.end(how)

    # -- what asyncio calls -------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._pipe = transport
        transport.pause_reading()  # until there is somebody to tell

    def data_received(self, data: bytes) -> None:
        if self._pipe is None or self._inbox is None:
            return
        self._unread += data
        while self._how is None and len(self._unread) >= HEAD.size:
            kind, size = HEAD.unpack_from(self._unread)
            if size > self._max_bytes:
                self._say_goodbye(self._pipe, 1009, f"message of {size} bytes, {self._max_bytes} allowed")
                return
            if len(self._unread) < HEAD.size + size:
                return
            body = bytes(self._unread[HEAD.size : HEAD.size + size])
            del self._unread[: HEAD.size + size]
            if kind == GOODBYE:
                self._end(CarrierClosed(int.from_bytes(body[:2]), body[2:].decode(errors="replace")))
                self._pipe.close()
            else:
                self._inbox.push(body.decode(errors="replace"))

    def pause_writing(self) -> None:
        self._gate.close()

    def resume_writing(self) -> None:
        self._gate.open()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(CarrierClosed(1006, str(exc or ""), clean=False))
        self._gone.set()
