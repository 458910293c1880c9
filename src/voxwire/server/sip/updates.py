"""Changes in the middle of a call: re-INVITE and UPDATE, theirs and ours (RFC 3261 section 14, RFC 3311). Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .host import Unacknowledged, offers
from .message import Request, Response, answer_to
from .outputs import ChangeRefused, MediaChanged
from .proofs import duplicate_proofs
from .sdp import Direction, SdpError
from .session_timer import MIN_SECONDS, IntervalTooSmallError
from .timers import Timer
from .transaction import ServerTransaction

if TYPE_CHECKING:
    from .leg import Leg

__all__ = ["Updates"]


class Updates:
    """Those of one call. Only one change is under way at a time; a second one is put off with 491."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._unacknowledged: Unacknowledged | None = None
        self._expects_answer = False
        self._ours: int | None = None  # which change of ours is under way
        self._count = 0
        self._granted: Direction = "sendrecv"  # our direction as the peer has agreed to it
        self._retry: Timer | None = None

    @property
    def _busy(self) -> bool:
        return self._ours is not None or self._unacknowledged is not None

    def stop(self) -> None:
        """The call is over."""
        if self._unacknowledged is not None:
            self._unacknowledged.stop()
        if self._retry is not None:
            self._retry.cancel()

    # -- theirs -----------------------------------------------------------------------------

    def invite_came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A re-INVITE."""
        leg = self._leg
        if leg.state != "established" or self._busy:
            transaction.refuse(491, now)
            return
        response = answer_to(request, 200)
        offer = offers(request)
        if not self._answer(transaction, response, offer, now):
            return
        self._expects_answer = offer is None
        if offer is None:
            response.body = leg.negotiation.offer()
        leg.complete(response)
        self._unacknowledged = Unacknowledged(leg.host, transaction, response, self._not_acknowledged)
        self._unacknowledged.start(now)
        if offer is not None:
            leg.host.emit(MediaChanged(leg))

    def update_came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """An UPDATE."""
        leg = self._leg
        offer = offers(request)
        if offer is not None and (leg.state != "established" or self._busy):
            transaction.refuse(491, now)
            return
        response = answer_to(request, 200)
        if not self._answer(transaction, response, offer, now):
            return
        leg.complete(response)
        transaction.respond(response, now)
        if offer is not None:
            leg.host.emit(MediaChanged(leg))

    def _answer(
        self, transaction: ServerTransaction, response: Response, offer: bytes | None, now: float
    ) -> bool:
        """Session timer and description of our answer; False if it was refused, and nothing has changed."""
        leg, request = self._leg, transaction.request
        try:
            if offer is not None:
                leg.negotiation.check(offer)
            leg.session_timer.answer(request, response.headers, now)
            if offer is not None:
                response.body = leg.negotiation.answer(offer)
        except SdpError:
            transaction.refuse(488, now)
            return False
        except IntervalTooSmallError:
            transaction.refuse(422, now, Min_SE=str(MIN_SECONDS))
            return False
        if leg.dialog is not None:
            leg.dialog.refresh(request)
        return True

    def acknowledged(self, request: Request, now: float) -> None:
        """An ACK came: to the answer to a re-INVITE, or one that came again."""
        waiting = self._unacknowledged
        if waiting is None or waiting.sequence != request.cseq[0]:
            return
        waiting.stop()
        self._unacknowledged = None
        if self._expects_answer:
            self._take_answer(offers(request), now)

    def _not_acknowledged(self, now: float) -> None:
        self._unacknowledged = None
        self._leg.hang_up(now, f"the {self._leg.peer} did not acknowledge a change of the call within 32 s")

    # -- ours -------------------------------------------------------------------------------

    def refresh(self, now: float) -> None:
        """Renew the session: by UPDATE if the peer knows it."""
        leg = self._leg
        if leg.state != "established" or leg.dialog is None:
            return
        if "update" not in leg.peer_allows:
            self.invite(now)
            return
        request = leg.dialog.request("UPDATE")
        leg.session_timer.ask(request.headers)
        request.headers.add("Supported", "timer")
        leg.request(request, now, self._refreshed, lambda when: self._lost(408, when))

    def _refreshed(self, response: Response, now: float) -> None:
        if response.status < 200:
            return
        if response.status < 300:
            self._leg.session_timer.learn(response, now)
        elif response.status in (408, 481):
            self._lost(response.status, now)
        elif response.status == 491:
            self._again_later(now, self.refresh)
        else:
            self._leg.session_timer.refused(response, now)

    def turn(self, wish: Direction, now: float) -> None:
        """Change our direction: "sendonly" puts the call on hold."""
        self._leg.negotiation.wish = wish
        self.invite(now)

    def invite(self, now: float) -> None:
        """Send a re-INVITE with an offer, as soon as nothing else is under way."""
        leg = self._leg
        if leg.state != "established" or leg.dialog is None:
            return
        if self._busy:
            self._again_later(now, self.invite)
            return
        self._count += 1
        this = self._ours = self._count
        request = leg.dialog.request("INVITE")
        request.body = leg.negotiation.offer()
        request.headers.add("Content-Type", "application/sdp")
        request.headers.add("Supported", "timer")
        leg.session_timer.ask(request.headers)

        def answered(response: Response, when: float) -> None:
            self._invite_answered(response, when, this, proofs.request)

        proofs = leg.request(request, now, answered, lambda when: self._lost(408, when))

    def _invite_answered(self, response: Response, now: float, which: int, sent: Request) -> None:
        leg = self._leg
        if response.status < 200 or leg.dialog is None:
            return
        if response.status >= 300:
            self._ours = None
            self._invite_refused(response, now)
            return
        ack = leg.dialog.request("ACK", sequence=response.cseq[0])
        duplicate_proofs(sent, ack)
        leg.host.send_ack(ack, leg.flow)
        if self._ours != which:
            return  # the same answer once more
        self._ours = None
        self._granted = leg.negotiation.wish
        leg.dialog.refresh(response)
        leg.session_timer.learn(response, now)
        self._take_answer(offers(response), now)

    def _invite_refused(self, response: Response, now: float) -> None:
        leg = self._leg
        if response.status == 491:
            self._again_later(now, self.invite)
        elif response.status in (408, 481):
            self._lost(response.status, now)
        else:
            # Everything stays as it was (section 14.1), our wish as well.
            leg.negotiation.wish = self._granted
            leg.session_timer.refused(response, now)
            leg.host.emit(ChangeRefused(leg, response.status))

    def _take_answer(self, answer: bytes | None, now: float) -> None:
        self._expects_answer = False
        try:
            self._leg.negotiation.take_answer(answer or b"")
        except SdpError:
            self._leg.hang_up(now, "a change of the call was answered without a description that can be used")
            return
        self._leg.host.emit(MediaChanged(self._leg))

    def _again_later(self, now: float, what: Callable[[float], None]) -> None:
        """Section 14.1: a while that the two sides choose differently; we take the slower."""
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._leg.host.timers.set(now + self._leg.host.random.uniform(2.1, 4.0), what)

    def _lost(self, status: int, now: float) -> None:
        self._ours = None
        self._leg.lost(f"the {self._leg.peer} does not know the call any more", status, now)
