"""A carrier over `picows`, for those who count every microsecond (extra `fast`).

`picows` parses and masks in C and calls back per frame. It leaves the closing
handshake, fragments and UTF-8 to its user; they are here. Beyond the documented interface this
uses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ..errors import ConfigError, ConnectError, MissingExtraError
from .base import CarrierClosed, CarrierReceiver, CarrierRequest
from .flow import MAX_UNSENT_BYTES, Inbox, SendGate, closing_words, lost
from .refusal import endpoint, refused, timed_out, unreachable
from .socket import SocketCarrier

__all__ = ["PicowsCarrier"]

_TEXT, _BINARY, _CONT, _CLOSE = 1, 2, 0, 8
_LONG_BYTES = 32 * 1024


class PicowsCarrier(SocketCarrier):
    """One WebSocket client connection. Redirects are not followed.

    `proxy=True` takes the environment's proxy, as `websockets` does.
    """

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Connect; see `Carrier.open`.

        Raises:
            MissingExtraError: if `picows` is not installed.
            ConfigError: if the URL or the proxy cannot be used.
        """
        self._use()
        where = endpoint(request.url)
        try:
            async with asyncio.timeout(request.open_timeout):
                await self._connect(request, receiver, where)
        except TimeoutError:
            raise timed_out(where, request.open_timeout) from None
        if self._link is None:  # what picows makes of a connection that ends before the handshake does
            raise ConnectError(f"cannot connect to {where}: it hung up during the handshake")
        self._link.start()

    async def _connect(self, request: CarrierRequest, receiver: CarrierReceiver, where: str) -> None:
        try:
            import picows
        except ImportError:
            raise MissingExtraError("The picows carrier", "fast", "picows") from None
        connect = cast("Any", picows).ws_connect  # its **kwargs have no type

        def listener(_request: Any, _response: Any) -> Any:
            self._link = _listener_class()(request, receiver)
            return self._link

        sockets: list[socket.socket] = []
        try:
            await connect(
                listener,
                request.url,
                extra_headers=_headers(request),
                websocket_handshake_timeout=None,  # `open` has one for all of it
                enable_auto_ping=request.ping_interval is not None,
                auto_ping_idle_timeout=request.ping_interval or 0,
                auto_ping_reply_timeout=request.ping_timeout or 0,
                max_frame_size=request.max_message_bytes,
                max_redirects=0,  # the key in the headers is for one host only
                proxy=_proxy(request),
                socket_factory=functools.partial(_connected_socket, sockets),
            )
        except asyncio.CancelledError:
            for sock in sockets:  # ends the handshake that picows would go on waiting for
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            raise
        except picows.WSHandshakeError as error:
            if error.response is None:
                raise unreachable(where, error) from error
            answer = error.response
            body = bytes(error.raw_body or b"")
            raise refused(where, int(answer.status), body, answer.headers.get("Location")) from None
        except picows.WSInvalidURL as error:
            raise ConfigError(f"the URL or the proxy cannot be used: {type(error).__name__}") from None
        except (OSError, EOFError, picows.WSError) as error:
            raise unreachable(where, error) from error


def _headers(request: CarrierRequest) -> list[tuple[str, str]]:
    headers = list(request.headers.items())
    if request.subprotocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(request.subprotocols)))
    return headers


def _proxy(request: CarrierRequest) -> str | None:
    """The proxy's URL; from the environment in the order of `websockets.proxy`."""
    if request.proxy is not True:
        return request.proxy or None
    parts = urlsplit(request.url)
    schemes = ("wss", "socks", "https") if parts.scheme == "wss" else ("ws", "socks", "https", "http")
    known = getproxies()
    if not known or proxy_bypass(endpoint(request.url)):
        return None
    return next((known[scheme] for scheme in schemes if scheme in known), None)


async def _connected_socket(opened: list[socket.socket], target: Any) -> socket.socket:
    """Connect to the first address that answers.

    Done here, not by picows, because its handshake cannot be cancelled: with the socket at
    hand, `open` can end it.
    """
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        target.host, target.port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            opened.append(sock)
            return sock
    raise failure or OSError(f"{target.host} has no address")


@functools.cache
def _listener_class() -> Any:  # noqa: C901 - one class, in one place
    from picows import WSListener, WSMsgType

    text, binary, continuation, goodbye = (
        WSMsgType.TEXT,
        WSMsgType.BINARY,
        WSMsgType.CONTINUATION,
        WSMsgType.CLOSE,
    )

    class Listener(WSListener):
        """Pushes messages into an `Inbox` and keeps the closing handshake."""

        def __init__(self, request: CarrierRequest, receiver: CarrierReceiver) -> None:
            self.request = request
            self.inbox = Inbox(receiver, stop=self.stop_reading, go=self.go_on_reading)
            self.gate = SendGate()
            self.loop = asyncio.get_running_loop()
            self.transport: Any = None
            self.open = False
            self.how: CarrierClosed | None = None
            self.sent: CarrierClosed | None = None  # our goodbye over a broken message
            self.asked = False
            self.parts: bytearray | None = None
            self.is_text = True
            self.guard: asyncio.TimerHandle | None = None
            self.watch: asyncio.Task[None] | None = None

        # What the carrier calls.

        def start(self) -> None:
            self.watch = self.loop.create_task(self.watch_for_the_end())
            self.inbox.opened()

        def write_text(self, message: str) -> None:
            if not self.open:
                raise lost(self.how)
            if (
                self.gate.shut
                and self.transport.underlying_transport.get_write_buffer_size() > MAX_UNSENT_BYTES
            ):
                self.open = False
                self.how = CarrierClosed(1006, "the peer does not read", clean=False)
                self.transport.disconnect(graceful=False)
                raise lost(self.how)
            self.transport.send(text, message)

        async def leave(self, code: int, reason: str) -> None:
            if self.open:
                self.open = False
                self.asked = True
                code, reason = closing_words(code, reason)
                self.transport.send(goodbye, struct.pack("!H", code) + reason.encode())
                self.guard_the_end()
            self.inbox.discard()
            if self.watch is not None:
                await asyncio.shield(self.watch)

        def stop_reading(self) -> None:
            self.transport.underlying_transport.pause_reading()
            self.transport.notify_user_specific_pong_received()

        def go_on_reading(self) -> None:
            if not self.transport.is_disconnected and not self.transport.underlying_transport.is_closing():
                self.transport.underlying_transport.resume_reading()

        # What picows calls.

        def on_ws_connected(self, transport: Any) -> None:
            self.transport = transport
            self.open = True
            transport.underlying_transport.set_write_buffer_limits(_LONG_BYTES)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:  # noqa: ARG002
            kind = frame.msg_type
            if kind == text and frame.fin and self.parts is None:
                if self.how is None:
                    try:
                        message = frame.get_payload_as_utf8_text()
                    except UnicodeDecodeError as error:
                        self.fail(1007, f"text is not UTF-8 at byte {error.start}")
                    else:
                        self.inbox.push(message)
            elif kind in (text, binary, continuation):
                self.assemble(frame)
            elif kind == goodbye:
                self.answer_goodbye(frame.get_payload_as_bytes())

        def on_ws_disconnected(self, transport: Any) -> None:  # noqa: ARG002
            self.open = False
            if self.guard is not None:
                self.guard.cancel()
            if self.how is None:
                self.how = self.abnormal_end()
            self.gate.end(self.how)
            self.inbox.end(self.how)

        def send_user_specific_ping(self, transport: Any) -> None:
            transport.send_ping()
            if self.inbox.paused or self.request.ping_timeout is None:
                self.loop.call_soon(transport.notify_user_specific_pong_received)

        def pause_writing(self) -> None:
            self.gate.close()

        def resume_writing(self) -> None:
            self.gate.open()

        # Frames.

        def assemble(self, frame: Any) -> None:
            if self.how is not None:
                return
            if (self.parts is None) == (frame.msg_type == continuation):
                self.fail(1002, "a fragment is out of place")
                return
            whole = self.parts
            if whole is None:
                whole = self.parts = bytearray()
                self.is_text = frame.msg_type == text
            whole += frame.get_payload_as_bytes()
            if len(whole) > self.request.max_message_bytes:
                self.fail(1009, f"message of more than {self.request.max_message_bytes} bytes")
            elif frame.fin:
                self.parts = None
                try:
                    self.inbox.push(whole.decode() if self.is_text else bytes(whole))
                except UnicodeDecodeError as error:
                    self.fail(1007, f"text is not UTF-8 at byte {error.start}")

        # The end.

        def answer_goodbye(self, payload: bytes) -> None:
            code = struct.unpack("!H", payload[:2])[0] if payload else 1005
            self.how = CarrierClosed(code, payload[2:].decode(errors="replace"), clean=True)
            if self.open:
                self.open = False
                self.transport.send(goodbye, payload or None)
            self.transport.disconnect()
            self.guard_the_end()

        def fail(self, code: int, reason: str) -> None:
            self.open = False
            self.how = CarrierClosed(code, reason, clean=False)
            self.transport.send(goodbye, struct.pack("!H", code) + reason.encode())
            self.transport.disconnect()
            self.guard_the_end()

        def guard_the_end(self) -> None:
            """Cut the connection if the end takes longer than `close_timeout`."""
            if self.guard is None and self.request.close_timeout is not None:
                self.guard = self.loop.call_later(
                    self.request.close_timeout, functools.partial(self.transport.disconnect, graceful=False)
                )

        def abnormal_end(self) -> CarrierClosed:
            # picows itself says goodbye over a bad frame or a missed pong.
            handshake = self.transport.close_handshake
            sent = handshake.sent if handshake is not None else None
            if sent is not None:
                return CarrierClosed(int(getattr(sent.code, "value", sent.code)), sent.reason, clean=False)
            return CarrierClosed(1006, "", clean=False)

        async def watch_for_the_end(self) -> None:
            # picows keeps a bad frame's error for whoever awaits this; it is told by `closed`.
            with contextlib.suppress(Exception):
                await self.transport.wait_disconnected()

    return Listener
