"""The shapes of sockets, each driven by the real thing where it is installed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire.errors import UserError
from voxwire.transports.telephony.sockets import PhoneSocket, phone_socket


class Asgi:
    """An ASGI server's side of one WebSocket, for a real Starlette `WebSocket`."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.inbox.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> dict[str, Any]:
        return await self.inbox.get()

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))


def starlette(asgi: Asgi) -> Any:
    from starlette.websockets import WebSocket

    return WebSocket({"type": "websocket", "path": "/", "headers": []}, asgi.receive, asgi.send)


@pytest.mark.needs_module("starlette")
async def test_starlette_is_accepted_if_it_was_not() -> None:
    asgi = Asgi()
    socket = phone_socket(starlette(asgi))
    for message in ({"text": "hello"}, {"bytes": b"\1\2"}, {"text": None, "bytes": b"\3"}):
        asgi.inbox.put_nowait({"type": "websocket.receive", **message})
    asgi.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    assert [await socket.receive_message() for _ in range(4)] == ["hello", b"\1\2", b"\3", None]
    assert [message["type"] for message in asgi.sent] == ["websocket.accept"]


@pytest.mark.needs_module("starlette")
async def test_starlette_sends_and_closes_once() -> None:
    asgi = Asgi()
    websocket = starlette(asgi)
    await websocket.accept()
    socket = phone_socket(websocket)
    await socket.send_message("text")
    await socket.send_message(b"bytes")
    await socket.close_socket()
    await socket.close_socket()
    kinds = [(message["type"], message.get("text"), message.get("bytes")) for message in asgi.sent]
    assert kinds == [
        ("websocket.accept", None, None),
        ("websocket.send", "text", None),
        ("websocket.send", None, b"bytes"),
        ("websocket.close", None, None),
    ]


async def test_websockets_connections() -> None:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve

    got: list[Any] = []
    done = asyncio.Event()

    async def handle(connection: Any) -> None:
        socket = phone_socket(connection)
        while (message := await socket.receive_message()) is not None:
            got.append(message)
            await socket.send_message(message)
        await socket.close_socket()
        done.set()

    async with serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            for message in ("text", b"bytes"):
                await client.send(message)
                assert await client.recv() == message
        await asyncio.wait_for(done.wait(), 5)
    assert got == ["text", b"bytes"]


async def test_functions() -> None:
    sent: list[Any] = []
    inbox: list[Any] = ["a", b"b", None]
    closed: list[bool] = []

    async def receive() -> Any:
        return inbox.pop(0)

    async def send(data: Any) -> None:
        sent.append(data)

    async def close() -> None:
        closed.append(True)

    for functions in ((receive, send), (receive, send, close)):
        socket = phone_socket(functions)
        await socket.send_message("x")
        await socket.close_socket()
    assert [await socket.receive_message() for _ in range(3)] == ["a", b"b", None]
    assert (sent, closed) == (["x", "x"], [True])
    assert isinstance(socket, PhoneSocket)
    assert phone_socket(socket) is socket


async def test_functions_of_an_asgi_application() -> None:
    asgi = Asgi()
    for message in ({"text": "a"}, {"bytes": b"b"}, {"text": None, "bytes": b"c"}):
        asgi.inbox.put_nowait({"type": "websocket.receive", **message})
    asgi.inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
    socket = phone_socket((asgi.receive, asgi.send))
    assert [await socket.receive_message() for _ in range(4)] == ["a", b"b", b"c", None]
    await socket.send_message("x")
    await socket.send_message(b"y")
    await socket.close_socket()
    await socket.close_socket()
    assert asgi.sent == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "x"},
        {"type": "websocket.send", "bytes": b"y"},
        {"type": "websocket.close", "code": 1000},
    ]

    async def broken(_message: Any) -> None:
        raise RuntimeError("closed already")

    asgi = Asgi()
    asgi.inbox.get_nowait()
    asgi.inbox.put_nowait({"type": "websocket.disconnect"})
    gone = phone_socket((asgi.receive, broken))
    assert await gone.receive_message() is None
    await gone.close_socket()


@pytest.mark.parametrize("thing", [None, 3, "socket", object(), (), (1, 2), (print,), [print, print]])
def test_what_is_no_socket(thing: Any) -> None:
    with pytest.raises(UserError, match="no WebSocket that is known"):
        phone_socket(thing)
