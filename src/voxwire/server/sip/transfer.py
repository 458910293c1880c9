"""A transfer: REFER, and the NOTIFYs that tell how it goes (RFC 3515). Sans-I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from .message import Request
from .timers import Timer, Timers
from .transaction import ServerTransaction

__all__ = ["Transfer"]

SECONDS: Final = 90.0
"""How long it may take until the target has answered."""
_STATUS: Final = re.compile(rb"\s*SIP/2\.0[ \t]+([1-6]\d\d)", re.IGNORECASE)


class Transfer:
    """The peer was asked to call somebody else.

    Args:
        tell: gets the target's status with each piece of news, and whether it is the last.
    """

    def __init__(self, timers: Timers, tell: Callable[[int, bool], None]) -> None:
        self._timers = timers
        self._tell = tell
        self._limit: Timer | None = None
        self.under_way = False

    def begin(self, now: float) -> None:
        """REFER was sent."""
        self.under_way = True
        self._limit = self._timers.set(now + SECONDS, lambda _now: self.over(408))

    def over(self, status: int) -> None:
        """It ended with this status; idempotent."""
        if self.under_way:
            self.stop()
            self._tell(status, True)

    def stop(self) -> None:
        """Nobody is told any more."""
        self.under_way = False
        if self._limit is not None:
            self._limit.cancel()

    def notified(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A NOTIFY came (section 2.4.5: its body is the beginning of the target's answer)."""
        event = (request.headers.get("Event") or "").partition(";")[0].strip().lower()
        if event != "refer":
            transaction.refuse(489, now)
            return
        if not self.under_way:
            transaction.refuse(481, now)
            return
        transaction.refuse(200, now)
        found = _STATUS.match(request.body)
        status = int(found[1]) if found else 0
        state = (request.headers.get("Subscription-State") or "").partition(";")[0].strip().lower()
        if status >= 200:
            self.over(status)
        elif state == "terminated":
            self.over(408)  # they gave up telling
        elif status:
            self._tell(status, False)
