"""Listeners of a transport or a session: functions, coroutine functions and `async for`.

A plain function runs at once, in order of registration. A coroutine function and an
`async for` loop each have a mailbox of their own: they see every event in order and never
hold up the others, but a mailbox that fills up asks the owner to stop reading from
the network (`Flow`), so audio that nobody drains becomes backpressure, not memory.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeAlias, TypeVar

__all__ = ["EventStream", "Flow", "Listener", "Listeners"]

Listener: TypeAlias = Callable[[Any], Any]
ListenerT = TypeVar("ListenerT", bound=Listener)

logger = logging.getLogger("voxwire")

HIGH_WATER = 256
"""Events in a mailbox at which reading pauses: five seconds of audio in 20 ms pieces."""
LOW_WATER = 64
"""Events at which it goes on."""


class Flow(Protocol):
    """Whoever can stop the events from coming."""

    def hold(self, who: object, /) -> None:
        """Stop reading until `who` is released."""

    def release(self, who: object, /) -> None:
        """`who` has caught up."""


class _Mailbox:
    """Events in order for one consumer."""

    __slots__ = ("_flow", "_held", "_waiter", "closed", "events")

    def __init__(self, flow: Flow | None) -> None:
        self.events: deque[Any] = deque()
        self.closed = False
        self._flow = flow
        self._held = False
        self._waiter: asyncio.Future[None] | None = None

    def put(self, event: Any) -> None:
        if self.closed:
            return
        self.events.append(event)
        if not self._held and self._flow is not None and len(self.events) >= HIGH_WATER:
            self._held = True
            self._flow.hold(self)
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._let_go()
        self._wake()

    async def get(self) -> Any:
        """The next event; raises `StopAsyncIteration` once closed and empty."""
        while not self.events:
            if self.closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        event = self.events.popleft()
        if self._held and len(self.events) <= LOW_WATER:
            self._let_go()
        return event

    def _let_go(self) -> None:
        if self._held and self._flow is not None:
            self._held = False
            self._flow.release(self)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class EventStream(AsyncIterator[Any]):
    """Events as an async iterator; ends when the owner closes. Call `close()` to stop early."""

    def __init__(self, mailbox: _Mailbox, detach: Callable[[], None]) -> None:
        self._mailbox = mailbox
        self._detach = detach

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> Any:
        return await self._mailbox.get()

    def close(self) -> None:
        """Stop receiving; what is still in the mailbox can be read."""
        self._detach()
        self._mailbox.close()


class _AsyncListener:
    """A coroutine function with a mailbox; its task lives only while there is something to do."""

    __slots__ = ("_function", "_mailbox", "_on_error", "task")

    def __init__(
        self,
        function: Callable[[Any], Awaitable[Any]],
        flow: Flow | None,
        on_error: Callable[[Exception], None],
    ) -> None:
        self._function = function
        self._mailbox = _Mailbox(flow)
        self._on_error = on_error
        self.task: asyncio.Task[None] | None = None

    def __call__(self, event: Any) -> None:
        self._mailbox.put(event)
        if self.task is None or self.task.done():
            self.task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        while self._mailbox.events:
            event = await self._mailbox.get()
            try:
                await self._function(event)
            except Exception as error:  # noqa: BLE001 - a listener's error is reported, never raised here
                self._on_error(error)


class Listeners:
    """Who wants to hear what.

    Args:
        flow: asked to pause when a consumer falls behind.
        on_error: told of exceptions that listeners raise; by default they are logged.
    """

    def __init__(
        self, *, flow: Flow | None = None, on_error: Callable[[Exception], None] | None = None
    ) -> None:
        self._flow = flow
        self._on_error = on_error or _log_error
        self._table: dict[str, list[tuple[Listener, Listener]]] = {}
        self._streams: dict[_Mailbox, frozenset[str]] = {}

    def on(self, name: str, listener: ListenerT) -> ListenerT:
        """Call `listener(event)` for every event of this name. Returns it, so it can decorate."""
        self._table.setdefault(name, []).append((listener, self._callee(listener)))
        return listener

    def once(self, name: str, listener: ListenerT) -> ListenerT:
        """Like `on`, for the next event only; it is removed before it is called."""
        callee = self._callee(listener)

        def first(event: Any) -> None:
            self.off(name, listener)
            callee(event)

        self._table.setdefault(name, []).append((listener, first))
        return listener

    def off(self, name: str, listener: Listener) -> None:
        """Remove the listener registered last; does nothing if there is none."""
        entries = self._table.get(name, [])
        for index in range(len(entries) - 1, -1, -1):
            if entries[index][0] == listener:
                # A new list, so that an emit under way finishes with the old one.
                self._table[name] = entries[:index] + entries[index + 1 :]
                if not self._table[name]:
                    del self._table[name]
                return

    def has(self, name: str) -> bool:
        """Whether anybody asked for events of this name (a stream of everything did not)."""
        if name in self._table:
            return True
        return bool(self._streams) and any(name in names for names in self._streams.values())

    @property
    def everything(self) -> bool:
        """Whether somebody iterates over everything."""
        return bool(self._streams) and not all(self._streams.values())

    def emit(self, name: str, event: Any, *, named_only: bool = False) -> None:
        """Call everybody. Never raises: a listener's exception goes to `on_error`.

        Args:
            named_only: keep it from streams that did not ask for this name (wire events, which
                would only repeat what the other events say).
        """
        entries = self._table.get(name)
        if entries:
            for _, callee in entries:
                try:
                    callee(event)
                except Exception as error:  # noqa: BLE001 - one listener must not stop the others
                    self._on_error(error)
        if self._streams:
            for mailbox, names in tuple(self._streams.items()):
                if name in names or not (names or named_only):
                    mailbox.put(event)

    def stream(self, *names: str) -> EventStream:
        """Events from now on, of these names or of all."""
        mailbox = _Mailbox(self._flow)
        self._streams[mailbox] = frozenset(names)
        return EventStream(mailbox, lambda: self._forget(mailbox))

    def end_streams(self) -> None:
        """Let every `async for` end once it has read what is there."""
        for mailbox in tuple(self._streams):
            self._forget(mailbox)
            mailbox.close()

    def _forget(self, mailbox: _Mailbox) -> None:
        self._streams.pop(mailbox, None)

    def _callee(self, listener: Listener) -> Listener:
        call = getattr(listener, "__call__", None)  # noqa: B004 - an object with an async __call__
        if inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(call):
            return _AsyncListener(listener, self._flow, self._on_error)
        return listener


def _log_error(error: Exception) -> None:
    logger.error("a listener raised %s", type(error).__name__, exc_info=error)
