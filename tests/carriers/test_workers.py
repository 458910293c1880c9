"""`WorkersCarrier` and `AcceptedWebSocket` in CPython: the JavaScript objects are doubles over real sockets.

What real workerd does with them is in tests/edge/test_workerd.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from voxwire import (
    AuthenticationError,
    CloudflareRealtimeTransportLayer,
    ConfigError,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ProviderError,
    RealtimeAgent,
    RealtimeSession,
    UserError,
)
from voxwire.carriers import workers_link
from voxwire.carriers.base import CarrierClosed, CarrierRequest
from voxwire.carriers.js import Proxies, js_words, on_javascript, to_array, to_bytes, to_object
from voxwire.carriers.workers import AcceptedWebSocket, WorkersCarrier
from voxwire.server import EmbeddedServer
from voxwire.testing import RecordingReceiver, ScriptedServer, carrier_checks
from voxwire.testing.ends import websocket_ends


class Socket:
    """A Worker's WebSocket: the events and methods of JavaScript's, on a connection of `websockets`."""

    def __init__(self, connection: Any) -> None:
        self.binaryType = "blob"
        self.connection = connection
        self.listeners: dict[str, list[Callable[[Any], Any]]] = {}
        self.reading: asyncio.Task[None] | None = None

    def addEventListener(self, name: str, listener: Callable[[Any], Any]) -> None:
        self.listeners.setdefault(name, []).append(listener)

    def removeEventListener(self, name: str, listener: Callable[[Any], Any]) -> None:
        self.listeners[name].remove(listener)

    def dispatch(self, name: str, **fields: Any) -> None:
        for listener in list(self.listeners.get(name, ())):
            listener(SimpleNamespace(**fields))

    def accept(self) -> None:
        assert self.binaryType == "arraybuffer"
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        while True:
            try:
                data = await self.connection.recv()
            except ConnectionClosed:
                break
            self.dispatch("message", data=data)
        if self.connection.close_code == 1006:
            self.dispatch("error", message="Network connection lost.")
        self.dispatch("close", code=self.connection.close_code, reason=self.connection.close_reason)

    @property
    def bufferedAmount(self) -> int:
        return int(self.connection.transport.get_write_buffer_size())

    def send(self, data: str | bytes) -> None:
        protocol = self.connection.protocol
        if protocol.state is not State.OPEN:
            raise RuntimeError("Can't call WebSocket send() after close().")
        (protocol.send_text(data.encode()) if isinstance(data, str) else protocol.send_binary(data))
        self.connection.send_data()

    def close(self, code: int, reason: str) -> None:
        if self.connection.protocol.state is State.OPEN:
            self.connection.protocol.send_close(code, reason)
            self.connection.send_data()


class Response:
    def __init__(self, status: int, body: str = "", socket: Socket | None = None, **headers: str) -> None:
        self.status = status
        self.webSocket = socket
        self.headers = headers
        self._body = body

    async def text(self) -> str:
        return self._body


async def fetch(url: str, options: Mapping[str, Any]) -> Response:
    """What a Worker's `fetch` does with an Upgrade."""
    assert url.startswith("http")
    assert options["redirect"] == "manual"
    headers = dict(options["headers"])
    assert headers.pop("Upgrade") == "websocket"
    assert headers.pop("Connection") == "Upgrade"
    protocols = headers.pop("Sec-WebSocket-Protocol", None)
    try:
        connection = await connect(
            "ws" + url[4:],
            additional_headers=headers,
            subprotocols=[protocols] if protocols else None,
            compression=None,
            max_size=None,
            proxy=None,
            close_timeout=1,
        )
    except InvalidStatus as error:
        answer = error.response
        return Response(
            answer.status_code, bytes(answer.body or b"").decode(), **dict(answer.headers.raw_items())
        )
    return Response(101, socket=Socket(connection))


def make_carrier() -> WorkersCarrier:
    return WorkersCarrier(fetch=fetch)


@pytest.mark.parametrize("check", carrier_checks.CARRIER_CHECKS, ids=lambda check: check.__name__)
async def test_carrier(check: Any) -> None:
    await check(lambda: websocket_ends(make_carrier))


async def test_off_javascript_there_is_a_clear_error() -> None:
    with pytest.raises(UserError, match=r"runs in a JavaScript host only.* OpenAIRealtimeWebSocket"):
        await WorkersCarrier().open(CarrierRequest("ws://127.0.0.1:1/"), RecordingReceiver())


async def test_a_page_is_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "js", SimpleNamespace(fetch=fetch))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="runs in a Cloudflare Worker only"):
        await WorkersCarrier().open(CarrierRequest("ws://127.0.0.1:1/"), RecordingReceiver())


async def test_a_carrier_is_used_once() -> None:
    async with websocket_ends(make_carrier) as ends:
        await ends.carrier.open(ends.request, RecordingReceiver())
        with pytest.raises(UserError, match="used once"):
            await ends.carrier.open(ends.request, RecordingReceiver())
        await ends.carrier.close()


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (Response(401, '{"error": {"message": "Incorrect key", "code": "invalid_api_key"}}'), AuthenticationError,
         "HTTP 401: Incorrect key"),
        (Response(503, "busy"), ProviderError, "HTTP 503"),
        (Response(302, "", Location="https://elsewhere.example/x"), ProviderError,
         "redirected to elsewhere.example:443; connect there directly"),
        (Response(200, "hello"), ProviderError, "HTTP 200"),
        (Response(101, ""), ProviderError, "HTTP 101"),
    ],
)  # fmt: skip
async def test_a_refused_upgrade(response: Response, error: type[Exception], words: str) -> None:
    async def refuse(url: str, options: Any) -> Response:
        assert url == "https://api.example/v1/realtime"
        return response

    carrier = WorkersCarrier(fetch=refuse)
    with pytest.raises(error, match=words):
        await carrier.open(CarrierRequest("wss://api.example/v1/realtime"), RecordingReceiver())


async def test_a_fetch_that_fails() -> None:
    async def fail(url: str, options: Any) -> Response:
        raise RuntimeError("Network connection lost.")

    with pytest.raises(
        ConnectError, match=r"cannot connect to x:80: RuntimeError: Network connection lost\."
    ):
        await WorkersCarrier(fetch=fail).open(CarrierRequest("ws://x/"), RecordingReceiver())


async def test_a_fetch_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is aborted, where the host has something to do that with."""
    import sys

    aborted: list[bool] = []
    controller = SimpleNamespace(signal="signal", abort=lambda: aborted.append(True))
    js = SimpleNamespace(AbortController=SimpleNamespace(new=lambda: controller))
    monkeypatch.setitem(sys.modules, "js", js)  # type: ignore[arg-type]

    async def wait(url: str, options: Any) -> Response:
        assert options["signal"] == "signal"
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(ConnectTimeout, match=r"x:80 did not answer within 0\.01 s"):
        await WorkersCarrier(fetch=wait).open(
            CarrierRequest("ws://x/", open_timeout=0.01), RecordingReceiver()
        )
    assert aborted == [True]


async def test_a_socket_that_cannot_be_accepted() -> None:
    class Broken(Socket):
        def accept(self) -> None:
            raise RuntimeError("accepted already")

    socket = Broken(None)

    async def answer(url: str, options: Any) -> Response:
        return Response(101, socket=socket)

    with pytest.raises(ConnectError, match="cannot be used: RuntimeError: accepted already"):
        await WorkersCarrier(fetch=answer).open(CarrierRequest("ws://x/"), RecordingReceiver())
    assert not any(socket.listeners.values())


@contextlib.asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[tuple[WorkersCarrier, RecordingReceiver, Any]]:
    async with websocket_ends(make_carrier) as ends:
        receiver = RecordingReceiver()
        request = CarrierRequest(ends.request.url, close_timeout=0.5, **settings)
        await ends.carrier.open(request, receiver)
        assert isinstance(ends.carrier, WorkersCarrier)
        yield ends.carrier, receiver, await ends.accept()
        await ends.carrier.close()


@pytest.mark.parametrize("message", ["x" * 101, "ü" * 51])
async def test_a_message_that_is_too_long(message: str) -> None:
    async with opened(max_message_bytes=100) as (_, receiver, peer):
        await peer.send("ü" * 50)
        await peer.send(message)
        how = await receiver.ended()
        assert (how.code, how.clean) == (1009, False)
        assert receiver.messages == ["ü" * 50]
        assert (await peer.closed())[0] == 1009


async def test_what_is_held_back_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_link, "MAX_HELD", 1000)
    async with opened() as (carrier, receiver, peer):
        carrier.pause_reading()
        for _ in range(3):
            await peer.send("y" * 400)
        assert (await peer.closed())[0] == 1009
        carrier.resume_reading()
        how = await receiver.ended()
        assert how.reason == "1200 characters of messages came while reading was paused"
        assert len(receiver.messages) == 2


async def test_what_was_delivered_is_not_held_back_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is always a little behind may stay so for as long as it likes."""
    monkeypatch.setattr(workers_link, "MAX_HELD", 1000)
    async with opened() as (carrier, receiver, peer):
        monkeypatch.setattr(receiver, "message", _takes_one(receiver, carrier))
        carrier.pause_reading()
        for number in range(20):
            await peer.send("y" * 400)
            inbox = carrier._link.inbox
            async with asyncio.timeout(5):
                while inbox.held != 400 * (1 + (number > 0)):
                    await asyncio.sleep(0.001)
                if number:
                    carrier.resume_reading()
                while inbox.held != 400:
                    await asyncio.sleep(0.001)
        assert len(receiver.messages) == 19


def _takes_one(receiver: RecordingReceiver, carrier: WorkersCarrier) -> Callable[[str | bytes], None]:
    take = receiver.message

    def message(data: str | bytes) -> None:
        take(data)
        carrier.pause_reading()

    return message


async def test_a_peer_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_link, "MAX_UNSENT_BYTES", 100_000)
    async with opened() as (carrier, receiver, peer):
        peer.pause()
        for _ in range(1000):
            carrier.send("z" * 50_000)
            if carrier._link._unsent() > 100_000:
                break
        with pytest.raises(ConnectionLost, match="the peer does not read"):
            carrier.send("once more")
        assert (await receiver.ended()).code == 1006
        peer.resume()


async def test_a_peer_that_does_not_say_goodbye() -> None:
    async with opened() as (carrier, receiver, peer):
        peer.pause()
        await carrier.close()
        assert (await receiver.ended()) == CarrierClosed(1006, "", clean=False)
        peer.resume()


async def test_a_send_that_the_runtime_refuses() -> None:
    async with opened() as (carrier, receiver, _):
        carrier._link._socket.connection.protocol.send_close(1000)
        with pytest.raises(ConnectionLost, match=r"Can't call WebSocket send\(\) after close\(\)"):
            carrier.send("late")
        assert (await receiver.ended()).code == 1006


async def test_listeners_are_gone_afterwards() -> None:
    async with opened() as (carrier, receiver, peer):
        socket = carrier._link._socket
        assert all(socket.listeners[name] for name in ("message", "close", "error"))
        await peer.close(1000, "")
        await receiver.ended()
        await asyncio.sleep(0)
        assert not any(socket.listeners.values())


# -- the transport -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["proxy", "ping_interval", "ping_timeout", "connect"])
def test_settings_that_cannot_be_had(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=5 cannot be had in a Cloudflare Worker"):
        CloudflareRealtimeTransportLayer(**{name: 5})


async def test_a_session_on_it() -> None:
    async with EmbeddedServer(
        api_keys=["sk-x"], vad="energy", transcriber="none", responder="rules", synthesizer="tone"
    ) as server:
        transport = CloudflareRealtimeTransportLayer(url=server.url, fetch=fetch)
        async with RealtimeSession(RealtimeAgent("A"), transport=transport, api_key="sk-x") as session:
            said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            session.on("agent_end", lambda event: said.set_result(event.text))
            await session.send_message("Hello.")
            assert "assistant" in await asyncio.wait_for(said, 10)
        with pytest.raises(AuthenticationError, match="Incorrect API key"):
            await transport.connect(api_key="sk-wrong")


async def test_what_it_asks_for() -> None:
    async with ScriptedServer() as server:
        transport = CloudflareRealtimeTransportLayer(url=server.url, fetch=fetch, headers={"X-Trace": "1"})
        connecting = asyncio.ensure_future(
            transport.connect(
                api_key="sk-x", model="gpt-realtime", initial_session_config={"instructions": "Hi."}
            )
        )
        service = await server.accept()
        await service.greet()
        await connecting
        assert service.subprotocols == ("realtime",)
        assert service.headers["authorization"] == "Bearer sk-x"
        assert service.headers["x-trace"] == "1"
        assert "model=gpt-realtime" in service.path
        await transport.close()


# -- what came in ----------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def accepted() -> AsyncIterator[tuple[AcceptedWebSocket, Any]]:
    here: asyncio.Future[AcceptedWebSocket] = asyncio.get_running_loop().create_future()
    over = asyncio.Event()

    async def handle(connection: Any) -> None:
        here.set_result(AcceptedWebSocket(Socket(connection), close_timeout=1))
        await over.wait()

    async with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}/", compression=None, proxy=None) as caller:
            yield await here, caller
            over.set()


async def test_an_accepted_socket() -> None:
    async with accepted() as (socket, caller):
        await caller.send("hello")
        await caller.send(b"\x01\x02")
        assert await socket.receive_message() == "hello"
        assert await socket.receive_message() == b"\x01\x02"
        await socket.send_message("to you")
        await socket.send_message(b"\x03")
        assert [await caller.recv(), await caller.recv()] == ["to you", b"\x03"]
        assert socket.how is None
        await caller.close(1000, "bye")
        assert await socket.receive_message() is None
        assert socket.how == CarrierClosed(1000, "bye")
        with pytest.raises(ConnectionLost, match="bye"):
            await socket.send_message("too late")
        await socket.close_socket()


async def test_an_accepted_socket_that_nobody_reads_in_time() -> None:
    """What waits is held back and delivered whole, in order."""
    async with accepted() as (socket, caller):
        for number in range(1000):
            await caller.send(str(number))
        async with asyncio.timeout(10):
            assert [await socket.receive_message() for _ in range(1000)] == [str(n) for n in range(1000)]
        await socket.close_socket(4000, "enough")
        await caller.wait_closed()
        assert (caller.close_code, caller.close_reason) == (4000, "enough")


# -- JavaScript, where there is none --------------------------------------------------------------


def test_helpers_off_javascript() -> None:
    assert not on_javascript()
    assert to_object({"a": 1}) == {"a": 1}
    assert to_array(b"x") == b"x"
    assert to_bytes(bytearray(b"x")) == b"x"
    assert to_bytes(SimpleNamespace(to_bytes=lambda: b"y")) == b"y"
    assert js_words(ValueError("no")) == "ValueError: no"
    assert js_words(ValueError()) == "ValueError"
    said = Exception("TypeError: bad\n  at stack")
    said.name, said.message = "TypeError", "bad"  # type: ignore[attr-defined]
    assert js_words(said) == "TypeError: bad"


def test_proxies_are_destroyed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    destroyed: list[str] = []

    def create_proxy(function: Any) -> Any:
        return SimpleNamespace(call=function, destroy=lambda: destroyed.append(function.__name__))

    monkeypatch.setattr(sys, "platform", "emscripten")
    monkeypatch.setitem(sys.modules, "pyodide.ffi", SimpleNamespace(create_proxy=create_proxy))  # type: ignore[arg-type]
    target = Socket(None)
    proxies = Proxies()
    proxies.listen(target, {"message": print})
    assert target.listeners["message"][0].call is print  # type: ignore[attr-defined]
    proxies.destroy()
    proxies.destroy()
    assert destroyed == ["print"]
    assert target.listeners["message"] == []
