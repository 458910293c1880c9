"""A 20 ms clock for all the calls of an event loop, each at its own phase."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

__all__ = ["PHASE", "PHASES", "TICK", "Beat", "TickCallback", "Ticker"]

TICK: Final = 0.02
"""Seconds from one tick to the next: the length of an audio frame."""

PHASES: Final = 4
"""Phases that a tick can have. More would leave less to wait for, and wake the process more often."""

PHASE: Final = TICK / PHASES
"""Seconds from one phase to the next."""

MAX_CATCH_UP: Final = 5
"""How many missed ticks are made up for at once; what is beyond is left out (100 ms: jitter buffers hold that much)."""

_SMOOTHING: Final = 0.05
_LOAD_SECONDS: Final = 1.0
"""Over which `load` is measured."""
_SLACK: Final = PHASE / 2
"""Times of ticks are compared with that much room, so that rounding does not decide."""

TickCallback: TypeAlias = Callable[[float], object]
"""Called with the time at which the tick was due, on the loop's clock, seconds."""

_log = logging.getLogger(__name__)
# A ticker holds its loop, so an entry lasts for as long as somebody has the ticker, or its timer is set.
_tickers: WeakValueDictionary[asyncio.AbstractEventLoop, Ticker] = WeakValueDictionary()


class Ticker:
    """Calls everyone every 20 ms, on an absolute clock: a late tick does not move the next one.

    Calls are spread over `PHASES` phases, so that they do not all work at the same moment, and may choose theirs.
    There is nothing running while nobody wants to be called. A loop that was held up makes up for up to
    `MAX_CATCH_UP` ticks at once, each with the time it was due, and leaves out the rest (`skipped`).

    Args:
        loop: whose timers and clock are used, and on which the callbacks run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._phases: tuple[_Phase, ...] = ()
        self._lag = 0.0
        self._load = 0.0
        self._measured = (0.0, 0.0)  # when `load` was measured last: CPU time of the thread, the loop's clock
        self.skipped = 0
        """Ticks left out because the loop was held up for longer than can be made up for."""

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
    def running(self) -> bool:
        """Whether a timer is set."""
        return any(phase.beats for phase in self._phases)

    def add(self, callback: TickCallback, /) -> Beat:
        """Call `callback` every 20 ms, on the loop, at the phase with the fewest others; it must not block.

        An exception of it is logged, and it is called again at the next tick.

        Returns:
            To move it to another phase, and to take it out again.
        """
        now = self._loop.time()
        if not self.running:
            self._lag = self._load = 0.0
            self._measured = (time.thread_time(), now)
            self._phases = tuple(_Phase(self, self._loop, now + index * PHASE) for index in range(PHASES))
        index = min(range(PHASES), key=lambda index: len(self._phases[index].beats))
        return Beat(self._loop, self._phases, index, callback)

    def ran(self, late: float, skipped: int) -> None:
        """A phase was `late` (s), and left so many ticks out."""
        self._lag += (late - self._lag) * _SMOOTHING
        self.skipped += skipped
        now = self._loop.time()
        before, then = self._measured
        if now - then >= _LOAD_SECONDS:
            cpu = time.thread_time()
            self._load = min(1.0, (cpu - before) / (now - then))
            self._measured = (cpu, now)


class Beat:
    """One caller's place in a `Ticker`."""

    __slots__ = ("_index", "_loop", "_phases", "callback", "due")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        phases: tuple[_Phase, ...],
        index: int,
        callback: TickCallback,
    ) -> None:
        self._loop = loop
        self._phases = phases
        self._index = index
        self.callback = callback
        self.due = phases[index].after(loop.time())
        """When it is called next, on the loop's clock, s."""
        phases[index].join(self)

    def stop(self) -> None:
        """Call it no more; idempotent, also from inside the callback."""
        self._phases[self._index].leave(self)

    def move(self, seconds: float) -> float:
        """Let the next call, and all after it, come that much later, or earlier if it is negative.

        Args:
            seconds: taken to the nearest multiple of `PHASE`. Where the next call would be in the past, it comes a tick later.

        Returns:
            By how much it really moves, s.
        """
        steps = round(seconds / PHASE)
        phase = self._phases[self._index]
        if not steps or self not in phase.beats:
            return 0.0
        now = self._loop.time()
        if self.due + steps * PHASE < now:
            steps += PHASES * math.ceil((now - self.due - steps * PHASE) / TICK)
        phase.leave(self)
        self._index = (self._index + steps) % PHASES
        self.due += steps * PHASE
        self._phases[self._index].join(self)
        return steps * PHASE


class _Phase:
    """The beats that come together, and their timer."""

    def __init__(self, ticker: Ticker, loop: asyncio.AbstractEventLoop, start: float) -> None:
        self.beats: dict[Beat, None] = {}  # in the order in which they came
        self._ticker = ticker
        self._loop = loop
        self._start = start
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._running = False

    def after(self, when: float) -> float:
        """The first tick of this phase after `when`, s."""
        return self._start + TICK * math.floor((when + _SLACK - self._start) / TICK + 1)

    def join(self, beat: Beat) -> None:
        """Call this one from its `due` on."""
        self.beats[beat] = None
        if self._timer is None and not self._running:
            self._set_timer(self.after(beat.due - TICK))

    def leave(self, beat: Beat) -> None:
        """Call this one no more."""
        self.beats.pop(beat, None)
        if not self.beats and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float) -> None:
        self._due = due
        self._timer = self._loop.call_at(due, self._run)

    def _run(self) -> None:
        self._timer, self._running = None, True
        late = self._loop.time() - self._due
        ticks = 1 + max(0, int(late / TICK))
        skipped = max(0, ticks - MAX_CATCH_UP)
        self._ticker.ran(late, skipped)
        self._due += skipped * TICK
        for _ in range(ticks - skipped):
            self._call_all(self._due)
            self._due += TICK
        self._running = False
        if self.beats:
            self._set_timer(self._due)

    def _call_all(self, due: float) -> None:
        for beat in tuple(self.beats):
            if beat not in self.beats or beat.due > due + _SLACK:
                continue  # taken out or moved by one of those before it
            beat.due = due + TICK
            try:
                beat.callback(due)
            except Exception:  # noqa: BLE001  # one call's fault is not the others'
                _log.exception("A callback of the 20 ms clock raised")
