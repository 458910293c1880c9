"""A connection to an MCP server that comes back when it has dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from ..errors import ConnectError, ConnectionLost, ConnectTimeout, VoxwireError
from .owner import ContextTask
from .sdk import Peer

__all__ = ["McpConnection"]

R = TypeVar("R")


class McpConnection:
    """Opens on request, and again when a request finds it gone.

    Args:
        name: of the server, for errors.
        opener: makes the context manager of a new connection.
        connect_timeout: seconds for connecting and greeting.
    """

    def __init__(
        self, name: str, opener: Callable[[], AbstractAsyncContextManager[Peer]], connect_timeout: float
    ) -> None:
        self._name = name
        self._opener = opener
        self._timeout = connect_timeout
        self._task: ContextTask[Peer] | None = None
        self._peer: Peer | None = None
        self._changing = asyncio.Lock()
        self._closed = False
        self.openings = 0
        """How often it was opened."""

    async def open(self) -> None:
        """Connect, unless it is connected.

        Raises:
            ConnectError: the server cannot be reached or does not speak MCP; names it.
            ConnectTimeout: it took too long.
            MissingExtraError: `mcp` is not installed.
        """
        await self._current()

    async def close(self) -> None:
        """Disconnect for good; idempotent."""
        self._closed = True
        async with self._changing:
            await self._drop()

    async def request(self, ask: Callable[[Peer], Awaitable[R]], *, repeatable: bool) -> R:
        """Ask the server something.

        A connection that is known to be gone is opened again first. If it goes while the answer is
        awaited, a repeatable request is made once more.

        Raises:
            ConnectError: it could not be opened again.
            ConnectionLost: it ended before the answer came.
            Whatever `ask` raises.
        """
        task = await self._current()
        try:
            return await task.run(ask)
        except ConnectionLost as error:
            if not repeatable:
                words = (
                    f"MCP server {self._name!r}: {error}. It is not known whether the call was carried out."
                )
                raise ConnectionLost(words) from error
        async with self._changing:
            if self._task is task:
                await self._drop()
        return await (await self._current()).run(ask)

    async def _current(self) -> ContextTask[Peer]:
        async with self._changing:
            if self._closed:
                raise ConnectionLost(f"MCP server {self._name!r} was closed")
            if self._task is not None and self._peer is not None:
                if not self._task.ended and not self._peer.lost:
                    return self._task
                await self._drop()
            task = ContextTask(self._opener(), f"voxwire mcp {self._name}")
            try:
                self._peer = await task.entered(self._timeout)
            except TimeoutError:
                raise ConnectTimeout(
                    f"MCP server {self._name!r} did not answer within {self._timeout:g} s"
                ) from None
            except VoxwireError:
                raise
            except Exception as error:
                raise ConnectError(f"MCP server {self._name!r} could not be reached: {error}") from error
            self._task = task
            self.openings += 1
            return task

    async def _drop(self) -> None:
        task, self._task, self._peer = self._task, None, None
        if task is not None:
            await task.close()
