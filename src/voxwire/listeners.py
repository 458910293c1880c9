"""Listeners of a transport or a session: functions, coroutine functions and `async for`.

A plain function runs at once, in order of registration. A coroutine function and an
`async for` loop each have a mailbox of their own: they see every event in order and never
hold up the others, but a mailbox that fills up asks the owner to stop reading from
the network (`Flow`), so audio that nobody drains becomes backpressure, not memory.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Coroutine
from typing import Any, Protocol, TypeAlias, TypeVar

__all__ = ["EventStream", "Flow", "Listener", "Listeners"]

Listener: TypeAlias = Callable[[Any], Any]
ListenerT = TypeVar("ListenerT", bound=Listener)

logger = logging.getLogger("voxwire")

HIGH_WATER = 256
"""Events in a mailbox at which reading pauses: five seconds of audio in 20 ms pieces."""
LOW_WATER = 64
"""Events at which it goes on."""
LIMIT = 65_536
"""Events in a mailbox whose owner cannot be stopped; beyond that the oldest are dropped and logged."""


class Flow(Protocol):
    """Whoever can stop the events from coming."""

    def hold(self, who: object, /) -> None:
        """Stop reading until `who` is released."""

    def release(self, who: object, /) -> None:
        """`who` has caught up."""


class _Mailbox:
    """Events in order for one consumer."""

    __slots__ = ("_flow", "_held", "_loop", "_overflowed", "_waiter", "closed", "events")

    def __init__(self, flow: Flow | None) -> None:
        self.events: deque[Any] = deque()
        self.closed = False
        self._flow = flow
        self._held = False
        self._overflowed = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def put(self, event: Any) -> None:
        if self.closed:
            return
        self.events.append(event)
        if len(self.events) >= HIGH_WATER:
            self._crowded()
        waiter = self._waiter
        if waiter is not None:  # `_wake`, for every piece of audio
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def close(self, *, drop: bool = False) -> None:
        self.closed = True
        if drop:
            self.events.clear()
        self._let_go()
        self._wake()

    async def get(self) -> Any:
        """The next event; raises `StopAsyncIteration` once closed and empty."""
        while not self.events:
            if self.closed:
                raise StopAsyncIteration
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("two tasks wait for the same event stream; give each one of its own")
            if self._loop is None or not self._loop.is_running():
                self._loop = asyncio.get_running_loop()  # a system call, before 3.12
            self._waiter = self._loop.create_future()
            await self._waiter
        event = self.events.popleft()
        if self._held and len(self.events) <= LOW_WATER:
            self._let_go()
        return event

    def _crowded(self) -> None:
        if not self._held and self._flow is not None:
            self._held = True
            self._flow.hold(self)
        elif len(self.events) > LIMIT:
            self.events.popleft()
            if not self._overflowed:
                self._overflowed = True
                logger.error("a listener is %d events behind; the oldest are dropped", LIMIT)

    def _let_go(self) -> None:
        if self._held and self._flow is not None:
            self._held = False
            self._flow.release(self)

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class EventStream(AsyncIterator[Any]):
    """Events as an async iterator; ends when the owner closes.

    To stop early, leave the loop and let go of it, or call `close()`.
    """

    __slots__ = ("__weakref__", "_detach", "_mailbox")

    def __init__(self, mailbox: _Mailbox, detach: Callable[[], None]) -> None:
        self._mailbox = mailbox
        self._detach = detach

    def __aiter__(self) -> EventStream:
        return self

    def __anext__(self) -> Coroutine[Any, Any, Any]:
        return self._mailbox.get()

    def close(self) -> None:
        """Stop receiving; what is still in the mailbox can be read."""
        self._detach()
        self._mailbox.close()

    def __del__(self) -> None:
        # `async for ... break` leaves nobody to read: do not hold the owner up for ever.
        self.close()


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

    def close(self) -> None:
        """Call the function no more; the call under way may finish."""
        self._mailbox.close(drop=True)

    async def _work(self) -> None:
        while self._mailbox.events:
            event = await self._mailbox.get()
            try:
                await self._function(event)
            except Exception as error:  # noqa: BLE001 - a listener's error is reported, never raised here
                self._on_error(error)
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # It awaited something that was cancelled; we were not.
                self._on_error(RuntimeError(f"a listener awaited a cancelled task ({error!r})"))


class _Entry:
    """One registration."""

    __slots__ = ("callee", "listener", "once", "removed")

    def __init__(self, listener: Listener, callee: Listener, *, once: bool) -> None:
        self.listener = listener
        self.callee = callee
        self.once = once
        self.removed = False


class Listeners:
    """Who wants to hear what.

    Args:
        flow: asked to pause when a consumer falls behind.
        on_error: told of exceptions that listeners raise; by default they are logged.

    Attributes:
        named: what somebody listens to by name; a stream that takes everything is not counted. It is there to
            be asked for every message, which `has` is too slow for.
    """

    __slots__ = ("_flow", "_on_error", "_stray", "_streams", "_table", "named")

    def __init__(
        self, *, flow: Flow | None = None, on_error: Callable[[Exception], None] | None = None
    ) -> None:
        self._flow = flow
        self._on_error = on_error or _log_error
        # Neither tuples nor streams are changed in place: an emit under way goes on with what it began with.
        self._table: dict[str, tuple[_Entry, ...]] = {}
        self._streams: dict[_Mailbox, frozenset[str]] = {}
        self.named: Container[str] = self._table
        self._stray: set[asyncio.Future[Any]] = set()

    def on(self, name: str, listener: ListenerT) -> ListenerT:
        """Call `listener(event)` for every event of this name. Returns it, so it can decorate."""
        return self._add(name, listener, once=False)

    def once(self, name: str, listener: ListenerT) -> ListenerT:
        """Like `on`, for the next event only; it is removed before it is called."""
        return self._add(name, listener, once=True)

    def off(self, name: str, listener: Listener) -> None:
        """Remove the listener registered last; does nothing if there is none.

        It is not called again, not even for events that wait in its mailbox.
        """
        for entry in reversed(self._table.get(name, ())):
            if entry.listener == listener:
                self._remove(name, entry)
                if isinstance(entry.callee, _AsyncListener):
                    entry.callee.close()
                return

    def has(self, name: str) -> bool:
        """Whether anybody would hear an event of this name."""
        if name in self._table:
            return True
        return bool(self._streams) and any(_in_stream(name, names) for names in self._streams.values())

    def emit(self, name: str, event: Any) -> None:
        """Call everybody. Never raises: a listener's exception goes to `on_error`."""
        for entry in self._table.get(name, ()):
            if entry.removed:
                continue
            if entry.once:
                self._remove(name, entry)
            try:
                result = entry.callee(event)
                if result is not None and inspect.iscoroutine(result):
                    self._look_after(result)
            except Exception as error:  # noqa: BLE001 - one listener must not stop the others
                self._on_error(error)
        if self._streams:
            for mailbox, names in self._streams.items():
                if name in names or (not names and _in_stream(name, names)):
                    mailbox.put(event)

    def stream(self, *names: str) -> EventStream:
        """Events from now on, of these names; of all but the wire's own if none is given."""
        mailbox = _Mailbox(self._flow)
        self._streams = {**self._streams, mailbox: _shared_set(names)}
        self._note_names()
        return EventStream(mailbox, lambda: self._forget(mailbox))

    def end_streams(self) -> None:
        """Let every `async for` end once it has read what is there."""
        streams, self._streams = self._streams, {}
        self._note_names()
        for mailbox in streams:
            mailbox.close()

    def _add(self, name: str, listener: ListenerT, *, once: bool) -> ListenerT:
        entry = _Entry(listener, self._callee(listener), once=once)
        self._table[name] = (*self._table.get(name, ()), entry)
        self._note_names()
        return listener

    def _remove(self, name: str, entry: _Entry) -> None:
        entry.removed = True
        rest = tuple(other for other in self._table.get(name, ()) if other is not entry)
        if rest:
            self._table[name] = rest
        else:
            self._table.pop(name, None)
            self._note_names()

    def _forget(self, mailbox: _Mailbox) -> None:
        self._streams = {other: names for other, names in self._streams.items() if other is not mailbox}
        self._note_names()

    def _note_names(self) -> None:
        # Most often it is a set that is there already: one more for each session is kilobytes.
        by_streams = [names for names in self._streams.values() if names]
        if not by_streams:
            self.named = self._table
        elif len(by_streams) == 1 and by_streams[0].issuperset(self._table):
            self.named = by_streams[0]
        else:
            self.named = by_streams[0].union(self._table, *by_streams[1:])

    def _callee(self, listener: Listener) -> Listener:
        call = getattr(listener, "__call__", None)  # noqa: B004 - an object with an async __call__
        if inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(call):
            return _AsyncListener(listener, self._flow, self._on_error)
        return listener

    def _look_after(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run what a plain function (a lambda, say) returned: it has no mailbox, so no order."""
        task = asyncio.ensure_future(coroutine)
        self._stray.add(task)
        task.add_done_callback(self._strayed)

    def _strayed(self, task: asyncio.Future[Any]) -> None:
        self._stray.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            self._on_error(error)


@functools.lru_cache(maxsize=16)
def _shared_set(names: tuple[str, ...]) -> frozenset[str]:
    """One set for the many sessions whose streams take the same names."""
    return frozenset(names)


def _in_stream(name: str, names: frozenset[str]) -> bool:
    """A stream without names gets all but the wire's own events and second names of others."""
    if names:
        return name in names
    return name not in ("*", "sent", "audio_sent", "connected", "disconnected") and "." not in name


def _log_error(error: Exception) -> None:
    logger.error("a listener raised %s", type(error).__name__, exc_info=error)
