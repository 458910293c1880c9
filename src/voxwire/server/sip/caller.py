"""Placing a call: the INVITE of ours, its answers, CANCEL (RFC 3261 sections 8.1, 9.1 and 13.2). Sans-I/O."""

from __future__ import annotations

from .dialog import Dialog
from .host import LegHost, describe, offers, refusal
from .leg import Leg
from .message import Headers, Request, Response, check_field
from .negotiation import LocalMedia, Negotiation
from .outputs import Flow, Progress
from .proofs import duplicate_proofs
from .sdp import SdpError
from .timers import T1
from .transaction import ClientTransaction
from .values import NameAddr, SipError, parse_cseq, parse_uri

__all__ = ["OutgoingLeg"]


class OutgoingLeg(Leg):
    """A call that we place.

    Args:
        target: whom to call, a `sip:` URI.
        from_: who calls.
        extra: further headers of the INVITE.

    Attributes:
        heard_back: whether anything at all has come back, be it 100 Trying or that a password is wanted.

    Raises:
        SipError: `target` is no URI, or a header cannot be sent as it is.
    """

    peer = "other side"

    def __init__(
        self,
        host: LegHost,
        flow: Flow,
        negotiation: Negotiation,
        *,
        target: str,
        from_: NameAddr,
        call_id: str,
        extra: list[tuple[str, str]],
    ) -> None:
        super().__init__(host, flow, negotiation)
        self._target = target
        headers = Headers()
        headers.add("Max-Forwards", 70)
        headers.add("From", from_.with_tag(host.new_tag()))
        headers.add("To", NameAddr(parse_uri(target)))
        headers.add("Call-ID", call_id)
        headers.add("CSeq", f"{host.random.randrange(1, 1 << 20)} INVITE")
        headers.add("Contact", host.contact(flow))
        describe(headers, referrals=host.takes_referrals)
        for name, value in (("From", str(from_)), *extra):
            check_field(name, value)
        for name, value in extra:
            headers.add(name, value)
        self._proofs = self.proofs(Request(method="INVITE", uri=target, headers=headers))
        self._sent: ClientTransaction | None = None
        self._may_cancel = False  # what was sent last (section 9.1)
        self.heard_back = False
        self._acks: dict[str, bytes] = {}

    def start(self, local: LocalMedia, now: float) -> None:
        """Send the INVITE."""
        self.negotiation.place(local)
        invite = self._proofs.request
        invite.body = self.negotiation.offer()
        invite.headers.add("Content-Type", "application/sdp")
        self.step("invite")
        self._send(invite, now)

    def _send(self, invite: Request, now: float) -> None:
        self._may_cancel = False
        self._sent = self.host.send(invite, self.flow, now, self._responded, self._timed_out)

    def cancel(self, now: float, reason: str = "cancelled here") -> None:
        """Give the call up before it is answered; afterwards it is hung up."""
        if self.state != "calling":
            self.hang_up(now, reason)
            return
        self._reason = reason
        self.give_up()
        if self._may_cancel:
            self._send_cancel(now)

    def _send_cancel(self, now: float) -> None:
        sent = self._sent
        if sent is None:
            return
        headers = Headers([("Via", str(sent.request.via)), ("Max-Forwards", "70")])
        for route in sent.request.headers.get_all("Route"):
            headers.add("Route", route)
        for name in ("From", "To", "Call-ID"):
            headers.add(name, sent.request.headers.get(name) or "")
        headers.add("CSeq", f"{parse_cseq(sent.request.headers.get('CSeq') or '')[0]} CANCEL")
        request = Request(method="CANCEL", uri=self._target, headers=headers)
        self.host.send(request, self.flow, now, lambda _response, _now: None, lambda _now: None)
        # Section 9.1: without a final response after this time, the call counts as cancelled.
        self._ringing = self.host.timers.set(now + 64 * T1, self._timed_out)

    def _timed_out(self, now: float) -> None:
        del now
        if self._sent is not None:
            self._sent.abandon()
        if self.state in ("calling", "cancelling"):
            self.end("refused", "nobody answered", 408)

    def _responded(self, response: Response, now: float) -> None:
        self.heard_back = True
        if response.status < 200:
            if self.state == "cancelling" and not self._may_cancel:
                self._send_cancel(now)
            self._may_cancel = True
            if self.state == "calling":
                self.host.emit(Progress(self, response.status))
        elif response.status < 300:
            self._accepted(response, now)
        elif self.state in ("calling", "cancelling"):
            self._refused(response, now)

    def _refused(self, response: Response, now: float) -> None:
        again = self.again(self._proofs, response) if self.state == "calling" else None
        if again is not None:
            self._send(again, now)
            return
        self.end("refused", f"refused with {refusal(response.status)}", response.status)

    def _accepted(self, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            self.host.transmit(self._acks[tag], self.flow)
            return
        try:
            dialog = Dialog.of_caller(self._proofs.request, response)
        except SipError:
            if not self.over:  # else it came again
                self.end("refused", "the answer has no address for the call", 500)
            return
        ack = dialog.request("ACK", sequence=response.cseq[0])
        duplicate_proofs(self._proofs.request, ack)
        self._acks[tag] = self.host.send_ack(ack, self.flow)
        if self.dialog is not None or self.over:
            # Another phone that rang for the same call has answered, too (section 13.2.2.4).
            bye = dialog.request("BYE")
            self.host.send(bye, self.flow, now, lambda _response, _now: None, lambda _now: None)
            return
        self._begin(dialog, response, now)

    def _begin(self, dialog: Dialog, response: Response, now: float) -> None:
        self.peer_allows = response.headers.tokens("Allow")
        self.stop_waiting()
        self.dialog = dialog
        self.host.enter(self)
        try:
            self.negotiation.take_answer(offers(response) or b"")
        except SdpError as error:
            self._reason = f"the answer cannot be used: {error}"
            if self.state == "calling":
                self.give_up()
        self.session_timer.learn(response, now)
        self.answered(dialog)
        if self.state == "leaving":
            self._bye(now)
