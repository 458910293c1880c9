"""A scripted Realtime service on a real loopback WebSocket.

The test plays the service: it reads what the client sends, answers, misbehaves.

    async with ScriptedServer() as server:
        connecting = asyncio.create_task(client.connect(url=server.url, api_key="test"))
        service = await server.accept()
        await service.greet()
        await connecting
        await service.respond(text="Hello.", audio=bytes(48_000))
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self, cast

from ..errors import MissingExtraError, UserError
from .responses import response_events

if TYPE_CHECKING:
    from websockets.asyncio.server import Server, ServerConnection
    from websockets.http11 import Request, Response

__all__ = ["ScriptedConnection", "ScriptedServer", "UnexpectedEventError"]

Matcher = Mapping[str, Any] | Callable[[dict[str, Any]], object]

_SHOWN = 160


class UnexpectedEventError(AssertionError):
    """The client sent something else than the test expected, or nothing in time.

    Attributes:
        received: everything the client had sent on this connection.
    """

    def __init__(self, message: str, received: tuple[dict[str, Any], ...]) -> None:
        listing = "\n".join(f"  {index}: {_brief(event)}" for index, event in enumerate(received))
        super().__init__(f"{message}\nreceived so far:\n{listing or '  nothing'}")
        self.received = received


class ScriptedConnection:
    """One client, seen from the service.

    Attributes:
        headers: of the upgrade request, names in lower case.
        path: path and query of the request.
        subprotocols: as the client offered them.
        ignored: event types that `expect` passes over; `{"input_audio_buffer.append"}` is handy
            while audio streams.
    """

    def __init__(self, socket: ServerConnection, *, timeout: float, keep: int) -> None:
        request = socket.request
        self.path = request.path if request is not None else ""
        headers = request.headers.raw_items() if request is not None else ()
        self.headers = {name.lower(): value for name, value in headers}
        offered = self.headers.get("sec-websocket-protocol", "")
        self.subprotocols = tuple(name.strip() for name in offered.split(",") if name.strip())
        self.ignored: set[str] = set()
        self.closed = asyncio.Event()
        self._socket = socket
        self._timeout = timeout
        self._received: deque[dict[str, Any]] = deque(maxlen=keep)
        self._texts: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue(keep)
        self._session: dict[str, Any] = {}
        self._count = 0
        self._released = False

    @property
    def received(self) -> tuple[dict[str, Any], ...]:
        """What the client sent, oldest first; the newest `keep` of it."""
        return tuple(self._received)

    @property
    def close_code(self) -> int | None:
        """The client's close code, once it is gone; 1006 if it said nothing."""
        return self._socket.protocol.close_code

    @property
    def close_reason(self) -> str | None:
        """The client's closing words, once it is gone."""
        return self._socket.protocol.close_reason

    async def expect(
        self, type: str, matcher: Matcher | None = None, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """The client's next event, which must be of this type.

        Args:
            matcher: fields (nested ones, too) the event must have, or a predicate.
            timeout: seconds; the server's `timeout` if None.

        Raises:
            UnexpectedEventError: if another event comes, none comes, or the client leaves.
        """
        limit = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                event = await self._next()
        except TimeoutError:
            raise UnexpectedEventError(f"no {type!r} within {limit:g} s", self.received) from None
        if event is None:
            raise UnexpectedEventError(
                f"the client left (code {self.close_code}) before {type!r}", self.received
            )
        if event.get("type") != type:
            raise UnexpectedEventError(f"expected {type!r}, got {_brief(event)}", self.received)
        if not _matches(event, matcher):
            raise UnexpectedEventError(f"{type!r} is not as expected: {_brief(event)}", self.received)
        return event

    async def send(self, event: Mapping[str, Any]) -> None:
        """Send a server event; an `event_id` is added if it has none."""
        self._count += 1
        await self._socket.send(json.dumps({"event_id": f"event_{self._count}", **event}))

    async def send_text(self, text: str) -> None:
        """Send a text message as it is, valid JSON or not."""
        await self._socket.send(text)

    async def greet(self, session: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send `session.created`, wait for the first `session.update` and confirm it.

        Returns:
            The client's `session.update`.
        """
        self._session = {"type": "realtime", "object": "realtime.session", "id": "sess_1", **(session or {})}
        await self.send({"type": "session.created", "session": self._session})
        return await self.confirm_update()

    async def confirm_update(self) -> dict[str, Any]:
        """Expect a `session.update` and echo the merged session; returns the update."""
        update = await self.expect("session.update")
        self._session = _merged(self._session, update.get("session") or {})
        await self.send({"type": "session.updated", "session": self._session})
        return update

    async def respond(
        self,
        *,
        audio: bytes | None = None,
        text: str | None = None,
        call: tuple[str, str] | None = None,
        response_id: str = "resp_1",
        item_id: str = "item_1",
        **more: Any,
    ) -> None:
        """Send one whole response; the arguments are those of `response_events`."""
        for event in response_events(
            audio=audio, text=text, call=call, response_id=response_id, item_id=item_id, **more
        ):
            await self.send(event)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close as a service does, with a code, and wait for the client's answer."""
        await self._socket.close(code, reason)

    def drop(self) -> None:
        """Vanish: a TCP reset, no goodbye."""
        transport = self._socket.transport
        with contextlib.suppress(OSError, AttributeError):
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()

    def pause_reading(self) -> None:
        """Leave what the client sends in the network, until it feels the backpressure."""
        self._socket.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._socket.transport.resume_reading()

    def release(self) -> None:
        """Let nobody wait any more for room for what the client sends: the server ends. The oldest may be lost."""
        self._released = True
        with contextlib.suppress(asyncio.QueueEmpty):
            self._texts.get_nowait()

    async def read(self) -> None:
        """Take in what the client sends until it leaves; the server runs this."""
        try:
            async for text in self._socket:
                event = _event(text)
                self._received.append(event)
                if not self._released:
                    await self._texts.put(event)  # a test that expects nothing stops reading here
        except Exception as error:
            from websockets.exceptions import ConnectionClosed

            if not isinstance(error, ConnectionClosed):
                raise
        finally:
            self.closed.set()
            with contextlib.suppress(asyncio.QueueFull):
                self._texts.put_nowait(None)

    async def _next(self) -> dict[str, Any] | None:
        while True:
            if self.closed.is_set() and self._texts.empty():
                return None
            event = await self._texts.get()
            if event is None or event.get("type") not in self.ignored:
                return event


class ScriptedServer:
    """Listens on a free port of the loopback interface while in its `async with` block.

    Args:
        timeout: seconds `accept` and `expect` wait.
        subprotocols: what the server would choose, in order of preference.
        keep: events kept per connection; a client that sends more unexpected ones has to wait.
        max_message_bytes: a longer message of the client closes its connection.
    """

    def __init__(
        self,
        *,
        timeout: float = 5.0,
        subprotocols: Collection[str] = ("realtime",),
        keep: int = 10_000,
        max_message_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._timeout = timeout
        self._subprotocols = tuple(subprotocols)
        self._keep = keep
        self._max_bytes = max_message_bytes
        self._refusals: deque[tuple[int, bytes, dict[str, str]]] = deque()
        self._stalls = 0
        self._released = asyncio.Event()
        self._waiting: asyncio.Queue[ScriptedConnection] = asyncio.Queue()
        self._server: Server | None = None
        self.connections: list[ScriptedConnection] = []

    @property
    def url(self) -> str:
        """Where the server listens, `ws://127.0.0.1:PORT/v1/realtime`."""
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def port(self) -> int:
        """The port, valid inside the `async with` block."""
        if self._server is None:
            raise UserError("the scripted server is not running; use it with `async with`")
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def __aenter__(self) -> Self:
        try:
            from websockets.asyncio.server import serve
        except ImportError:
            raise MissingExtraError("ScriptedServer", "server", "websockets") from None
        self._server = await serve(
            self._handle,
            "127.0.0.1",
            0,
            compression=None,
            process_request=self._admit,
            select_subprotocol=self._choose,
            max_size=self._max_bytes,
            close_timeout=1,
            ping_interval=None,
        )
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._released.set()
        if self._server is not None:
            self._server.close()
            for connection in self.connections:
                connection.release()
            await self._server.wait_closed()

    async def accept(self, timeout: float | None = None) -> ScriptedConnection:
        """The next connection, in the order they came.

        Raises:
            AssertionError: if none comes in time.
        """
        limit = self._timeout if timeout is None else timeout
        try:
            async with asyncio.timeout(limit):
                return await self._waiting.get()
        except TimeoutError:
            raise AssertionError(f"nobody connected to {self.url} within {limit:g} s") from None

    def refuse(
        self,
        status: int,
        body: Mapping[str, Any] | str | bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next upgrade request with an HTTP status instead; calls add up.

        Args:
            body: a mapping is sent as JSON, for example `{"error": {"message": "..."}}`.
        """
        if isinstance(body, Mapping):
            body = json.dumps(body)
        data = body.encode() if isinstance(body, str) else body
        self._refusals.append((status, data, dict(headers or {})))

    def stall(self) -> None:
        """Leave the next upgrade request without any answer."""
        self._stalls += 1

    async def _admit(self, connection: ServerConnection, _request: Request) -> Response | None:
        if self._stalls:
            self._stalls -= 1
            await self._released.wait()
            return None
        if not self._refusals:
            return None
        status, body, headers = self._refusals.popleft()
        response = connection.respond(HTTPStatus(status), body.decode("utf-8", "replace"))
        for name, value in headers.items():
            response.headers[name] = value
        return response

    def _choose(self, _connection: ServerConnection, offered: Collection[str]) -> Any:
        return next((name for name in self._subprotocols if name in offered), None)

    async def _handle(self, socket: ServerConnection) -> None:
        connection = ScriptedConnection(socket, timeout=self._timeout, keep=self._keep)
        self.connections.append(connection)
        self._waiting.put_nowait(connection)
        await connection.read()


def _event(text: str | bytes) -> dict[str, Any]:
    try:
        value: object = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return cast("dict[str, Any]", value)
    return {"type": "(not a wire event)", "text": text}


def _brief(event: Mapping[str, Any]) -> str:
    text = json.dumps(event, default=repr)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _matches(event: dict[str, Any], matcher: Matcher | None) -> bool:
    if matcher is None:
        return True
    if callable(matcher):
        return bool(matcher(event))
    return _contains(event, matcher)


def _contains(value: object, wanted: object) -> bool:
    if isinstance(wanted, Mapping):
        fields = cast("Mapping[str, Any]", wanted)
        if not isinstance(value, Mapping):
            return False
        have = cast("Mapping[str, Any]", value)
        return all(key in have and _contains(have[key], field) for key, field in fields.items())
    return value == wanted


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for key, value in new.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            both = cast("Mapping[str, Any]", before), cast("Mapping[str, Any]", value)
            result[key] = _merged(*both)
        else:
            result[key] = value
    return result
