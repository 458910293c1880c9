"""Transactions: one request with all its retransmissions and responses (RFC 3261 section 17). Sans-I/O.

Time is handed in. The tables are in `machines`; timers have the letters of the RFC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...protocol.table import Table
from .machines import INVITE_CLIENT, INVITE_SERVER, PLAIN_CLIENT, PLAIN_SERVER
from .message import Headers, Request, Response, answer_to
from .outputs import Flow
from .proofs import duplicate_proofs
from .timers import T1, T2, T4, Timer, Timers

__all__ = ["ClientTransaction", "ServerTransaction", "Wiring"]


@dataclass(frozen=True, slots=True)
class Wiring:
    """What every transaction of a user agent uses.

    Attributes:
        timers: where its timers are.
        transmit: sends bytes.
    """

    timers: Timers
    transmit: Callable[[bytes, Flow], None]


class _Transaction:
    def __init__(self, table: Table, flow: Flow, wiring: Wiring, on_end: Callable[[], None]) -> None:
        self.table = table
        self.state = table.initial
        self.flow = flow
        self._wiring = wiring
        self._on_end = on_end
        self._repeat: Timer | None = None
        self._limit: Timer | None = None
        self._interval = T1

    @property
    def over(self) -> bool:
        """Whether nothing is left of it."""
        return self.state == "terminated"

    def _step(self, event: str) -> None:
        self.state = self.table.step(self.state, event)
        if self.over:
            self._stop_repeating()
            self._stop_limit()
            self._on_end()

    def _stop_repeating(self) -> None:
        if self._repeat is not None:
            self._repeat.cancel()
            self._repeat = None

    def _stop_limit(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None

    def _set_limit(self, seconds: float, event: str, now: float) -> None:
        """Step by `event` after so long; at once where nothing has to be absorbed."""
        self._stop_limit()
        if seconds <= 0:
            self._step(event)
        else:
            self._limit = self._wiring.timers.set(now + seconds, lambda _now: self._step(event))

    def _repeat_after(self, seconds: float, now: float, action: Callable[[float], None]) -> None:
        self._repeat = self._wiring.timers.set(now + seconds, action)


class ClientTransaction(_Transaction):
    """A request of ours.

    Args:
        on_response: gets every response that is not a repetition, in order; 2xx of an INVITE each time.
        on_timeout: nobody answered.
    """

    def __init__(
        self,
        request: Request,
        flow: Flow,
        wiring: Wiring,
        *,
        on_response: Callable[[Response, float], None],
        on_timeout: Callable[[float], None],
        on_end: Callable[[], None],
    ) -> None:
        self.invite = request.method == "INVITE"
        super().__init__(INVITE_CLIENT if self.invite else PLAIN_CLIENT, flow, wiring, on_end)
        self.request = request
        self._data = request.to_bytes()
        self._ack: bytes | None = None
        self._on_response = on_response
        self._on_timeout = on_timeout

    def start(self, now: float) -> None:
        """Send it."""
        self._wiring.transmit(self._data, self.flow)
        if not self.flow.reliable:
            self._repeat_after(self._interval, now, self._again)  # timers A and E
        self._limit = self._wiring.timers.set(now + 64 * T1, self._gave_up)  # timers B and F

    def fail(self, now: float) -> None:
        """It could not be sent; as if nobody had answered (section 17.1.4)."""
        if self.table.allows(self.state, "timeout"):
            self._gave_up(now)

    def abandon(self) -> None:
        """Nobody waits for the response any more (section 9.1); idempotent."""
        if self.table.allows(self.state, "timeout"):
            self._step("timeout")

    def _again(self, now: float) -> None:
        self._wiring.transmit(self._data, self.flow)
        if self.invite:
            self._interval *= 2
        else:
            self._interval = T2 if self.state == "proceeding" else min(2 * self._interval, T2)
        self._repeat_after(self._interval, now, self._again)

    def _gave_up(self, now: float) -> None:
        self._step("timeout")
        self._on_timeout(now)

    def receive(self, response: Response, now: float) -> None:
        """A response came."""
        kind = _kind(response.status, invite=self.invite)
        if not self.table.allows(self.state, kind):
            return
        before = self.state
        self._step(kind)
        if kind == "1xx":
            self._provisional()
        elif kind == "300-699":
            self._stop_repeating()
            if before == "completed":
                self._acknowledge(response)
                return
            self._acknowledge(response)
            self._set_limit(0 if self.flow.reliable else 64 * T1, "timer D", now)
        elif before != "accepted":
            self._stop_repeating()
            if self.invite:
                self._set_limit(64 * T1, "timer M", now)
            else:
                self._set_limit(0 if self.flow.reliable else T4, "timer K", now)
        self._on_response(response, now)

    def _provisional(self) -> None:
        if self.invite:
            self._stop_repeating()
            # How long it may ring is the caller's affair (it can CANCEL), not timer B's.
            self._stop_limit()

    def _acknowledge(self, response: Response) -> None:
        """ACK to a refusal belongs to the transaction (section 17.1.1.3)."""
        if self._ack is None:
            self._ack = ack_for(self.request, response).to_bytes()
        self._wiring.transmit(self._ack, self.flow)


class ServerTransaction(_Transaction):
    """A request of the peer.

    Attributes:
        request: as it came.
        flow: where responses go.
        answered: the status of the last final response, or None.
    """

    def __init__(self, request: Request, flow: Flow, wiring: Wiring, on_end: Callable[[], None]) -> None:
        self.invite = request.method == "INVITE"
        super().__init__(INVITE_SERVER if self.invite else PLAIN_SERVER, flow, wiring, on_end)
        self.request = request
        self.answered: int | None = None
        self._last: bytes | None = None

    def respond(self, response: Response, now: float) -> None:
        """Send a response; nothing happens if the transaction cannot take one any more."""
        kind = _kind(response.status, invite=self.invite)
        if not self.table.allows(self.state, kind):
            return
        self._last = response.to_bytes()
        self._wiring.transmit(self._last, self.flow)
        self._step(kind)
        if kind == "1xx":
            return
        self.answered = response.status
        if kind == "2xx":
            self._set_limit(64 * T1, "timer L", now)
        elif kind == "300-699":
            if not self.flow.reliable:
                self._repeat_after(self._interval, now, self._again)  # timer G
            self._set_limit(64 * T1, "timer H", now)
        else:
            self._set_limit(0 if self.flow.reliable else 64 * T1, "timer J", now)

    def refuse(self, status: int, now: float, *, to_tag: str = "", **headers: str) -> None:
        """Respond with a status and nothing else but these headers (`Retry_After="5"`)."""
        response = answer_to(self.request, status, to_tag=to_tag)
        for name, value in headers.items():
            response.headers.add(name.replace("_", "-"), value)
        self.respond(response, now)

    def _again(self, now: float) -> None:
        if self._last is not None:
            self._wiring.transmit(self._last, self.flow)
        self._interval = min(2 * self._interval, T2)
        self._repeat_after(self._interval, now, self._again)

    def repeated(self) -> None:
        """The request came again."""
        # After a 2xx the call repeats its answer itself, until it is acknowledged (RFC 6026 section 7.1).
        if self._last is not None and self.state in ("proceeding", "completed"):
            self._wiring.transmit(self._last, self.flow)

    def acknowledged(self, now: float) -> None:
        """An ACK to a refusal came."""
        if self.table.allows(self.state, "ACK"):
            self._stop_repeating()
            self._step("ACK")
            self._set_limit(0 if self.flow.reliable else T4, "timer I", now)


def _kind(status: int, *, invite: bool) -> str:
    if status < 200:
        return "1xx"
    if not invite:
        return "200-699"
    return "2xx" if status < 300 else "300-699"


def ack_for(request: Request, response: Response) -> Request:
    """The ACK to a refusal: the INVITE's topmost Via and Route, the response's To (section 17.1.1.3)."""
    headers = Headers()
    headers.add("Via", request.via)
    headers.add("Max-Forwards", 70)
    for route in request.headers.get_all("Route"):
        headers.add("Route", route)
    headers.add("From", request.headers.get("From") or "")
    headers.add("To", response.headers.get("To") or "")
    headers.add("Call-ID", request.call_id)
    headers.add("CSeq", f"{request.cseq[0]} ACK")
    ack = Request(method="ACK", uri=request.uri, headers=headers)
    duplicate_proofs(request, ack)
    return ack
