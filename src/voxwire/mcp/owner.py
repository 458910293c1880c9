"""A task of its own for a context manager.

MCP clients are built on anyio's task groups, which must be left by the task that entered them. Whoever
connects, calls and closes from different tasks lets one task do the entering and the leaving.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Generic, TypeVar, cast

from ..errors import ConnectionLost

__all__ = ["ContextTask", "root_cause"]

T = TypeVar("T")
R = TypeVar("R")

LEAVE_GRACE: Final = 10.0
"""Seconds to leave the context before its task is cancelled; a stdio server gets 4 of them to end."""


class ContextTask(Generic[T]):
    """Enters a context manager in a task, and leaves it there.

    Args:
        name: of the task, for those who debug.
    """

    def __init__(self, manager: AbstractAsyncContextManager[T], name: str) -> None:
        loop = asyncio.get_running_loop()
        self._manager = manager
        self._ready: asyncio.Future[T] = loop.create_future()
        self._stop = asyncio.Event()
        self._task = loop.create_task(self._live(), name=name)

    @property
    def ended(self) -> bool:
        """Whether the context has been left, on request or not."""
        return self._task.done()

    async def entered(self, timeout: float | None) -> T:
        """Wait until the context is entered.

        Args:
            timeout: seconds; after them, entering is given up.

        Raises:
            TimeoutError: it took longer.
            ConnectionLost: `close()` was called meanwhile.
            Whatever entering raises.
        """
        try:
            async with asyncio.timeout(timeout):
                await asyncio.wait({self._ready})
                if self._ready.cancelled():
                    raise ConnectionLost("it was closed while it was being connected")
                return self._ready.result()
        except BaseException:
            await self.close(grace=0)
            raise

    async def run(self, work: Callable[[T], Awaitable[R]]) -> R:
        """Await `work(value)`, but not beyond the end of the context.

        Raises:
            ConnectionLost: if the context ended meanwhile, or had ended.
            Whatever `work` raises.
        """
        doing = asyncio.ensure_future(work(self._ready.result()))
        try:
            await asyncio.wait({doing, self._task}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done() and not doing.cancelled():
                return doing.result()
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.wait({doing})
        # The end of the context has cancelled the work, or was noticed first.
        raise ConnectionLost("the connection ended before there was an answer")

    async def close(self, grace: float = LEAVE_GRACE) -> None:
        """Leave the context; idempotent, and raises nothing of it.

        Args:
            grace: seconds before the leaving is forced by a cancellation.
        """
        self._stop.set()
        if self._task is asyncio.current_task():
            return
        if self._ready.done() and grace:
            await asyncio.wait({self._task}, timeout=grace)
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _live(self) -> None:
        try:
            async with self._manager as value:
                self._ready.set_result(value)
                await self._stop.wait()
        except asyncio.CancelledError:
            self._ready.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - whoever waits for the value is told; a broken end is an end
            with contextlib.suppress(asyncio.InvalidStateError):
                self._ready.set_exception(root_cause(error))
                self._ready.exception()  # seen, even if nobody waits any more


def root_cause(error: BaseException) -> BaseException:
    """The first error inside exception groups."""
    # By attribute: what `isinstance` would tell a type checker of a group is "of unknown errors".
    while inner := cast("tuple[BaseException, ...]", getattr(error, "exceptions", ())):
        error = inner[0]
    return error
