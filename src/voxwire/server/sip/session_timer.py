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
        expire: called when the other side has not.
    """

    def __init__(
        self, timers: Timers, *, refresh: Callable[[float], None], expire: Callable[[float], None]
    ) -> None:
        self._timers = timers
        self._refresh = refresh
        self._expire = expire
        self._timer: Timer | None = None
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

    def stop(self) -> None:
        """There is no session timer (any more); idempotent."""
        self.seconds = None
        if self._timer is not None:
            self._timer.cancel()

    def _start(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.seconds is None:
            return
        if self.ours:
            self._timer = self._timers.set(now + self.seconds / 2, self._refresh)
        else:
            # Section 10: a BYE goes out a little before the end.
            self._timer = self._timers.set(now + self.seconds - min(32, self.seconds / 3), self._expire)


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
