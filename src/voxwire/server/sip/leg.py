"""One call: from the INVITE to the BYE, whoever began it (RFC 3261 sections 9, 12 to 15). Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .dialog import Dialog
from .host import ALLOW, LegHost, Unacknowledged, describe, offers, refusal
from .machines import CALL
from .message import Request, Response, answer_to
from .negotiation import AgreedMedia, LocalMedia, Negotiation
from .outputs import Ended, Established, Flow, Keyed, Transferred
from .proofs import Proofs
from .reaching import UnreachableError, flow_anew
from .referral import Referral
from .sdp import SdpError
from .session_timer import MIN_SECONDS, IntervalTooSmallError, SessionTimer
from .timers import T1, Timer
from .transaction import ServerTransaction
from .transfer import Transfer
from .updates import Updates

__all__ = ["Leg"]

RING_AGAIN: Final = 60.0
"""Seconds until 180 is repeated, so that proxies do not give up (RFC 3261 section 13.3.1.1)."""
_KEYS: Final = "0123456789*#ABCD"


class Leg:
    """One call, with its dialog.

    Attributes:
        flow: where requests of ours go: to where the peer's last request came from, which gets through NAT, and
            sends nothing where nobody asked for it. If that connection is closed, see `flow_anew`.
        negotiation: of the audio.
        referral: what the peer asks of us in the way of transfers.
        state: see `CALL`.
        unreachable: why no request of ours can be sent now; empty if it can.
        peer: what the other one is called in reasons.
    """

    peer = "caller"

    def __init__(self, host: LegHost, flow: Flow, negotiation: Negotiation) -> None:
        self.host = host
        self.flow = flow
        self.negotiation = negotiation
        self.state = CALL.initial
        self.dialog: Dialog | None = None
        self.peer_allows: set[str] = set()
        self.session_timer = SessionTimer(host.timers, refresh=self._refresh, expire=self._expired)
        self.updates = Updates(self)
        self.referral = Referral(self)
        self._transfer = Transfer(
            host.timers, lambda status, final: host.emit(Transferred(self, status, final))
        )
        self._transaction: ServerTransaction | None = None
        self._unacknowledged: Unacknowledged | None = None
        self._ringing: Timer | None = None
        self._reason = ""
        self.unreachable = ""

    @property
    def media(self) -> AgreedMedia | None:
        """What was agreed on."""
        return self.negotiation.agreed

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state == "ended"

    def step(self, event: str) -> None:
        """Go on in `CALL`."""
        self.state = CALL.step(self.state, event)

    def end(self, event: str, reason: str, status: int | None = None) -> None:
        """Go on to the end of the call, and tell."""
        self.step(event)
        self._finish(reason, status)

    def _finish(self, reason: str, status: int | None = None) -> None:
        self.stop_waiting()
        self.session_timer.stop()
        self.updates.stop()
        self._transfer.stop()
        if self.dialog is not None:
            self.host.forget(self.dialog)
        self.host.emit(Ended(self, self._reason or reason, status))

    def stop_waiting(self) -> None:
        """No more 180, no more 200."""
        if self._ringing is not None:
            self._ringing.cancel()
        if self._unacknowledged is not None:
            self._unacknowledged.stop()

    # -- they call us -------------------------------------------------------------------------

    def invited(self, transaction: ServerTransaction, dialog: Dialog, now: float) -> None:
        """An INVITE came, with an offer that can be answered or none."""
        self._transaction = transaction
        self.dialog = dialog
        self.peer_allows = transaction.request.headers.tokens("Allow")
        self.step("invited")
        self._provisional(100, now)

    def serves(self, transaction: ServerTransaction) -> bool:
        """Whether this is the INVITE that began it."""
        return self._transaction is transaction

    def began_with(self, key: tuple[str, str, int]) -> bool:
        """Whether an INVITE with this Call-ID, tag and number began it."""
        begun = self._transaction
        return begun is not None and key == (
            begun.request.call_id,
            begun.request.from_.tag or "",
            begun.request.cseq[0],
        )

    def ring(self, now: float) -> None:
        """Say that it rings, and go on saying so."""
        if self.state != "ringing":
            return
        self._provisional(180, now)
        self._ringing = self.host.timers.set(now + RING_AGAIN, self.ring)

    def _provisional(self, status: int, now: float) -> None:
        if self._transaction is None or self.dialog is None:
            return
        response = answer_to(self._transaction.request, status, to_tag=self.dialog.local.tag or "")
        if status > 100:
            response.headers.add("Contact", self.host.contact(self.flow))
        self._transaction.respond(response, now)

    def accept(self, local: LocalMedia, now: float) -> None:
        """Answer the call; `Established` follows with the ACK.

        Raises:
            SdpError: the offer cannot be answered after all; the call was refused.
        """
        transaction, dialog = self._transaction, self.dialog
        if self.state != "ringing" or transaction is None or dialog is None:
            return
        self.negotiation.place(local)
        response = answer_to(transaction.request, 200, to_tag=dialog.local.tag or "")
        offer = offers(transaction.request)
        try:
            response.body = self.negotiation.offer() if offer is None else self.negotiation.answer(offer)
            self.session_timer.answer(transaction.request, response.headers, now)
        except SdpError:
            self.reject(488, now)
            raise
        except IntervalTooSmallError:
            self.reject(422, now, Min_SE=str(MIN_SECONDS))
            return
        self.complete(response)
        self.step("accept")
        self.stop_waiting()
        self._unacknowledged = Unacknowledged(self.host, transaction, response, self._not_acknowledged)
        self._unacknowledged.start(now)

    def complete(self, response: Response) -> None:
        """Add what an answer of ours has besides."""
        response.headers.add("Contact", self.host.contact(self.flow))
        describe(response.headers, referrals=self.host.takes_referrals)
        if response.body:
            response.headers.add("Content-Type", "application/sdp")

    def reject(self, status: int, now: float, **headers: str) -> None:
        """Refuse the call."""
        if self.state != "ringing" or self._transaction is None or self.dialog is None:
            return
        self._transaction.refuse(status, now, to_tag=self.dialog.local.tag or "", **headers)
        self.end("reject", f"rejected with {refusal(status)}", status)

    def cancelled(self, now: float) -> None:
        """The caller does not want the call any more."""
        if self.state == "ringing" and self._transaction is not None and self.dialog is not None:
            self._transaction.refuse(487, now, to_tag=self.dialog.local.tag or "")
            self.end("cancelled", "the caller hung up before the call was answered", 487)

    def acknowledged(self, request: Request, now: float) -> None:
        """An ACK to a 2xx came."""
        waiting = self._unacknowledged
        if (
            waiting is None
            or waiting.sequence != request.cseq[0]
            or self.state not in ("answered", "giving up")
        ):
            self.updates.acknowledged(request, now)
            return
        waiting.stop()
        if self.media is None and not self._answered(offers(request)):
            self._reason = self._reason or "the caller's ACK has no answer to the offer"
            self.step("no ACK")
            self._bye(now)
            return
        leaving = self.state == "giving up"
        self.step("ACK")
        if leaving:
            self._bye(now)
        else:
            self.host.emit(Established(self))

    def _answered(self, answer: bytes | None) -> bool:
        try:
            self.negotiation.take_answer(answer or b"")
        except SdpError:
            return False
        return True

    def _not_acknowledged(self, now: float) -> None:
        self._reason = self._reason or "the caller did not acknowledge the answer within 32 s"
        self.step("no ACK")
        self._bye(now)

    # -- we call them: see `caller.py` for the INVITE -------------------------------------------

    def answered(self, dialog: Dialog) -> None:
        """Our INVITE was answered."""
        self.dialog = dialog
        self.step("answer")
        if self.state == "established":
            self.host.emit(Established(self))

    def give_up(self) -> None:
        """Our INVITE is being cancelled."""
        self.step("hang up")

    # -- the end ------------------------------------------------------------------------------

    def hang_up(self, now: float, reason: str = "hung up here") -> None:
        """End a call that was answered; idempotent."""
        if not CALL.allows(self.state, "hang up") or self.state == "calling":
            return
        self._reason = reason
        self.step("hang up")
        if self.state == "leaving":
            self._bye(now)

    def _bye(self, now: float) -> None:
        self.session_timer.stop()
        if self.dialog is None:
            return
        request = self.dialog.request("BYE")
        self.request(
            request, now, lambda response, _now: self._gone(response.status), lambda _now: self._gone(408)
        )
        # A BYE that is on its way for long ends the call as well; nobody waits for more than that.
        self._ringing = self.host.timers.set(now + 64 * T1, lambda _now: self._gone(408))

    def _gone(self, status: int) -> None:
        if self.state == "leaving" and status >= 200:
            if self.unreachable:
                self._reason += f"; the {self.peer} was not told, for {self.unreachable}"
            self.end("gone", "hung up")

    def broken(self, flow: Flow) -> None:
        """The connection of a flow is closed. That ends no call: the peer may be back along another one."""
        if self.dialog is None or flow.connection is None or not self.flow.is_along(flow):
            return
        try:
            self.flow = flow_anew(self.dialog, flow)
        except UnreachableError as error:
            self.unreachable = f"it has closed its connection: {error}"

    def lost(self, reason: str, status: int, now: float) -> None:
        """The peer does not know the call any more, or does not answer."""
        if self.state != "established" or self.dialog is None:
            return
        # Section 12.2.1.2: with a BYE, in case it is there all the same; nobody waits for its answer.
        bye = self.dialog.request("BYE")
        self.host.send(bye, self.flow, now, lambda _response, _now: None, lambda _now: None)
        self.end("gone", self.unreachable or reason, status)

    def _expired(self, now: float) -> None:
        what = "refused to" if self.session_timer.ours else "did not"
        self.hang_up(now, f"the {self.peer} {what} renew the session (RFC 4028)")

    def _refresh(self, now: float) -> None:
        self.updates.refresh(now)

    # -- requests inside the call ---------------------------------------------------------------

    def receive(self, transaction: ServerTransaction, request: Request, flow: Flow, now: float) -> None:
        """A request of the peer, other than ACK and CANCEL."""
        dialog = self.dialog
        if dialog is None or self.over:
            transaction.refuse(481, now)
            return
        if not dialog.accepts(request):
            transaction.refuse(500, now)  # section 12.2.2
            return
        self.flow, self.unreachable = flow, ""
        handle: dict[str, Callable[[ServerTransaction, Request, float], None]] = {
            "BYE": self._bye_came,
            "INVITE": self.updates.invite_came,
            "UPDATE": self.updates.update_came,
            "INFO": self._info_came,
            "NOTIFY": self._transfer.notified,
            "REFER": self.referral.came,
            "OPTIONS": self._options_came,
        }
        handle.get(request.method, self._unknown_came)(transaction, request, now)

    def _bye_came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        transaction.respond(answer_to(request, 200), now)
        if self.state == "ringing":  # in an early dialog it means the same as CANCEL (section 15)
            self.cancelled(now)
        elif CALL.allows(self.state, "BYE"):
            self.end("BYE", f"the {self.peer} hung up")

    def _info_came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        kind, body = request.content_type, request.body.decode("utf-8", "replace")
        if kind == "application/dtmf-relay":
            lines = (line.partition("=") for line in body.splitlines())
            key = next((value for name, _, value in lines if name.strip().lower() == "signal"), "")
        elif kind == "application/dtmf":
            key = body
        elif body:
            response = answer_to(request, 415)
            response.headers.add("Accept", "application/dtmf-relay, application/dtmf")
            transaction.respond(response, now)
            return
        else:
            key = ""
        transaction.respond(answer_to(request, 200), now)
        key = key.strip().upper()
        if len(key) == 1 and key in _KEYS and self.state == "established":
            self.host.emit(Keyed(self, key))

    def _options_came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        response = answer_to(request, 200)
        describe(response.headers, referrals=self.host.takes_referrals)
        transaction.respond(response, now)

    def _unknown_came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        response = answer_to(request, 405)
        response.headers.add("Allow", ALLOW)
        transaction.respond(response, now)

    # -- requests of ours -----------------------------------------------------------------------

    def refer(self, target: str, now: float) -> bool:
        """Have the peer call this URI; `Transferred` tells how it goes. False if it cannot be asked now."""
        if self.state != "established" or self.dialog is None or self._transfer.under_way:
            return False
        request = self.dialog.request("REFER")
        request.headers.add("Refer-To", f"<{target}>")
        request.headers.add("Referred-By", f"<{self.dialog.local.uri}>")
        self._transfer.begin(now)
        self.request(request, now, self._referred, lambda _now: self._transfer.over(408))
        return True

    def _referred(self, response: Response, now: float) -> None:
        del now
        if response.status >= 300:
            self._transfer.over(response.status)

    def request(
        self,
        request: Request,
        now: float,
        on_response: Callable[[Response, float], None],
        on_timeout: Callable[[float], None],
    ) -> Proofs:
        """Send a request inside the call, and again with what it is asked for; returns what has become of it."""
        if "Contact" not in request.headers:
            request.headers.add("Contact", self.host.contact(self.flow))
        proofs = self.proofs(request)

        def answered(response: Response, when: float) -> None:
            again = self.again(proofs, response)
            if again is None:
                on_response(response, when)
            else:
                self.host.send(again, self.flow, when, answered, on_timeout)

        self.host.send(request, self.flow, now, answered, on_timeout)
        return proofs

    def proofs(self, request: Request) -> Proofs:
        """Those of a request that is about to be sent."""
        return Proofs(request, self.host.credentials, self.host.new_tag)

    def again(self, proofs: Proofs, response: Response) -> Request | None:
        """What to send after this response; None if it is the last word."""
        number = proofs.request.cseq[0] + 1
        if self.dialog is not None:
            number = max(self.dialog.sequence + 1, number)
        again = proofs.again(response, number)
        if again is not None and self.dialog is not None:
            self.dialog.sequence = number
        return again
