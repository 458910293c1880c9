"""The user of the demo: says each line when its moment has come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence

from ..recording.timeline import Timeline
from .dialogue import Line

__all__ = ["Director", "Stalled", "Watch", "heard_for", "quiet_for"]

PAUSE_MS = 900
"""Silence after an answer before the user goes on, and before the first line."""
INTERRUPT_AFTER_MS = 4000
"""How much of a reply is heard before the user talks over it."""
STEP_SECONDS = 45.0
"""How long one thing may take to happen."""

Condition = Callable[[float], float]
"""Given the time (ms), how long it still takes (ms): 0 if it is fulfilled, infinity if only an event can tell."""


class Stalled(Exception):
    """Something did not happen in time; says what."""


def quiet_for(timeline: Timeline, pause_ms: float) -> Condition:
    """Everything was answered and heard, and nobody has spoken for `pause_ms`."""

    def condition(now: float) -> float:
        if not timeline.settled:
            return math.inf
        turn = timeline.current
        ends = [reply.heard_until_ms or turn.begin_ms for reply in turn.replies] if turn else [0.0]
        return max(0.0, max(ends) + pause_ms - now)

    return condition


def heard_for(timeline: Timeline, ms: float) -> Condition:
    """A reply to the current turn has been heard for `ms`; one that ends before that will do as well."""

    def condition(now: float) -> float:
        turn = timeline.current
        if turn is None or not turn.replies or turn.replies[-1].heard_from_ms is None:
            return math.inf
        if timeline.settled:
            return 0.0
        return max(0.0, turn.replies[-1].heard_from_ms + ms - now)

    return condition


class Watch:
    """Waits for conditions: looks again at every event, and when a condition said it would be true.

    Args:
        now: the time, ms.
        seconds: how long to wait for one condition.
    """

    def __init__(self, now: Callable[[], float], seconds: float = STEP_SECONDS) -> None:
        self._now = now
        self._seconds = seconds
        self._event = asyncio.Event()

    def nudge(self) -> None:
        """Something happened."""
        self._event.set()

    async def until(self, condition: Condition, what: str) -> None:
        """Return when it is fulfilled.

        Raises:
            Stalled: it took too long.
        """
        deadline = self._now() + self._seconds * 1000
        while (rest := condition(self._now())) > 0:
            left = deadline - self._now()
            if left <= 0:
                raise Stalled(f"waited {self._seconds:g} s in vain: {what}")
            self._event.clear()
            try:
                async with asyncio.timeout(min(rest, left) / 1000):
                    await self._event.wait()
            except TimeoutError:
                continue


class Director:
    """Plays the lines of the user.

    Args:
        timeline: what has happened so far; told what the user does.
        say: speaks a recording, and returns when its last sample was sent. type_in: sends a text.
        announce: told of every line when it begins.
    """

    def __init__(
        self,
        timeline: Timeline,
        watch: Watch,
        now: Callable[[], float],
        *,
        say: Callable[[Line], Awaitable[None]],
        type_in: Callable[[Line], Awaitable[None]],
        announce: Callable[[Line], None],
    ) -> None:
        self._timeline = timeline
        self._watch = watch
        self._now = now
        self._say = say
        self._type_in = type_in
        self._announce = announce

    async def play(self, lines: Sequence[Line]) -> None:
        """Say everything, and wait for the last answer to be heard.

        Raises:
            Stalled: an answer did not come in time.
        """
        for line in lines:
            await self._wait_for_moment(line)
            await self._utter(line)
        await self._quiet()

    async def _wait_for_moment(self, line: Line) -> None:
        if line.expect.interrupts:
            await self._watch.until(
                heard_for(self._timeline, INTERRUPT_AFTER_MS), "no reply that could be interrupted"
            )
        else:
            await self._quiet()

    async def _quiet(self) -> None:
        turn = self._timeline.current
        what = f"no answer to {turn.text or turn.recognised!r}" if turn else "the conversation did not begin"
        await self._watch.until(quiet_for(self._timeline, PAUSE_MS), what)

    async def _utter(self, line: Line) -> None:
        self._timeline.user_begins(line.text, self._now(), typed=line.file is None)
        self._announce(line)
        if line.file is None:
            await self._type_in(line)
        else:
            await self._say(line)
            self._timeline.user_ends(self._now())
