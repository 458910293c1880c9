"""Digits that a caller keys in: how many, until which key, for how long."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from ..errors import UserError
from ..listeners import EventStream

__all__ = ["DigitCollector", "Digits", "DigitsEnded", "collect_digits"]

KEYS: Final = frozenset("0123456789*#ABCD")
"""The sixteen keys of DTMF (ITU-T Q.23)."""
MAX_DIGITS: Final = 1000

DigitsEnded: TypeAlias = Literal["count", "terminator", "timeout", "closed"]


@dataclass(frozen=True, slots=True)
class Digits:
    """What was keyed in.

    Attributes:
        digits: the keys in order, without the terminator; possibly empty.
        ended: why there are no more: so many were wanted, the terminator was pressed, nothing was pressed in time,
            or the call ended.
    """

    digits: str
    ended: DigitsEnded

    def __str__(self) -> str:
        return self.digits


class DigitCollector:
    """Decides when the digits are complete. Reads no clock: times are handed in, in seconds of any clock.

    Args:
        count: as many are wanted at most.
        terminator: keys that end the input and do not belong to it; empty for none.
        timeout: seconds until the first key.
        digit_timeout: seconds from one key to the next.
        now: when the waiting begins.

    Raises:
        UserError: if a value cannot be used.
    """

    def __init__(
        self, count: int, *, terminator: str, timeout: float, digit_timeout: float, now: float
    ) -> None:
        if type(count) is not int or not 1 <= count <= MAX_DIGITS:
            raise UserError(f"count must be a whole number, 1 to {MAX_DIGITS}, got {count!r}")
        if not set(terminator) <= KEYS:
            raise UserError(f"terminator must be of the keys 0-9, *, #, A-D, or empty, got {terminator!r}")
        if not (timeout > 0 and digit_timeout > 0):
            raise UserError(
                f"timeout and digit_timeout must be more than 0 s, got {timeout!r} and {digit_timeout!r}"
            )
        self._count = count
        self._terminator = terminator
        self._digit_timeout = digit_timeout
        self._digits = ""
        self.deadline = now + timeout
        """When the waiting is over."""
        self.result: Digits | None = None
        """What was keyed in, once that is known."""

    def press(self, key: str, now: float) -> None:
        """A key was pressed; something that is none is passed over."""
        key = key.upper()
        if self.result is not None or key not in KEYS:
            return
        if key in self._terminator:
            self.end("terminator")
            return
        self._digits += key
        self.deadline = now + self._digit_timeout
        if len(self._digits) == self._count:
            self.end("count")

    def end(self, how: DigitsEnded) -> None:
        """There are no more."""
        if self.result is None:
            self.result = Digits(self._digits, how)


class _Source(Protocol):
    def events(self, *names: str) -> EventStream: ...


async def collect_digits(
    source: _Source,
    count: int,
    *,
    terminator: str = "#",
    timeout: float = 10.0,
    digit_timeout: float = 4.0,
) -> Digits:
    """Wait for keys pressed on the phone, from now on.

        pin = await collect_digits(session, 4)

    Keys that were pressed before are not counted. The agent neither hears nor sees them; tell it with
    `session.send_message` or as a tool's result.

    Args:
        source: a session or a transport with `dtmf` events.
        count: as many are wanted at most.
        terminator: keys that end the input and do not belong to it; empty for none.
        timeout: seconds until the first key.
        digit_timeout: seconds from one key to the next.

    Raises:
        UserError: if a value cannot be used.
    """
    clock = asyncio.get_running_loop().time
    collector = DigitCollector(
        count, terminator=terminator, timeout=timeout, digit_timeout=digit_timeout, now=clock()
    )
    stream = source.events("dtmf")
    try:
        while collector.result is None:
            try:
                async with asyncio.timeout_at(collector.deadline):
                    event = await anext(stream)
            except TimeoutError:
                collector.end("timeout")
            except StopAsyncIteration:
                collector.end("closed")
            else:
                collector.press(event.digit, clock())
    finally:
        stream.close()
    assert collector.result is not None  # noqa: S101 - the loop ends with it
    return collector.result
