"""A carrier over the `websockets` library (13 to 17), for CPython.

`websockets` does the opening handshake, proxies, TLS, keepalive and framing. Messages do
not go through its `send` and `recv`, which are coroutines with a queue and a task switch
per message: `_connection_class` is a `ClientConnection` that hands every message to the
receiver in the callback that read it, and writes by the connection's sans-I/O protocol.
Everything this module relies on beyond the documented interface is in that class, and
`tests/carriers/test_websocket_contract.py` fails if a release changes it.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError, MissingExtraError
from .base import CarrierClosed, CarrierReceiver, CarrierRequest
from .flow import MAX_UNSENT_BYTES, Inbox, SendGate, closing_words, lost
from .refusal import endpoint, refused, timed_out, unreachable
from .socket import SocketCarrier

__all__ = ["WebSocketCarrier"]


class WebSocketCarrier(SocketCarrier):
    """One WebSocket client connection, without compression. Redirects are not followed."""

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Connect; see `Carrier.open`.

        Raises:
            MissingExtraError: if `websockets` is not installed.
            ConfigError: if the URL or the proxy cannot be used.
        """
        self._use()
        await self._connect(request, receiver, endpoint(request.url))
        self._link.inbox.opened()

    async def _connect(self, request: CarrierRequest, receiver: CarrierReceiver, where: str) -> None:
        try:
            from websockets import exceptions
        except ImportError:
            raise MissingExtraError("The WebSocket transport", "server", "websockets") from None

        def announce(link: Any) -> None:
            # Before `connect` returns: a receiver may answer what came with the handshake.
            self._link = link

        proxy = _proxy_argument(request.proxy)
        try:
            await _connect_class()(
                request.url,
                create_connection=functools.partial(_connection_class(), receiver, announce),
                additional_headers=dict(request.headers),
                subprotocols=list(request.subprotocols) or None,
                compression=None,
                open_timeout=request.open_timeout,
                close_timeout=request.close_timeout,
                ping_interval=request.ping_interval,
                ping_timeout=request.ping_timeout,
                max_size=request.max_message_bytes,
                **proxy,
            )
        except exceptions.InvalidStatus as error:
            answer = error.response
            body = bytes(answer.body or b"")
            raise refused(where, answer.status_code, body, answer.headers.get("Location")) from None
        except getattr(exceptions, "InvalidProxy", ()) as error:  # since 15
            raise ConfigError(f"the proxy cannot be used: {error.msg}") from None
        except TimeoutError:
            raise timed_out(where, request.open_timeout) from None
        # The last two are a malformed answer, before 14.
        except (exceptions.InvalidHandshake, OSError, EOFError, ValueError, LookupError) as error:
            raise unreachable(where, error) from error


def _proxy_argument(proxy: str | bool | None) -> dict[str, Any]:
    """What to pass to `connect`: `websockets` before 15 has no proxies."""
    from websockets.asyncio.client import connect

    chosen = proxy or None
    if "proxy" in inspect.signature(connect.__init__).parameters:
        return {"proxy": chosen}
    if isinstance(chosen, str):
        raise ConfigError("a proxy needs websockets 15 or later; install it, or pass proxy=None")
    return {}


@functools.cache
def _connect_class() -> Any:
    from websockets.asyncio.client import connect

    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            return exc  # the key in the headers is for one host only

    return Connect


@functools.cache
def _connection_class() -> Any:  # noqa: C901 - one class, in one place
    from websockets.asyncio.client import ClientConnection
    from websockets.frames import Frame, Opcode
    from websockets.protocol import CLOSING, CONNECTING, OPEN

    class Connection(ClientConnection, asyncio.BufferedProtocol):
        """A connection that pushes into an `Inbox` instead of queueing for `recv`.

        As a `BufferedProtocol` it is read into one small buffer that is its own. A plain protocol makes the event
        loop allocate 256 KiB for every read, which costs more than all that is done with a frame of audio.
        """

        def __init__(
            self, receiver: CarrierReceiver, announce: Callable[[Any], None], *args: Any, **settings: Any
        ) -> None:
            super().__init__(*args, **settings)
            self.announce = announce
            self.buffer = memoryview(bytearray(_BUFFER_BYTES))
            self.inbox = Inbox(receiver, stop=self.stop_reading, go=self.go_on_reading)
            self.gate = SendGate()
            self.how: CarrierClosed | None = None
            self.asked = False  # the goodbye is ours
            self.parts: bytearray | None = None  # of a fragmented message; bounded by max_size
            self.is_text = True
            self.guard: asyncio.TimerHandle | None = None

        def write_text(self, text: str) -> None:
            protocol = self.protocol
            if protocol.state is not OPEN or self.how is not None:
                raise lost(self.how)
            if self.gate.shut and self.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
                self.transport.abort()
                self.how = CarrierClosed(1006, "the peer does not read", clean=False)
                raise lost(self.how)
            protocol.send_text(text.encode())
            for data in protocol.data_to_send():
                self.transport.write(data)

        async def leave(self, code: int, reason: str) -> None:
            if self.protocol.state is OPEN:
                self.asked = True
                self.protocol.send_close(*closing_words(code, reason))
                self.send_data()
                self.guard_the_end()
            elif self.protocol.state is CONNECTING:
                self.transport.abort()
            self.inbox.discard()
            await asyncio.shield(self.connection_lost_waiter)

        def guard_the_end(self) -> None:
            """Cut the connection if the peer takes longer than `close_timeout` over its goodbye."""
            if self.guard is None and self.close_timeout is not None:
                self.guard = self.loop.call_later(self.close_timeout, self.transport.abort)

        def stop_reading(self) -> None:
            self.transport.pause_reading()
            if self.keepalive_task is not None:
                self.keepalive_task.cancel()
                self.keepalive_task = None

        def go_on_reading(self) -> None:
            if self.protocol.state is OPEN and self.keepalive_task is None:
                self.start_keepalive()
            if not self.transport.is_closing():
                self.transport.resume_reading()

        def process_event(self, event: Any) -> None:
            if self.response is None or event.opcode not in _DATA:
                super().process_event(event)
            elif event.fin and self.parts is None and event.opcode is Opcode.TEXT:
                self.deliver(event.data, is_text=True)
            else:
                self.assemble(event)

        def assemble(self, frame: Frame) -> None:
            if self.parts is None:
                self.parts = bytearray()
                self.is_text = frame.opcode is Opcode.TEXT
            self.parts += frame.data
            if frame.fin:
                whole, self.parts = self.parts, None
                self.deliver(whole, is_text=self.is_text)

        def deliver(self, data: Any, *, is_text: bool) -> None:
            try:
                message = str(data, "utf-8") if is_text else bytes(data)
            except UnicodeDecodeError as error:
                self.protocol.fail(1007, f"text is not UTF-8 at byte {error.start}")
                self.send_data()
                self.guard_the_end()
            else:
                self.inbox.push(message)

        def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.data_received(bytes(self.buffer[:nbytes]))

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.protocol.state is CLOSING:
                self.guard_the_end()

        def pause_writing(self) -> None:
            super().pause_writing()
            self.gate.close()

        def resume_writing(self) -> None:
            super().resume_writing()
            self.gate.open()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.announce(self)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            if self.guard is not None:
                self.guard.cancel()
            if self.how is None:
                self.how = _how(self.protocol, asked=self.asked)
            self.gate.end(self.how)
            self.inbox.end(self.how)

    return Connection


_DATA = frozenset({0, 1, 2})
_BUFFER_BYTES = 16 * 1024


def _how(protocol: Any, *, asked: bool) -> CarrierClosed:
    received, sent = protocol.close_rcvd, protocol.close_sent
    if received is not None:
        return CarrierClosed(int(received.code), received.reason, clean=sent is not None)
    if sent is not None and not asked:  # we ended it, over a broken message or a missed pong
        return CarrierClosed(int(sent.code), sent.reason, clean=False)
    return CarrierClosed(1006, "", clean=False)
