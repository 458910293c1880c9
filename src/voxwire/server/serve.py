"""The embedded server running inside the current event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..errors import ConfigError, MissingExtraError, UserError
from .app import create_app
from .options import ServerOptions
from .service import RealtimeService

if TYPE_CHECKING:
    import uvicorn

__all__ = ["EmbeddedServer"]

STOP_SECONDS = 5
"""How long sessions may take to say goodbye."""


class EmbeddedServer:
    """A Realtime server on a socket of its own, as an async context manager.

        async with EmbeddedServer(port=0, api_keys=["sk-test"]) as server:
            print(server.url)

    It takes no signals and leaves nothing running when the block ends.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        options: the options, or
        settings: the fields of `ServerOptions`.

    Raises:
        ConfigError: an option cannot be used.
    """

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, options: ServerOptions | None = None, **settings: Any
    ) -> None:
        if options is not None and settings:
            raise ConfigError(f"options and {', '.join(settings)} were both given; put them into the options")
        self.options = options if options is not None else ServerOptions(**settings)
        self.host = host
        self._wanted_port = port
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._service: RealtimeService | None = None

    # -- addresses --------------------------------------------------------------------------

    @property
    def _authority(self) -> str:
        if self._task is None:
            raise UserError("the server does not run; use it inside 'async with'")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The WebSocket URL, without a model: `ws://HOST:PORT/v1/realtime`."""
        return f"ws://{self._authority}/v1/realtime"

    @property
    def http_url(self) -> str:
        """The base of the HTTP endpoints: `http://HOST:PORT/v1`."""
        return f"http://{self._authority}/v1"

    @property
    def sip_address(self) -> str:
        """`HOST:PORT` of the phone line."""
        if self.service.phone is None:
            raise UserError("the server has no phone line; set sip='127.0.0.1:5060'")
        return self.service.phone.address

    @property
    def sip_host(self) -> str:
        """The local address of the phone line, without a port."""
        return self.sip_address.rpartition(":")[0].strip("[]")

    @property
    def api_key(self) -> str:
        """A key that opens it; any will do if it is open."""
        return self.options.api_keys[0] if self.options.api_keys else "sk-local"

    @property
    def service(self) -> RealtimeService:
        """What runs behind the socket."""
        if self._service is None:
            raise UserError("the server does not run; use it inside 'async with'")
        return self._service

    # -- life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise UserError("the server runs already")
        app = create_app(self.options)
        self._service = app.state.voxwire
        try:
            self.service.prepare()
            uvicorn_server = _make_server(app, self.options)
            listener = self._bind()
        except BaseException:
            await self.service.close()
            self._service = None
            raise
        self._server = uvicorn_server
        self._task = asyncio.create_task(uvicorn_server.serve([listener]), name="voxwire-server")
        try:
            await _started(uvicorn_server, self._task)
            await self.service.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close sessions (code 1001), then the socket; idempotent.

        Cancelled, it waits for no goodbye any more, but still returns only when nothing is open.
        """
        task, self._task = self._task, None
        server, self._server = self._server, None
        service, self._service = self._service, None
        if task is None or server is None or service is None:
            return
        service.shut_down()
        try:
            await service.drain(STOP_SECONDS)
        finally:
            # In a task of its own: cancelled a second time, it still gets to its end.
            await asyncio.shield(asyncio.create_task(_end(server, task, service), name="voxwire-server-end"))

    async def wait_closed(self) -> None:
        """Until it has stopped."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self._wanted_port), family=family, backlog=1024)
        except OSError as exc:
            raise UserError(f"cannot listen on {self.host}:{self._wanted_port}: {exc}") from exc
        self.port = listener.getsockname()[1]
        return listener


async def _started(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    while not server.started:
        if task.done():
            await task
            raise UserError("the server ended before it had started; see its log")
        await asyncio.sleep(0.005)


async def _end(server: uvicorn.Server, task: asyncio.Task[None], service: RealtimeService) -> None:
    with contextlib.suppress(Exception):  # raised again below
        await _started(server, task)  # what has not begun to listen closes nothing
    server.should_exit = True
    try:
        await task
    finally:
        await service.close()


def _make_server(app: Any, options: ServerOptions) -> uvicorn.Server:
    try:
        import uvicorn
        from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
    except ImportError as exc:
        raise MissingExtraError("The embedded server", "server", "uvicorn") from exc

    class Quiet(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # signals belong to the application

    class Refusing(WebSocketsSansIOProtocol):
        async def send(self, message: Any) -> None:
            await super().send(message)
            # uvicorn 0.54 logs an error for every handshake that was answered with another status than 101, as if
            # it had not been answered at all.
            self.handshake_complete = self.handshake_complete or self.close_sent

    config = uvicorn.Config(
        app,
        ws=Refusing,
        # The engine refuses what is longer than the limit; twice as much is not read at all.
        ws_max_size=2 * options.limits.message_bytes,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return Quiet(config)
