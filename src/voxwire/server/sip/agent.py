"""The user agent: messages in, messages and news of calls out (RFC 3261 sections 8, 9, 11 and 12). Sans-I/O.

The owner hands in what arrives and the time, carries out `Transmit`, and calls `run` at `next_due`.
Whatever arrives, nothing raises: what cannot be read is answered with 400 where it can be, or dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from .admission import Admission
from .caller import OutgoingLeg
from .dialog import Dialog, DialogId
from .digest import Authenticator, Credentials
from .host import describe
from .leg import Leg
from .message import BadRequestError, Headers, Message, Request, Response, answer_to, parse_message
from .negotiation import LocalMedia, Negotiation
from .outputs import Flow, Invited, Output, Transmit
from .screening import Refused, unfit, unsupported
from .sdp import Codec
from .timers import Timers
from .transaction import ClientTransaction, Wiring
from .transactions import COOKIE, Transactions, reply_flow, stamp
from .values import NameAddr, SipError

__all__ = ["AgentOptions", "UserAgent"]

RETRY_AFTER = "5"
"""Seconds after which one may call again who was refused with 503."""
TRANSACTIONS_PER_LEG = 20
"""So many of the peers' requests are remembered for each call that there may be; more are refused with 503."""
_DIALOG_ONLY = ("BYE", "UPDATE", "INFO", "NOTIFY")


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """How a user agent behaves.

    Attributes:
        port: where it listens, for Via and Contact.
        codecs: what it speaks, the best first.
        user: the user part of its Contact.
        product: what it says of itself (User-Agent and Server).
        authenticator: who may call; None lets everybody.
        credentials: what it proves who it is by.
        takes_calls: whether it can be called at all.
        takes_referrals: whether peers may have it call somebody else (REFER).
        max_legs: calls and ends of calls at a time; more are refused with 503.
        invites_per_second: of one source; more are refused with 503.
        max_bytes: of a message.
    """

    port: int
    codecs: Sequence[Codec]
    user: str = "voxwire"
    product: str = "voxwire"
    authenticator: Authenticator | None = None
    credentials: Credentials | None = None
    takes_calls: bool = True
    takes_referrals: bool = False
    max_legs: int = 200
    invites_per_second: float = 20.0
    max_bytes: int = 65_535


class UserAgent:
    """One user agent.

    Args:
        random: makes tags and branches; has to be unpredictable outside of tests.
    """

    def __init__(self, options: AgentOptions, random: Random) -> None:
        self.options = options
        self.timers = Timers()
        self.random = random
        self.draining = False
        """Refuse new calls: the owner is about to stop."""
        self.malformed = 0
        """Messages that could not be read."""
        self._outputs: list[Output] = []
        self._transactions = Transactions(Wiring(self.timers, self.transmit))
        self._legs: dict[DialogId, Leg] = {}
        self._admission = Admission(options.invites_per_second)
        self._tag_key = random.getrandbits(128).to_bytes(16, "big")

    # -- the owner's side -----------------------------------------------------------------------

    @property
    def next_due(self) -> float | None:
        """When to call `run`."""
        return self.timers.next_due

    @property
    def legs(self) -> tuple[Leg, ...]:
        """Calls, and calls that are ending."""
        return tuple(self._legs.values())

    @property
    def transactions(self) -> int:
        """Transactions that are remembered, some for 32 s after their end."""
        return len(self._transactions)

    def take(self) -> list[Output]:
        """What has to be done and told since the last time."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def put_back(self, outputs: list[Output]) -> None:
        """Give back what `take` gave, to be taken first the next time."""
        self._outputs = outputs + self._outputs

    def run(self, now: float) -> list[Output]:
        """Do what is due."""
        self.timers.run(now)
        return self.take()

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Output]:
        """A message arrived."""
        try:
            if len(data) > self.options.max_bytes:
                raise SipError(f"a message of {len(data)} bytes", 513)
            self._dispatch(parse_message(data), flow, now)
        except BadRequestError as error:
            self.malformed += 1
            self._reply(error.request, error.status, flow)
        except SipError:
            self.malformed += 1
        return self.take()

    def broken(self, flow: Flow, now: float) -> list[Output]:
        """What was to go along this flow could not be sent, or its connection is closed."""
        self._transactions.broken(flow, now)
        for leg in self.legs:
            leg.broken(flow)
        return self.take()

    def call(
        self,
        target: str,
        flow: Flow,
        local: LocalMedia,
        now: float,
        *,
        from_: NameAddr,
        headers: Sequence[tuple[str, str]] = (),
    ) -> OutgoingLeg:
        """Place a call.

        Raises:
            SipError: `target` is no URI.
        """
        call_id = f"{self.new_tag()}@{flow.local}"
        leg = OutgoingLeg(
            self,
            flow,
            Negotiation(self.options.codecs),
            target=target,
            from_=from_,
            call_id=call_id,
            extra=list(headers),
        )
        leg.start(local, now)
        return leg

    # -- what calls need: see `LegHost` -----------------------------------------------------------

    @property
    def credentials(self) -> Credentials | None:
        """Who we are."""
        return self.options.credentials

    @property
    def takes_referrals(self) -> bool:
        """Whether we may be transferred."""
        return self.options.takes_referrals

    def new_tag(self) -> str:
        """64 random bits."""
        return f"{self.random.getrandbits(64):016x}"

    def contact(self, flow: Flow) -> str:
        """Our Contact on this flow."""
        transport = ";transport=tcp" if flow.reliable else ""
        return f"<sip:{self.options.user}@{_host(flow.local)}:{self.options.port}{transport}>"

    def transmit(self, data: bytes, flow: Flow, /) -> None:
        """Send bytes."""
        self._outputs.append(Transmit(data, flow))

    def emit(self, output: Output) -> None:
        """Tell the owner."""
        self._outputs.append(output)

    def send(
        self,
        request: Request,
        flow: Flow,
        now: float,
        on_response: Callable[[Response, float], None],
        on_timeout: Callable[[float], None],
    ) -> ClientTransaction:
        """Begin a transaction."""
        self._complete(request, flow)
        return self._transactions.send(request, flow, now, on_response, on_timeout)

    def send_ack(self, request: Request, flow: Flow) -> bytes:
        """Send an ACK."""
        self._complete(request, flow)
        data = request.to_bytes()
        self.transmit(data, flow)
        return data

    def enter(self, leg: Leg, /) -> None:
        """A call has its dialog."""
        if leg.dialog is not None:
            self._legs[leg.dialog.id] = leg

    def forget(self, dialog: Dialog, /) -> None:
        """A call is over."""
        self._legs.pop(dialog.id, None)

    def _complete(self, request: Request, flow: Flow) -> None:
        if "Via" not in request.headers:
            via = f"SIP/2.0/{flow.protocol} {_host(flow.local)}:{self.options.port};branch={COOKIE}{self.new_tag()}"
            request.headers.add("Via", f"{via};rport")
        if "User-Agent" not in request.headers:
            request.headers.add("User-Agent", self.options.product)

    # -- what arrives -----------------------------------------------------------------------------

    def _dispatch(self, message: Message, flow: Flow, now: float) -> None:
        if isinstance(message, Response):
            self._transactions.answer(message, now)
            return
        stamp(message, flow)
        if self._transactions.absorb(message, now):
            return
        if message.method == "ACK":
            leg = self._leg_of(message)
            if leg is not None:
                leg.acknowledged(message, now)
            return
        if message.method == "CANCEL":
            self._cancelled(message, flow, now)
        elif message.to.tag is not None or message.method in _DIALOG_ONLY:
            self._inside(message, flow, now)
        elif message.method != "INVITE":
            self._asked(message, flow)
        elif self._transactions.merges(message):
            self._reply(message, 482, flow)  # it came by two ways (section 8.2.2.2)
        elif not self._refused_at_once(message, flow, now):
            self._invited(message, flow, now)

    def _leg_of(self, request: Request) -> Leg | None:
        return self._legs.get((request.call_id, request.to.tag or "", request.from_.tag or ""))

    def _inside(self, request: Request, flow: Flow, now: float) -> None:
        """A request that belongs to a call, or says so."""
        leg = self._leg_of(request)
        if leg is None:
            self._reply(request, 481, flow)
        elif self._full and request.method != "BYE":
            self._reply(request, 503, flow, ("Retry-After", RETRY_AFTER))
        elif missing := unsupported(request):
            self._reply(request, 420, flow, ("Unsupported", missing))
        else:
            leg.receive(self._transactions.serve(request, flow), request, flow, now)

    @property
    def _full(self) -> bool:
        return self._transactions.served >= TRANSACTIONS_PER_LEG * self.options.max_legs

    @property
    def _busy(self) -> bool:
        return self.draining or self._full or len(self._legs) >= self.options.max_legs

    def _refused_at_once(self, request: Request, flow: Flow, now: float) -> bool:
        """Refuse an INVITE that must not cost anything, or is none of ours to take."""
        if self._busy or not self._admission.admit(flow.host, now):
            self._reply(request, 503, flow, ("Retry-After", RETRY_AFTER))
            return True
        return self._challenged(request, flow, now)

    def _challenged(self, request: Request, flow: Flow, now: float) -> bool:
        doorman = self.options.authenticator
        if doorman is None:
            return False
        verdicts = [
            doorman.verify(value, request.method, request.uri, now)
            for value in request.headers.get_all("Authorization")
        ]
        if "ok" in verdicts:
            return False
        challenges = doorman.challenges(now, stale="stale" in verdicts)
        self._reply(request, 401, flow, *(("WWW-Authenticate", value) for value in challenges))
        return True

    def _reply(self, request: Request, status: int, flow: Flow, *headers: tuple[str, str]) -> None:
        """A response that nothing is remembered of (section 8.2.7): it is not repeated, and never goes to an ACK.

        So nobody can fill the memory with requests, or have a refusal sent to somebody else over and over.
        """
        if request.method == "ACK":
            return
        try:
            stamp(request, flow)
            response = answer_to(request, status, to_tag=self._tag_for(request))
            for name, value in headers:
                response.headers.add(name, value)
            self.transmit(response.to_bytes(), reply_flow(request, flow))
        except SipError:
            pass  # not even that can be read

    def _tag_for(self, request: Request) -> str:
        """The same request gets the same tag, however often it comes (section 8.2.7)."""
        named = "\n".join((request.call_id, request.headers.get("From") or "", request.via.branch))
        data = named.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(data, key=self._tag_key, digest_size=8).hexdigest()

    # -- requests outside of calls ------------------------------------------------------------------

    def _cancelled(self, request: Request, flow: Flow, now: float) -> None:
        invite = self._transactions.cancelled(request)
        if invite is None:
            self._reply(request, 481, flow)
            return
        leg = next((leg for leg in self._legs.values() if leg.serves(invite)), None)
        tag = leg.dialog.local.tag if leg is not None and leg.dialog is not None else None
        # Section 9.2: with the tag of the answer to the INVITE.
        self._transactions.serve(request, flow).refuse(200, now, to_tag=tag or self._tag_for(invite.request))
        if leg is not None:
            leg.cancelled(now)

    def _asked(self, request: Request, flow: Flow) -> None:
        """OPTIONS, answered as an INVITE would be (section 11.2), or what is not for us."""
        said = Headers()
        describe(said)
        said.add("Server", self.options.product)
        status = {"OPTIONS": 200, "SUBSCRIBE": 489, "REFER": 603}.get(request.method, 405)
        missing = unsupported(request)
        if status == 200 and missing:
            status = 420
            said.add("Unsupported", missing)
        elif status == 200 and self._busy:
            status = 503
            said.add("Retry-After", RETRY_AFTER)
        elif status == 200:
            said.add("Accept", "application/sdp, application/dtmf-relay, message/sipfrag")
            said.add("Contact", self.contact(flow))
        self._reply(request, status, flow, *said)

    def _invited(self, request: Request, flow: Flow, now: float) -> None:
        refuse: Refused | None = (
            unfit(request, self.options.codecs) if self.options.takes_calls else (480, [])
        )
        if refuse is not None:
            status, headers = refuse
            self._reply(request, status, flow, *headers)
            return
        try:
            dialog = Dialog.of_invited(request, self.new_tag(), self.random.randrange(1, 1 << 20))
        except SipError:
            self._reply(request, 400, flow)
            return
        leg = Leg(self, flow, Negotiation(self.options.codecs))
        leg.invited(self._transactions.serve(request, flow), dialog, now)
        self.enter(leg)
        self.emit(Invited(leg, request))


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
