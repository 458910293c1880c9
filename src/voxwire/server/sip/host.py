"""What a call needs of the user agent that it belongs to, and the parts that calls share."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from .dialog import Dialog
from .digest import Credentials
from .message import Headers, Request, Response
from .outputs import Flow, Output
from .timers import T1, T2, Timer, Timers
from .transaction import ClientTransaction, ServerTransaction

if TYPE_CHECKING:
    from .leg import Leg

__all__ = ["ALLOW", "SUPPORTED", "LegHost", "Unacknowledged", "refusal"]

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY"
SUPPORTED: Final = "timer"
"""Extensions: session timers (RFC 4028). Not 100rel: PRACK is not offered."""

OnResponse = Callable[[Response, float], None]
OnTimeout = Callable[[float], None]


class LegHost(Protocol):
    """The user agent, as its calls see it."""

    @property
    def timers(self) -> Timers:
        """Where timers are set."""
        ...

    @property
    def random(self) -> Random:
        """Tags, branches and the times of retries."""
        ...

    @property
    def credentials(self) -> Credentials | None:
        """Who we are, where somebody asks."""
        ...

    @property
    def takes_referrals(self) -> bool:
        """Whether peers may have us call somebody else (REFER)."""
        ...

    def new_tag(self) -> str:
        """A tag, or a part of another identifier."""
        ...

    def contact(self, flow: Flow) -> str:
        """Our Contact, as a peer on this flow reaches us."""
        ...

    def transmit(self, data: bytes, flow: Flow, /) -> None:
        """Send bytes."""

    def emit(self, output: Output) -> None:
        """Tell the owner."""

    def send(
        self, request: Request, flow: Flow, now: float, on_response: OnResponse, on_timeout: OnTimeout
    ) -> ClientTransaction:
        """Begin a transaction; Via is added."""
        ...

    def send_ack(self, request: Request, flow: Flow) -> bytes:
        """Send an ACK to a 2xx, which has no transaction; returns it, to be sent again."""
        ...

    def enter(self, leg: Leg, /) -> None:
        """A call has its dialog."""

    def forget(self, dialog: Dialog, /) -> None:
        """A call is over."""


class Unacknowledged:
    """A 2xx to an INVITE, sent again until its ACK comes (RFC 3261 section 13.3.1.4), whatever the transport.

    Args:
        on_timeout: none came within 32 s.
    """

    def __init__(
        self, host: LegHost, transaction: ServerTransaction, response: Response, on_timeout: OnTimeout
    ) -> None:
        self.sequence = transaction.request.cseq[0]
        self._host = host
        self._data = response.to_bytes()
        self._transaction = transaction
        self._response = response
        self._interval = T1
        self._on_timeout = on_timeout
        self._repeat: Timer | None = None
        self._limit: Timer | None = None

    def start(self, now: float) -> None:
        """Send it."""
        self._transaction.respond(self._response, now)
        self._repeat = self._host.timers.set(now + self._interval, self._again)
        self._limit = self._host.timers.set(now + 64 * T1, self._gave_up)

    def _again(self, now: float) -> None:
        self._host.transmit(self._data, self._transaction.flow)
        self._interval = min(2 * self._interval, T2)
        self._repeat = self._host.timers.set(now + self._interval, self._again)

    def _gave_up(self, now: float) -> None:
        self.stop()
        self._on_timeout(now)

    def stop(self) -> None:
        """It was acknowledged, or nobody cares any more; idempotent."""
        for timer in (self._repeat, self._limit):
            if timer is not None:
                timer.cancel()


def refusal(status: int) -> str:
    """A status in words, for reasons."""
    from .message import REASONS

    return f"{status} {REASONS.get(status, '')}".strip()


def offers(message: Request | Response) -> bytes | None:
    """The session description in a message; None if it has none."""
    return message.body if message.body and message.content_type == "application/sdp" else None


def describe(headers: Headers, *, referrals: bool = False) -> None:
    """Say what we can do.

    Args:
        referrals: whether that includes being transferred.
    """
    headers.add("Allow", f"{ALLOW}, REFER" if referrals else ALLOW)
    headers.add("Supported", SUPPORTED)
