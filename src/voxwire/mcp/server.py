"""Local MCP servers: programs and addresses whose tools an agent may call."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Self, TypeAlias

from ..errors import ConfigError, NotConnectedError
from ..tools.function import NeedsApproval
from .connection import McpConnection
from .sdk import Peer, open_http, open_stdio

__all__ = ["McpHttpServer", "McpServer", "McpStdioServer", "ToolFilter"]

ToolFilter: TypeAlias = "Iterable[str] | Callable[[str], bool] | None"
"""Which of a server's tools are taken: their names (the server's own), a function of the name, or all."""


class McpServer(ABC):
    """A local MCP server, for `RealtimeAgent(mcp_servers=[...])`.

    A session connects it, lists its tools and closes it. Used as a context manager, or after
    `connect()`, it stays open beyond the sessions that use it, until everyone who connected it closed it.

    Args:
        name: for errors and logs.
        prefix: put before the names of its tools, where two servers have tools of one name.
        tools: which of its tools are taken; names, or a function of the name. None takes all.
        timeout: seconds that one call may take; None takes the session's `tool_timeout`.
        connect_timeout: seconds for connecting and greeting.
        cache_tools: list the tools once per connection of the server, not for every agent that is
            prepared; `forget_tools()` lists them anew.
        needs_approval: a person has to agree before one of its tools runs; or a function that decides.
        required: if it cannot be reached, the session fails to connect. Otherwise the session
            goes on without its tools, and tells of it in an `error` event.

    Raises:
        ConfigError: if a value cannot be used.
    """

    def __init__(
        self,
        *,
        name: str,
        prefix: str = "",
        tools: ToolFilter = None,
        timeout: float | None = 30.0,
        connect_timeout: float = 10.0,
        cache_tools: bool = True,
        needs_approval: NeedsApproval = False,
        required: bool = True,
    ) -> None:
        if not name.strip():
            raise ConfigError(f"an MCP server's name must not be blank, got {name!r}")
        if isinstance(tools, str):
            raise ConfigError(f"tools of MCP server {name!r} must be a list of names, got {tools!r}")
        for what, value in (("timeout", timeout), ("connect_timeout", connect_timeout)):
            if value is not None and not value > 0:
                raise ConfigError(f"{what} of MCP server {name!r} must be more than 0 s, got {value!r}")
        self.name = name
        self.prefix = prefix
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.cache_tools = cache_tools
        self.needs_approval = needs_approval
        self.required = required
        self._wanted = tools if tools is None or callable(tools) else frozenset(tools)
        self._connection: McpConnection | None = None
        self._users = 0
        self._connecting = asyncio.Lock()
        self._listed: tuple[int, list[Mapping[str, Any]]] | None = None

    @abstractmethod
    def _open(self) -> AbstractAsyncContextManager[Peer]:
        """A context manager that connects."""

    @property
    def connected(self) -> bool:
        """Whether somebody has connected it and not closed it."""
        return self._users > 0

    async def connect(self) -> None:
        """Connect, or join those who have; everyone who does closes it once.

        Raises:
            ConnectError: it cannot be reached; names it.
            MissingExtraError: `mcp` is not installed.
        """
        async with self._connecting:
            if self._connection is None:
                connection = McpConnection(self.name, self._open, self.connect_timeout)
                await connection.open()
                self._connection = connection
            self._users += 1

    async def close(self) -> None:
        """Undo one `connect()`; the last one disconnects. Does nothing more than once too often."""
        async with self._connecting:
            self._users = max(self._users - 1, 0)
            if self._users:
                return
            connection, self._connection, self._listed = self._connection, None, None
            if connection is not None:
                await connection.close()

    async def cleanup(self) -> None:
        """The name of `close()` in openai-agents."""
        await self.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()

    async def list_tools(self) -> Sequence[Mapping[str, Any]]:
        """The tools that are taken, as the protocol has them, under the server's own names.

        Raises:
            ConnectError, ConnectionLost: the server is gone.
            NotConnectedError: `connect()` was not called.
        """
        connection = self._connected()
        if not self.cache_tools or self._listed is None or self._listed[0] != connection.openings:
            listed = await connection.request(lambda peer: peer.list_tools(), repeatable=True)
            self._listed = (connection.openings, [tool for tool in listed if self._takes(tool["name"])])
        return list(self._listed[1])

    def forget_tools(self) -> None:
        """List the tools anew the next time somebody asks for them."""
        self._listed = None

    def _takes(self, name: str) -> bool:
        wanted = self._wanted
        if wanted is None:
            return True
        return bool(wanted(name)) if callable(wanted) else name in wanted

    async def call_tool(
        self, tool_name: str, arguments: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Call a tool by the server's own name for it; the result as the protocol has it.

        A dropped connection is opened again first. If it drops during the call, the call is not repeated:
        it may have been carried out.

        Raises:
            ConnectError, ConnectionLost: the server is gone.
            McpToolError: the server refused the call. A tool that failed is a result with `isError`.
            NotConnectedError: `connect()` was not called.
        """
        connection = self._connected()
        return await connection.request(
            lambda peer: peer.call_tool(tool_name, arguments or {}), repeatable=False
        )

    def _connected(self) -> McpConnection:
        if self._connection is None:
            raise NotConnectedError(f"MCP server {self.name!r} is not connected; call connect() first")
        return self._connection

    def __repr__(self) -> str:
        # Neither environment nor headers: they hold keys.
        return f"{type(self).__name__}({self.name!r})"


class McpStdioServer(McpServer):
    """A program that speaks MCP on its standard input and output.

    Args:
        command: the program.
        args: its arguments.
        env: variables beside the few that are inherited (PATH, HOME and the like).
        cwd: where it runs.
        options: those of `McpServer`.
    """

    def __init__(
        self,
        command: str,
        args: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        if isinstance(args, str):
            raise ConfigError(f"args must be a list of strings, got {args!r}")
        super().__init__(name=name if name is not None else Path(command).name, **options)
        self._command = command
        self._args = tuple(args)
        self._env = env
        self._cwd = cwd

    def _open(self) -> AbstractAsyncContextManager[Peer]:
        return open_stdio(self._command, self._args, self._env, self._cwd)


class McpHttpServer(McpServer):
    """A server of MCP over streamable HTTP.

    Args:
        url: its address, as in `https://example.com/mcp`.
        headers: sent with every request, an `Authorization` for example.
        options: those of `McpServer`.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str] | None = None, *, name: str | None = None, **options: Any
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"the url of an MCP server must begin with http:// or https://, got {url!r}")
        super().__init__(name=name if name is not None else url.partition("?")[0], **options)
        self._url = url
        self._headers = dict(headers or {})

    def _open(self) -> AbstractAsyncContextManager[Peer]:
        return open_http(self._url, self._headers)
