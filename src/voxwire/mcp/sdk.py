"""The official `mcp` package, and all we use of it: opening a connection, listing tools, calling one.

What comes back are dicts with the protocol's names, so that nothing else depends on the
package's classes. Source: Model Context Protocol, "Tools" (`tools/list`, `tools/call`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, Self

from ..errors import ConnectionLost, MissingExtraError
from .results import McpToolError

__all__ = ["Peer", "open_http", "open_stdio"]

MAX_PAGES: Final = 100
"""Pages of a tool list that are read; a server that has more to say is cut off."""
READ_SECONDS: Final = 300.0
"""Silence on an HTTP response after which it is given up; calls have limits of their own."""
CONNECT_SECONDS: Final = 10.0


class Peer(Protocol):
    """An open connection to an MCP server."""

    @property
    def lost(self) -> bool:
        """Whether the connection is known to have ended."""
        ...

    async def list_tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools, as the protocol has them."""
        ...

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The result, as the protocol has it.

        Raises:
            ConnectionLost: the connection ended; the call may have been carried out.
            McpToolError: the server refused it.
        """
        ...


@asynccontextmanager
async def open_stdio(
    command: str, args: Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None
) -> AsyncGenerator[Peer, None]:
    """Start a program and speak to it over its standard input and output.

    Raises:
        MissingExtraError: `mcp` is not installed.
        OSError: the program cannot be started.
    """
    _need_mcp()
    from mcp.client.stdio import StdioServerParameters, stdio_client

    parameters = StdioServerParameters(
        command=command, args=list(args), env=None if env is None else dict(env), cwd=cwd
    )
    async with _peer(stdio_client(parameters)) as peer:
        yield peer


@asynccontextmanager
async def open_http(
    url: str, headers: Mapping[str, str], *, follow_redirects: bool = True
) -> AsyncGenerator[Peer, None]:
    """Speak to a server over streamable HTTP.

    Args:
        follow_redirects: within the origin of `url`; others never are.

    Raises:
        MissingExtraError: `mcp` is not installed.
    """
    _need_mcp()
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    timeout = httpx2.Timeout(CONNECT_SECONDS, read=READ_SECONDS)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            httpx2.AsyncClient(
                headers=dict(headers), timeout=timeout, max_redirects=20 if follow_redirects else 0
            )
        )
        streams = streamable_http_client(url, http_client=http)
        yield await stack.enter_async_context(_peer(streams))


def _need_mcp() -> None:
    try:
        import httpx2  # noqa: F401  # pyright: ignore[reportUnusedImport]
        import mcp.client  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingExtraError("An MCP server", "mcp", "mcp>=2") from error


@asynccontextmanager
async def _peer(streams: Any) -> AsyncGenerator[Peer, None]:
    from mcp.client import Client

    watch = _Watch(streams)
    async with Client(watch) as client:
        yield _ClientPeer(client, watch)


class _ClientPeer:
    def __init__(self, client: Any, watch: _Watch) -> None:
        self._client = client
        self._watch = watch

    @property
    def lost(self) -> bool:
        return self._watch.ended

    async def list_tools(self) -> Sequence[Mapping[str, Any]]:
        tools: list[Mapping[str, Any]] = []
        cursor: str | None = None
        for _ in range(MAX_PAGES):
            page = await self._asked(partial(self._client.list_tools, cursor=cursor, cache_mode="refresh"))
            tools += [_plain(tool) for tool in page.tools]
            cursor = page.next_cursor
            if cursor is None:
                break
        return tools

    async def call_tool(self, name: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        return _plain(await self._asked(partial(self._client.call_tool, name, dict(arguments))))

    async def _asked(self, ask: Callable[[], Any]) -> Any:
        """Translate the package's errors into ours."""
        import anyio
        import httpx2
        import mcp_types
        from mcp.shared.exceptions import MCPError

        try:
            return await ask()
        except MCPError as error:
            ended = error.code == mcp_types.CONNECTION_CLOSED
            # How the package tells that an HTTP server has forgotten our session (status 404).
            forgotten = error.code == mcp_types.INVALID_REQUEST and error.message == "Session terminated"
            if ended or forgotten:
                self._watch.ended = True
                raise ConnectionLost(f"the MCP server ended the connection: {error.message}") from error
            raise McpToolError(error.message, code=error.code) from error
        except (
            anyio.ClosedResourceError,
            anyio.BrokenResourceError,
            httpx2.TransportError,
            OSError,
        ) as error:
            self._watch.ended = True
            raise ConnectionLost(f"the connection to the MCP server ended: {type(error).__name__}") from error


def _plain(value: Any) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return plain


class _Watch:
    """The streams of a connection; notices when what arrives has ended.

    The package tells only those who ask afterwards. We want to reconnect before the next call
    then: a call that was never sent can be made without fear of making it twice.
    """

    def __init__(self, streams: Any) -> None:
        self._streams = streams
        self.ended = False

    async def __aenter__(self) -> tuple[Any, Any]:
        reading, writing = await self._streams.__aenter__()
        return _WatchedReader(reading, self), writing

    async def __aexit__(self, *exc: object) -> Any:
        return await self._streams.__aexit__(*exc)


class _WatchedReader:
    def __init__(self, stream: Any, watch: _Watch) -> None:
        self._stream = stream
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # `last_context` and what else the package looks for

    async def receive(self) -> Any:
        try:
            return await self._stream.receive()
        except BaseException:
            self._watch.ended = True
            raise

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except BaseException:
            self._watch.ended = True
            raise

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> Any:
        return await self._stream.__aexit__(*exc)
