"""Which transaction a message belongs to (RFC 3261 sections 17.1.3, 17.2.3 and 18.2). Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeAlias

from .message import Request, Response
from .outputs import Flow
from .transaction import ClientTransaction, ServerTransaction, Wiring

__all__ = ["COOKIE", "Transactions", "reply_flow", "stamp"]

COOKIE: Final = "z9hG4bK"
"""With this a branch begins that is unique (section 8.1.1.7)."""
_Key: TypeAlias = tuple[str, ...]


def stamp(request: Request, flow: Flow) -> None:
    """Note in the topmost Via where the request really came from."""
    values = request.headers.get_all("Via")
    values[0] = str(request.via.seen_from(flow.host, flow.port))
    request.headers.put("Via", ", ".join(values))


def reply_flow(request: Request, flow: Flow) -> Flow:
    """Where responses go (section 18.2.2, RFC 3581 section 4): back to the source, to the port that it wants."""
    if flow.reliable:
        return flow
    via = request.via
    return flow if "rport" in via.params else replace(flow, port=via.port or 5060)


class Transactions:
    """Those of one user agent."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._servers: dict[_Key, ServerTransaction] = {}
        self._clients: dict[_Key, ClientTransaction] = {}
        self._origins: dict[_Key, _Key] = {}  # of INVITEs that begin a call, whichever way they came

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    # -- theirs -----------------------------------------------------------------------------

    @property
    def served(self) -> int:
        """Those that the peers began."""
        return len(self._servers)

    def absorb(self, request: Request, now: float) -> bool:
        """Whether a request belongs to a transaction that there is, which has dealt with it then."""
        found = self._servers.get(_server_key(request))
        if found is None:
            return False
        if request.method == "ACK":
            if found.state == "accepted":
                return False  # the ACK to a 2xx is the call's
            found.acknowledged(now)
        else:
            found.repeated()
        return True

    def serve(self, request: Request, flow: Flow) -> ServerTransaction:
        """Begin a transaction for a request."""
        key = _server_key(request)
        origin = _origin(request)

        def forget() -> None:
            self._servers.pop(key, None)
            if self._origins.get(origin) == key:
                del self._origins[origin]

        made = ServerTransaction(request, reply_flow(request, flow), self._wiring, forget)
        self._servers[key] = made
        if request.method == "INVITE" and request.to.tag is None:
            self._origins[origin] = key
        return made

    def merges(self, invite: Request) -> bool:
        """Whether this is an INVITE that there is a transaction for, and came by another way (section 8.2.2.2)."""
        key = _server_key(invite)
        return self._origins.get(_origin(invite), key) != key

    def cancelled(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE that a CANCEL means (section 9.2)."""
        return self._servers.get(_server_key(cancel, "INVITE"))

    # -- ours -------------------------------------------------------------------------------

    def send(
        self,
        request: Request,
        flow: Flow,
        now: float,
        on_response: Callable[[Response, float], None],
        on_timeout: Callable[[float], None],
    ) -> ClientTransaction:
        """Send a request, its Via being complete."""
        key = (request.via.branch, request.method)

        def forget() -> None:
            self._clients.pop(key, None)

        made = ClientTransaction(
            request,
            flow,
            self._wiring,
            on_response=on_response,
            on_timeout=on_timeout,
            on_end=forget,
        )
        self._clients[key] = made
        made.start(now)
        return made

    def answer(self, response: Response, now: float) -> bool:
        """Give a response to its transaction; False if there is none."""
        found = self._clients.get((response.via.branch, response.cseq[1]))
        if found is None:
            return False
        found.receive(response, now)
        return True

    def broken(self, flow: Flow, now: float) -> None:
        """What was to go along this flow cannot be sent.

        Responses go to the address they would have gone to, at the port that the request's Via says (section 18.2.2).
        """
        for transaction in list(self._clients.values()):
            if transaction.flow.is_along(flow):
                transaction.fail(now)
        if flow.connection is None:
            return
        for server in self._servers.values():
            if server.flow.is_along(flow):
                server.flow = replace(flow, port=server.request.via.port or 5060, connection=None)


def _server_key(request: Request, method: str | None = None) -> _Key:
    via = request.via
    method = method or ("INVITE" if request.method == "ACK" else request.method)
    if via.branch.startswith(COOKIE):
        return (via.branch, via.sent_by, method)
    # An element of RFC 2543: what identifies the request is all that there is (section 17.2.3).
    return (
        request.call_id,
        request.from_.tag or "",
        str(request.cseq[0]),
        str(via.sent_by),
        via.branch,
        method,
    )


def _origin(request: Request) -> _Key:
    """What a request has wherever it comes from."""
    return (request.call_id, request.from_.tag or "", str(request.cseq[0]))
