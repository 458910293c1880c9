"""The phone's WebSocket, whoever accepted it: Starlette and FastAPI, `websockets`, a bare ASGI application, or two functions.

Told apart by shape, so that none of these libraries is needed, or imported, to use another.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias, cast, runtime_checkable

from ...errors import UserError

__all__ = ["PhoneSocket", "SocketLike", "phone_socket"]


@runtime_checkable
class PhoneSocket(Protocol):
    """What a telephony transport needs of a socket. Give it one of your own if none of the known shapes fits."""

    async def receive_message(self) -> str | bytes | None:
        """The next message; None once the socket has ended, however it did."""
        ...

    async def send_message(self, data: str | bytes, /) -> None:
        """Send one message. Any exception means that the socket is gone."""

    async def close_socket(self) -> None:
        """Say goodbye (code 1000); idempotent."""


ReceiveFunction: TypeAlias = Callable[[], Awaitable[str | bytes | None]]
SendFunction: TypeAlias = Callable[[str | bytes], Awaitable[Any]]
CloseFunction: TypeAlias = Callable[[], Awaitable[Any]]
SocketLike: TypeAlias = (
    PhoneSocket
    | tuple[ReceiveFunction, SendFunction]
    | tuple[ReceiveFunction, SendFunction, CloseFunction]
    | Any
)
"""A Starlette or FastAPI `WebSocket`, a server connection of `websockets`, `(receive, send)` or `(receive, send, close)`
coroutine functions (`receive` gives None, or raises, at the end; or they are those of an ASGI application), or a
`PhoneSocket`."""


def phone_socket(socket: SocketLike) -> PhoneSocket:
    """Whatever was given, as a `PhoneSocket`.

    Raises:
        UserError: if it has none of the known shapes.
    """
    if isinstance(socket, PhoneSocket):
        return socket
    shape: Any = socket
    if isinstance(shape, tuple):
        functions = cast("tuple[Callable[..., Any], ...]", shape)
        if len(functions) in (2, 3) and all(callable(function) for function in functions):
            return _Functions(*functions)
    elif callable(getattr(socket, "send_text", None)) and callable(getattr(socket, "receive", None)):
        return _Asgi(socket)
    elif all(callable(getattr(socket, name, None)) for name in ("recv", "send", "close")):
        return _Websockets(socket)
    raise UserError(
        f"{type(socket).__name__} is no WebSocket that is known here; give a Starlette or FastAPI WebSocket, a "
        "connection of websockets, or a pair of coroutine functions (receive, send)"
    )


class _Functions:
    """A pair of coroutine functions, or three. Those of an ASGI application are known by the messages they give."""

    def __init__(
        self, receive: ReceiveFunction, send: SendFunction, close: CloseFunction | None = None
    ) -> None:
        self._receive: Callable[[], Awaitable[Any]] = receive
        self._send: Callable[[Any], Awaitable[Any]] = send
        self._close = close
        self._asgi = False
        self._closed = False

    async def receive_message(self) -> str | bytes | None:
        while True:
            message = await self._receive()
            if not isinstance(message, Mapping):
                return cast("str | bytes | None", message)
            self._asgi = True
            event = cast("Mapping[str, Any]", message)
            if event["type"] == "websocket.connect":
                await self._send({"type": "websocket.accept"})
            elif event["type"] == "websocket.disconnect":
                return None
            else:
                return _content(event)

    async def send_message(self, data: str | bytes, /) -> None:
        if self._asgi:
            key = "text" if isinstance(data, str) else "bytes"
            await self._send({"type": "websocket.send", key: data})
        else:
            await self._send(data)

    async def close_socket(self) -> None:
        if self._close is not None:
            await self._close()
        elif self._asgi and not self._closed:
            self._closed = True
            with contextlib.suppress(Exception):  # as in _Asgi
                await self._send({"type": "websocket.close", "code": 1000})


def _content(event: Mapping[str, Any]) -> str | bytes:
    """Of a `websocket.receive` (ASGI specification, "WebSocket": one of the two may be missing, or None)."""
    text: str | None = event.get("text")
    return text if text is not None else event.get("bytes") or b""


class _Asgi:
    """A `WebSocket` of Starlette, FastAPI or anything that looks like it; accepted here if it was not yet."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def _accept(self) -> None:
        state = getattr(self._socket, "application_state", None)
        if getattr(state, "name", "CONNECTED") == "CONNECTING":
            await self._socket.accept()

    async def receive_message(self) -> str | bytes | None:
        await self._accept()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            if message["type"] == "websocket.receive":
                return _content(message)

    async def send_message(self, data: str | bytes, /) -> None:
        await (self._socket.send_text(data) if isinstance(data, str) else self._socket.send_bytes(data))

    async def close_socket(self) -> None:
        with contextlib.suppress(Exception):  # it has ended already, which each version says in its own way
            await self._socket.close()


class _Websockets:
    """A connection of `websockets`."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    async def receive_message(self) -> str | bytes | None:
        from websockets.exceptions import ConnectionClosed

        try:
            data: str | bytes = await self._socket.recv()
        except ConnectionClosed:
            return None
        return data

    async def send_message(self, data: str | bytes, /) -> None:
        await self._socket.send(data)

    async def close_socket(self) -> None:
        await self._socket.close()
