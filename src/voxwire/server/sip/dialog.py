"""A dialog: what two user agents know of each other during a call (RFC 3261 section 12). Sans-I/O."""

from __future__ import annotations

from .message import Headers, Request, Response
from .values import NameAddr, SipError, SipUri, parse_name_addr, parse_uri

__all__ = ["Dialog", "DialogId"]

DialogId = tuple[str, str, str]
"""Call-ID, our tag, their tag."""


class Dialog:
    """One dialog.

    Attributes:
        call_id: of the call.
        local, remote: the addresses of From and To in requests of ours.
        target: the Request-URI of requests of ours: the peer's Contact.
        route: values of Route in requests of ours.
        sequence: CSeq number of our last request.
        remote_sequence: that of theirs; None before one came.
    """

    def __init__(
        self, call_id: str, local: NameAddr, remote: NameAddr, *, target: str, route: list[str], sequence: int
    ) -> None:
        self.call_id = call_id
        self.local = local
        self.remote = remote
        self.target = target
        self.route = route
        self.sequence = sequence
        self.remote_sequence: int | None = None

    @classmethod
    def of_invited(cls, request: Request, tag: str, sequence: int) -> Dialog:
        """Ours as the callee, from the INVITE (section 12.1.1).

        Raises:
            SipError: there is no Contact to send requests to.
        """
        contact = request.contact
        if contact is None:
            raise SipError("an INVITE without a Contact")
        dialog = cls(
            request.call_id,
            request.to.with_tag(tag),
            request.from_,
            target=str(contact.uri),
            route=request.headers.get_all("Record-Route"),
            sequence=sequence,
        )
        dialog.remote_sequence = request.cseq[0]
        return dialog

    @classmethod
    def of_caller(cls, request: Request, response: Response) -> Dialog:
        """Ours as the caller, from a response to our INVITE (section 12.1.2).

        Raises:
            SipError: it has no Contact.
        """
        contact = response.contact
        if contact is None:
            raise SipError("an answer to an INVITE without a Contact")
        return cls(
            request.call_id,
            request.from_,
            response.to,
            target=str(contact.uri),
            route=response.headers.get_all("Record-Route")[::-1],
            sequence=request.cseq[0],
        )

    @property
    def id(self) -> DialogId:
        """How a request of the peer names it."""
        return (self.call_id, self.local.tag or "", self.remote.tag or "")

    def request(self, method: str, *, sequence: int | None = None) -> Request:
        """A request of ours, without a Via (section 12.2.1.1).

        Args:
            sequence: the CSeq number, for an ACK that of its INVITE; None counts on.
        """
        if sequence is None:
            self.sequence += 1
            sequence = self.sequence
        headers = Headers()
        headers.add("Max-Forwards", 70)
        uri, route = self._way()
        for value in route:
            headers.add("Route", value)
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{sequence} {method}")
        return Request(method=method, uri=uri, headers=headers)

    @property
    def next_hop(self) -> SipUri | None:
        """Where requests of ours have to go first (section 8.1.2); None if that cannot be read."""
        try:
            return parse_name_addr(self.route[0]).uri if self.route else parse_uri(self.target)
        except SipError:
            return None

    def _way(self) -> tuple[str, list[str]]:
        """Request-URI and Route; a strict router comes first (section 12.2.1.1)."""
        if not self.route:
            return self.target, []
        try:
            first = parse_name_addr(self.route[0]).uri
        except SipError:
            return self.target, self.route
        if "lr" in first.params:
            return self.target, self.route
        return str(first), [*self.route[1:], f"<{self.target}>"]

    def accepts(self, request: Request) -> bool:
        """Whether a request of the peer is in order (section 12.2.2); one that is older is not."""
        number = request.cseq[0]
        if self.remote_sequence is not None and number <= self.remote_sequence and request.method != "ACK":
            return False
        if request.method not in ("ACK", "CANCEL"):
            self.remote_sequence = number
        return True

    def refresh(self, message: Request | Response) -> None:
        """Take the peer's new Contact (section 12.2): of a re-INVITE or UPDATE, or the answer to ours."""
        try:
            contact = message.contact
            if contact is not None and parse_uri(str(contact.uri)).scheme in ("sip", "sips"):
                self.target = str(contact.uri)
        except SipError:
            pass  # the old one stays
