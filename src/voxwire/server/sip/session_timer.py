"""Session timers (RFC 4028): a call whose other side is gone without a word ends. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from .message import Headers, Request, Response
from .timers import Timer, Timers

__all__ = ["MIN_SECONDS", "SECONDS", "IntervalTooSmallError", "SessionTimer"]

SECONDS: Final = 1800
"""The interval that we ask for where the peer names none (RFC 4028 section 4)."""
MIN_SECONDS: Final = 90
"""The shortest one (section 5)."""

Role = Literal["uac", "uas"]


class IntervalTooSmallError(ValueError):
    """422 with Min-SE."""


class SessionTimer:
    """That of one call.

    Args:
        refresh: called when it is our turn to renew the session.
        expire: called when the session is about to end, since nobody has.
    """

    def __init__(
        self, timers: Timers, *, refresh: Callable[[float], None], expire: Callable[[float], None]
    ) -> None:
        self._timers = timers
        self._refresh = refresh
        self._expire = expire
        self._timer: Timer | None = None
        self._ends = 0.0  # when the session is over unless it is renewed
        self.seconds: int | None = None
        """The interval; None if there is no session timer."""
        self.ours = False
        """Whether the refreshes are ours to send."""

    def answer(self, request: Request, headers: Headers, now: float) -> None:
        """Take what a request of the peer says, and add our answer's headers (section 9).

        Raises:
            IntervalTooSmallError: nothing was changed.
        """
        supports = "timer" in request.headers.tokens("Supported")
        seconds, refresher = _read(request.headers)
        if seconds is not None and seconds < MIN_SECONDS and supports:
            raise IntervalTooSmallError
        if seconds is None and not supports:
            self.stop()
            return
        role: Role = refresher or ("uac" if supports else "uas")
        if not supports:
            role = "uas"
        self.seconds = max(seconds or SECONDS, MIN_SECONDS)
        self.ours = role == "uas"
        headers.add("Session-Expires", f"{self.seconds};refresher={role}")
        if role == "uac":
            headers.add("Require", "timer")
        self._start(now)

    def ask(self, headers: Headers) -> None:
        """Add to a request of ours what keeps the timer going (section 7.4)."""
        if self.seconds is not None:
            role = "uac" if self.ours else "uas"
            headers.add("Session-Expires", f"{self.seconds};refresher={role}")

    def learn(self, response: Response, now: float) -> None:
        """Take what the answer to a request of ours says (section 7.2)."""
        seconds, refresher = _read(response.headers)
        if seconds is None:
            self.stop()
            return
        self.seconds = max(seconds, MIN_SECONDS)
        self.ours = refresher != "uas"
        self._start(now)

    def refused(self, response: Response, now: float) -> None:
        """A refresh of ours was refused: ask for the interval that is wanted (section 7.3), or try again later."""
        if self.seconds is None or not self.ours:
            return
        least = (response.headers.get("Min-SE") or "").partition(";")[0].strip()
        if response.status == 422 and least.isascii() and least.isdigit() and self.seconds < int(least[:9]):
            self.seconds = int(least[:9])
            self._set(now, self._refresh)
            return
        soon = now + (self._ends - now) / 2
        if soon < self._goodbye:
            self._set(soon, self._refresh)
        else:
            self._set(max(now, self._goodbye), self._expire)

    def stop(self) -> None:
        """There is no session timer (any more); idempotent."""
        self.seconds = None
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, now: float) -> None:
        if self.seconds is None:
            return
        self._ends = now + self.seconds
        if self.ours:
            self._set(now + self.seconds / 2, self._refresh)
        else:
            self._set(self._goodbye, self._expire)

    @property
    def _goodbye(self) -> float:
        """Section 10: a BYE goes out a little before the end."""
        return self._ends - min(32, (self.seconds or 0) / 3)

    def _set(self, due: float, callback: Callable[[float], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timers.set(due, callback)


def _read(headers: Headers) -> tuple[int | None, Role | None]:
    value = headers.get("Session-Expires")
    if value is None:
        return None, None
    text, _, params = value.partition(";")
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None, None
    for piece in params.split(";"):
        name, _, role = piece.partition("=")
        if name.strip().lower() == "refresher":
            return int(text), "uas" if role.strip().lower() == "uas" else "uac"
    return int(text), None
