"""One 20 ms clock for all the calls of an event loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

__all__ = ["TICK", "TickCallback", "Ticker"]

TICK: Final = 0.02
"""Seconds from one tick to the next: the length of an audio frame."""

MAX_CATCH_UP: Final = 5
"""How many missed ticks are made up for at once; what is beyond is left out (100 ms: jitter buffers hold that much)."""

_SMOOTHING: Final = 0.05
_LOAD_TICKS: Final = 50
"""Ticks over which `load` is measured."""

TickCallback: TypeAlias = Callable[[float], object]
"""Called with the time at which the tick was due, on the loop's clock, seconds."""

_log = logging.getLogger(__name__)
# A ticker holds its loop, so an entry lasts for as long as somebody has the ticker, or its timer is set.
_tickers: WeakValueDictionary[asyncio.AbstractEventLoop, Ticker] = WeakValueDictionary()


class Ticker:
    """Calls everyone every 20 ms, on an absolute clock: a late tick does not move the next one.

    There is nothing running while nobody wants to be called. A loop that was held up makes up for up to
    `MAX_CATCH_UP` ticks at once, each with the time it was due, and leaves out the rest (`skipped`).

    Args:
        loop: whose timers and clock are used, and on which the callbacks run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._callbacks: dict[object, TickCallback] = {}
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._lag = 0.0
        self._skipped = 0
        self._load = 0.0
        self._count = 0
        self._measured = (0.0, 0.0)  # when `load` was measured last: CPU time of the thread, the loop's clock

    @classmethod
    def of_loop(cls) -> Ticker:
        """The ticker that all calls on the running loop share.

        Raises:
            RuntimeError: if no loop is running.
        """
        loop = asyncio.get_running_loop()
        ticker = _tickers.get(loop)
        if ticker is None:
            ticker = _tickers[loop] = cls(loop)
        return ticker

    @property
    def lag_ms(self) -> float:
        """How late ticks are, smoothed over about 20 of them, ms: a few are normal, more than a tick is overload."""
        return self._lag * 1000

    @property
    def load(self) -> float:
        """Share of the last second in which the loop's thread computed, 0..1; with more than 0.8 queues begin to grow."""
        return self._load

    @property
    def skipped(self) -> int:
        """Ticks left out because the loop was held up for longer than can be made up for."""
        return self._skipped

    @property
    def running(self) -> bool:
        """Whether a timer is set."""
        return self._timer is not None

    def add(self, callback: TickCallback, /) -> Callable[[], None]:
        """Call `callback` at every tick from the next one on, on the loop; it must not block.

        An exception of it is logged, and it is called again at the next tick.

        Returns:
            Takes it out again; idempotent, also from inside the callback.
        """
        key = object()
        self._callbacks[key] = callback
        if self._timer is None:
            self._lag = self._load = 0.0
            self._count = 0
            self._measured = (time.thread_time(), self._loop.time())
            self._set_timer(self._loop.time() + TICK)

        def remove() -> None:
            self._callbacks.pop(key, None)
            if not self._callbacks and self._timer is not None:
                self._timer.cancel()
                self._timer = None

        return remove

    def _set_timer(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._run)

    def _run(self) -> None:
        late = self._loop.time() - self._due
        self._lag += (late - self._lag) * _SMOOTHING
        ticks = 1 + max(0, int(late / TICK))
        if ticks > MAX_CATCH_UP:
            self._skipped += ticks - MAX_CATCH_UP
            self._due += (ticks - MAX_CATCH_UP) * TICK
            ticks = MAX_CATCH_UP
        self._count += ticks
        if self._count >= _LOAD_TICKS:
            self._measure()
        for _ in range(ticks):
            due, self._due = self._due, self._due + TICK
            self._call_all(due)
        if self._callbacks:
            self._set_timer(self._due)
        else:
            self._timer = None

    def _measure(self) -> None:
        cpu, now = time.thread_time(), self._loop.time()
        before, then = self._measured
        self._load = min(1.0, (cpu - before) / (now - then)) if now > then else self._load
        self._measured, self._count = (cpu, now), 0

    def _call_all(self, due: float) -> None:
        for key, callback in tuple(self._callbacks.items()):
            if key not in self._callbacks:
                continue  # taken out by one of those before it
            try:
                callback(due)
            except Exception:  # noqa: BLE001  # one call's fault is not the others'
                _log.exception("A callback of the 20 ms clock raised")
