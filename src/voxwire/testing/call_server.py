"""A scripted Realtime service that is called over WebRTC: SDP over HTTP, events on a real data channel.

async with ScriptedCallServer() as server:
    connecting = asyncio.create_task(client.connect(url=server.url, api_key="ek_test"))
    service = await server.accept()
    await service.greet()
    await connecting
    service.send_audio(pcm)
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from ..errors import ConnectError, ConnectionLost, MissingExtraError, UserError
from ..rtc import Backend, RtcOptions, peer_factory
from ..rtc.base import PeerState
from .server import ScriptedConnection, ScriptedServer

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["ScriptedCall", "ScriptedCallServer"]

PATH = "/v1/realtime/calls"
MAX_HEARD_BYTES = 60 * 48_000
"""Audio of the client that is kept, one minute; older audio is dropped."""


class ScriptedCall(ScriptedConnection):
    """One caller, seen from the service; the same as over WebSocket, and audio.

    There are no close codes here: `close` says goodbye, and `close_code` is 1000 once the caller is gone.
    """

    def __init__(self, peer: _Peer, request: Any, *, timeout: float, keep: int) -> None:
        self._peer = peer
        peer.request = request
        super().__init__(cast("Any", peer), timeout=timeout, keep=keep)

    @property
    def heard(self) -> bytes:
        """What the caller said, 24 kHz PCM16: the last minute of it, silence included."""
        return bytes(self._peer.heard)

    def send_audio(self, pcm: bytes) -> None:
        """Play this to the caller, in real time, behind what is being played; 24 kHz PCM16."""
        self._peer.rtc.send_audio(pcm)

    def clear_audio(self) -> None:
        """Stop playing."""
        self._peer.rtc.clear_audio()

    def drop(self) -> None:
        """Not for calls.

        Raises:
            UserError: always; put a `FaultyPath` between the two to cut them off.
        """
        raise UserError("a call cannot vanish by itself; put a FaultyPath between the two and cut it")

    def pause_reading(self) -> None:
        """Not for calls.

        Raises:
            UserError: always; a data channel cannot be made to wait.
        """
        raise UserError("a data channel cannot be made to wait")

    def resume_reading(self) -> None:
        """Nothing is ever paused."""


class ScriptedCallServer(ScriptedServer):
    """Takes calls on a free port of the loopback interface while in its `async with` block.

    Args:
        backend: as of `OpenAIRealtimeWebRTC`.
        settings: `timeout` and `keep`, as of `ScriptedServer`.

    Raises:
        MissingExtraError: on entering, without the extras `server` and `webrtc`.
    """

    def __init__(self, *, backend: Backend | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._backend: Backend | None = backend
        self._listener: socket.socket | None = None
        self._http: uvicorn.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where offers are posted, `http://127.0.0.1:PORT/v1/realtime/calls`."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    @property
    def port(self) -> int:
        """The port, valid inside the `async with` block."""
        if self._listener is None:
            raise UserError("the scripted server is not running; use it with `async with`")
        return int(self._listener.getsockname()[1])

    async def __aenter__(self) -> Self:
        peer_factory(self._backend)  # what is missing is told here, not to a caller
        http = _http_server(self._answer)
        self._http, self._listener = http, socket.create_server(("127.0.0.1", 0))
        self._serving = asyncio.create_task(http.serve([self._listener]), name="voxwire-scripted-calls")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        closing = asyncio.create_task(self._close(), name="voxwire-scripted-calls-end")
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing  # it takes a few seconds at most, and what it would leave open stays open
            raise

    async def _close(self) -> None:
        self._released.set()
        try:
            if self._http is not None and self._serving is not None:
                self._http.should_exit = True
                await self._serving
        finally:
            for connection in self.connections:
                connection.release()
            await asyncio.gather(*(connection.close() for connection in self.connections))
            await asyncio.gather(*self._tasks)

    async def accept(self, timeout: float | None = None) -> ScriptedCall:
        """The next call, in the order of their offers; its data channel may open a moment later.

        Raises:
            AssertionError: if none comes in time.
        """
        return cast("ScriptedCall", await super().accept(timeout))

    async def _answer(self, request: Request) -> Response:
        from starlette.responses import Response

        if self._stalls:
            self._stalls -= 1
            await self._released.wait()
            return Response("the scripted server has ended", 503)
        if self._refusals:
            status, body, headers = self._refusals.popleft()
            return Response(body, status, headers)
        peer = _Peer(peer_factory(self._backend))
        try:
            answer = await peer.rtc.answer(await _offer(request))
        except (ConnectError, ValueError) as error:
            await peer.close()
            return Response(f"this offer cannot be answered: {error}", 400)
        except BaseException:
            await peer.close()
            raise
        call_id = f"rtc_{len(self.connections) + 1}"
        # What a connection wants to know of its request, in the words of `websockets`.
        asked = SimpleNamespace(
            path=str(request.url).partition(str(request.url.netloc))[2],
            headers=SimpleNamespace(raw_items=request.headers.items),
        )
        call = ScriptedCall(peer, asked, timeout=self._timeout, keep=self._keep)
        self.connections.append(call)
        task = asyncio.create_task(call.read(), name=f"voxwire-scripted-{call_id}")
        self._tasks.add(task)
        self._waiting.put_nowait(call)
        return Response(answer, 201, {"Location": f"{PATH}/{call_id}"}, "application/sdp")


class _Peer:
    """A peer connection with the methods of a server-side WebSocket that `ScriptedConnection` uses."""

    def __init__(self, make: Any) -> None:
        self.rtc = make(RtcOptions(loopback=True), self)
        self.request: Any = None
        self.heard = bytearray()
        self.protocol = SimpleNamespace(close_code=None, close_reason=None)
        self._opened = asyncio.Event()
        self._texts: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    # -- what the peer tells --------------------------------------------------------------

    def state(self, state: PeerState, reason: str, /) -> None:
        if state in ("failed", "closed"):
            self._gone(1000 if state == "closed" else 1006, reason)

    def channel(self, state: Literal["open", "closed"], /) -> None:
        if state == "open":
            self._opened.set()
        else:
            self._gone(1000, "the data channel closed")

    def message(self, data: str | bytes, /) -> None:
        self._texts.put_nowait(data)

    def audio(self, pcm: bytes, /) -> None:
        self.heard += pcm
        del self.heard[:-MAX_HEARD_BYTES]

    def _gone(self, code: int, reason: str) -> None:
        if self.protocol.close_code is None:
            self.protocol.close_code, self.protocol.close_reason = code, reason
            self._opened.set()
            self._texts.put_nowait(None)

    # -- as a WebSocket -------------------------------------------------------------------

    async def send(self, text: str) -> None:
        await self._opened.wait()
        self.rtc.send(text)
        await self.rtc.drain()

    async def close(self, _code: int = 1000, _reason: str = "") -> None:
        with contextlib.suppress(ConnectionLost):
            await self.rtc.close()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (text := await self._texts.get()) is not None:
            yield text
        await self.rtc.close()


async def _offer(request: Request) -> str:
    """The SDP: the whole body, or a part of a form (Realtime API reference, "Create call").

    Raises:
        ValueError: there is none.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form() as form:
            if "sdp" not in form:
                raise ValueError("the form has no part 'sdp'")
            return str(form["sdp"])
    return (await request.body()).decode()


def _http_server(answer: Any) -> uvicorn.Server:
    try:
        import uvicorn
        from starlette.applications import Starlette
        from starlette.routing import Route
    except ImportError:
        raise MissingExtraError("ScriptedCallServer", "server", "starlette and uvicorn") from None

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # signals belong to the test

    app = Starlette(routes=[Route(PATH, answer, methods=["POST"])])
    return Quiet(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
