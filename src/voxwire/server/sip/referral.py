"""Being transferred: a REFER of the peer, and the NOTIFYs that tell it how that goes (RFC 3515). Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from .host import ALLOW, refusal
from .message import Request, answer_to
from .outputs import Referred
from .transaction import ServerTransaction
from .values import SipError, parse_name_addr, parse_uri

if TYPE_CHECKING:
    from .leg import Leg

__all__ = ["Referral", "referred_to"]

SECONDS: Final = 90
"""How long news may be expected: the `expires` of the subscription that a REFER makes (section 2.4.4)."""


def referred_to(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Whom a Refer-To means: the URI to call, and headers for that INVITE.

    Of the headers that a URI may hold (RFC 3261 section 19.1.1) only `Replaces` is taken (RFC 3891), which makes an
    attended transfer; the rest is not the peer's business.

    Raises:
        SipError: it is no address, or asks for something other than a call.
    """
    uri = parse_name_addr(text).uri
    target, _, query = str(uri).partition("?")
    if (uri.params.get("method") or "INVITE").upper() != "INVITE":
        raise SipError("a REFER to something other than a call")
    fields = (field.partition("=") for field in query.split("&"))
    values = [unquote(value) for name, _, value in fields if name.lower() == "replaces"]
    parse_uri(target)
    if any(not value.isprintable() for value in values):
        raise SipError("a Replaces that is no header")
    return target, [("Replaces", value) for value in values[:1]]


class Referral:
    """The REFERs of one call; one at a time."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self._count = 0
        self._id = ""
        self.under_way = False

    def came(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A REFER."""
        leg = self._leg
        if not leg.host.takes_referrals:
            response = answer_to(request, 603)  # nobody transfers this one
            response.headers.add("Allow", ALLOW)
            transaction.respond(response, now)
            return
        if leg.state != "established" or self.under_way:
            transaction.refuse(491, now)
            return
        try:
            (value,) = request.headers.get_all("Refer-To")  # section 2.4.2: exactly one
            target, headers = referred_to(value)
        except ValueError:
            transaction.refuse(400, now)
            return
        by = request.headers.get("Referred-By")
        if by is not None:
            headers.append(("Referred-By", by))  # RFC 3892 section 2.2
        response = answer_to(request, 202)
        response.headers.add("Contact", leg.host.contact(leg.flow))
        transaction.respond(response, now)
        self._begin(request.cseq[0], now)
        leg.host.emit(Referred(leg, target, tuple(headers)))

    def _begin(self, number: int, now: float) -> None:
        self.under_way = True
        # Section 2.4.6: which REFER is meant has to be said from the second one on.
        self._count += 1
        self._id = f";id={number}" if self._count > 1 else ""
        self.report(100, now)  # section 2.4.4: at once

    def report(self, status: int, now: float) -> None:
        """Tell the peer what became of the call it asked for: the status it was answered with.

        Nothing is told after a status from 200 on, or when the call is over.
        """
        leg = self._leg
        if not self.under_way or leg.state != "established" or leg.dialog is None:
            return
        self.under_way = status < 200
        request = leg.dialog.request("NOTIFY")
        request.headers.add("Event", f"refer{self._id}")
        state = f"active;expires={SECONDS}" if self.under_way else "terminated;reason=noresource"
        request.headers.add("Subscription-State", state)
        request.headers.add("Content-Type", "message/sipfrag;version=2.0")
        request.body = f"SIP/2.0 {refusal(status)}\r\n".encode()  # section 2.4.5
        leg.request(request, now, lambda _response, _now: None, lambda _now: None)
