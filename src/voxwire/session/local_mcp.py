"""The local MCP servers of a session: connected for the agents that have them, closed with the session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from ..agent import RealtimeAgent
from ..errors import VoxwireError
from ..mcp.owner import ContextTask
from ..mcp.tools import function_tools, server_name
from ..tools.function import FunctionTool

__all__ = ["LocalMcp"]

CLOSE_SECONDS: Final = 15.0
"""For all servers together to end; they are closed side by side."""


@asynccontextmanager
async def _connected(server: Any) -> AsyncGenerator[Any, None]:
    """A connected server; one of openai-agents that was connected before stays its owner's."""
    if getattr(server, "session", None) is not None:
        yield server
        return
    await server.connect()
    try:
        yield server
    finally:
        await server.cleanup()


class LocalMcp:
    """What a session does with `mcp_servers`.

    Servers are entered and left by tasks of their own: those of openai-agents insist on one task for both.

    Args:
        report: told of a server that is not required and could not be used.
    """

    def __init__(self, report: Callable[[Exception], None]) -> None:
        self._report = report
        self._known: dict[RealtimeAgent, dict[str, list[FunctionTool[..., Any]]]] = {}
        self._held: dict[int, ContextTask[Any]] = {}
        self._entering: dict[int, asyncio.Lock] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    async def tools(self, agent: RealtimeAgent) -> dict[str, list[FunctionTool[..., Any]]]:
        """Connect the agent's servers where they are not, and list their tools, side by side.

        Returns:
            The tools by the server's name; two servers of one name are told apart by a number.

        Raises:
            ConnectError: a server that is required cannot be reached; names it.
            UserError: it offers a tool that cannot be used.
            Whatever servers of other packages raise.
        """
        servers = agent.all_mcp_servers()
        found = await asyncio.gather(*(self._tools_of(server) for server in servers), return_exceptions=True)
        tools: dict[str, list[FunctionTool[..., Any]]] = {}
        for server, result in zip(servers, found, strict=True):
            name = server_name(server)
            if isinstance(result, BaseException):
                self._failed(server, name, result)
                continue
            number = sum(key == name or key.startswith(f"{name} (") for key in tools) + 1
            tools[name if number == 1 else f"{name} ({number})"] = result
        self._known[agent] = tools
        return tools

    def known(self, agent: RealtimeAgent) -> dict[str, list[FunctionTool[..., Any]]]:
        """The tools as they were listed last, without asking."""
        return self._known.get(agent, {})

    def _failed(self, server: Any, name: str, error: BaseException) -> None:
        if not isinstance(error, VoxwireError):
            error.add_note(f"from MCP server {name!r}")
        if getattr(server, "required", True) or not isinstance(error, Exception):
            raise error
        self._report(error)

    async def _tools_of(self, server: Any) -> list[FunctionTool[..., Any]]:
        await self._hold(server)
        return function_tools(server, await server.list_tools())

    async def _hold(self, server: Any) -> None:
        key = id(server)
        async with self._entering.setdefault(key, asyncio.Lock()):
            held = self._held.get(key)
            if held is not None and not held.ended:
                return
            # One that is being let go of could look as if it were somebody else's.
            await self.wait_stopped()
            task = ContextTask(_connected(server), f"voxwire session mcp {server_name(server)}")
            self._held[key] = task  # so that stop() finds it, too
            try:
                await task.entered(None)  # servers have limits of their own
            except BaseException:
                if self._held.get(key) is task:
                    del self._held[key]
                raise

    def stop(self) -> None:
        """The session is over: let go of the servers, which takes a moment; see `wait_stopped`."""
        self._known.clear()
        held, self._held = list(self._held.values()), {}
        if held:
            leaving = asyncio.get_running_loop().create_task(_leave(held), name="voxwire session mcp end")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def wait_stopped(self) -> None:
        """Wait until the servers are closed."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=CLOSE_SECONDS)


async def _leave(held: list[ContextTask[Any]]) -> None:
    await asyncio.gather(*(task.close() for task in held))
