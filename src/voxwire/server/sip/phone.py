"""A telephone: places calls over SIP from a program."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self, cast

from ...errors import ConfigError, ConnectError, ConnectTimeout, UserError
from .agent import AgentOptions
from .digest import Credentials
from .endpoint import SipEndpoint
from .leg import Leg
from .line import available_codecs
from .media import SipMedia
from .message import canonical
from .negotiation import CODECS, LocalMedia, codecs_named
from .outputs import Ended, Flow, Output, Transmit
from .phone_call import (
    CallRefused,
    KeyPressed,
    OnPhoneEvent,
    PhoneCall,
    PhoneEvent,
    Ringing,
    TransferRequested,
)
from .sdp import Codec
from .values import NameAddr, SipError, SipUri, parse_uri

__all__ = ["CallRefused", "PhoneCall", "SipPhone", "host_for"]

_USER: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/%]+")
"""What may stand before the @ of an address (RFC 3261 section 25.1)."""
_HEADER: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_OURS: Final = frozenset(
    [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Max-Forwards",
        "Route",
        "Record-Route",
        "Require",
        "Allow",
        "Supported",
        "User-Agent",
        "Authorization",
        "Proxy-Authorization",
        "Session-Expires",
        "Min-SE",
        "Content-Type",
        "Content-Length",
    ]
)
"""Headers of an INVITE that are not the caller's to choose."""


class SipPhone:
    """A phone on a port of its own.

        async with SipPhone() as phone:
            call = await phone.call("sip:agent@127.0.0.1:5060")
            call.media.listen(hear)
            call.media.write(pcm)
            await call.wait_ended()

    Args:
        host: local IP address, or `0.0.0.0`.
        port: for SIP; 0 takes a free one.
        user, display_name: who calls.
        password: for phone lines that ask for one; `user` is the name then.
        codecs: names out of `opus`, `PCMU`, `PCMA`, the best first; None takes all that there are here.
        ports: first and last UDP port for audio.
        public: our address as others reach it (NAT).
        takes_transfers: whether the other side may ask to call somebody else: see `follow`. It is told 603 otherwise.
        silent_seconds: hang up when nothing came from the other side for so long; None waits for ever.

    Raises:
        ConfigError: a name cannot be used.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str = "caller",
        display_name: str = "",
        password: str | None = None,
        codecs: Sequence[str] | None = None,
        ports: tuple[int, int] | None = None,
        public: str | None = None,
        takes_transfers: bool = False,
        silent_seconds: float | None = None,
    ) -> None:
        if not _USER.fullmatch(user):
            raise ConfigError(f"user {user!r} cannot stand in an address; use letters, digits and -_.+")
        self._host = host
        self._port = port
        self._user = user
        self._display_name = display_name
        self._ports = ports
        self._codecs = available_codecs() if codecs is None else _codecs(codecs)
        self._credentials = None if password is None else Credentials(user, password)
        self._public = public
        self._takes_transfers = takes_transfers
        self._silent_seconds = silent_seconds
        self._endpoint: SipEndpoint | None = None
        self._calls: dict[Leg, PhoneCall] = {}

    @property
    def endpoint(self) -> SipEndpoint:
        """The user agent with its sockets.

        Raises:
            UserError: it is not open.
        """
        if self._endpoint is None:
            raise UserError("the phone is not open; use it inside 'async with'")
        return self._endpoint

    async def __aenter__(self) -> Self:
        self._endpoint = SipEndpoint(self._options, self._news, public=self._public)
        await self._endpoint.open(self._host, self._port)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up, and close the sockets; idempotent."""
        await asyncio.gather(*(call.hang_up() for call in list(self._calls.values())))
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is not None:
            await endpoint.close()

    def _options(self, port: int) -> AgentOptions:
        return AgentOptions(
            port=port,
            codecs=self._codecs,
            user=self._user,
            credentials=self._credentials,
            takes_calls=False,
            takes_referrals=self._takes_transfers,
        )

    async def call(
        self,
        uri: str,
        *,
        timeout: float = 60.0,
        headers: Sequence[tuple[str, str]] = (),
        on_event: OnPhoneEvent | None = None,
    ) -> PhoneCall:
        """Place a call, and return when it is answered.

        Args:
            uri: `sip:user@host:port`; with `;transport=tcp`, over TCP.
            timeout: seconds until it is given up.
            headers: further headers of the INVITE.
            on_event: told, in the event loop, that it rings, and of keys, holds and transfers later on.

        Raises:
            UserError: `uri` is no SIP URI that can be called, or a header cannot be used.
            CallRefused: somebody says no, or nobody answers SIP there.
            ConnectTimeout: it rang for too long.
            ConnectError: the host cannot be reached.
        """
        target, extra = _target(uri), _headers(headers)
        endpoint, tell = self.endpoint, on_event or _ignore
        flow = await _way(endpoint, target, self._host)
        media = SipMedia(
            self._host,
            self._ports,
            silent_seconds=self._silent_seconds,
            on_key=lambda key: tell(KeyPressed(key)),
            on_silence=lambda: call.fell_silent(self._silent_seconds or 0.0),
        )
        try:
            await media.open()
            leg = endpoint.agent.call(
                uri,
                flow,
                LocalMedia(flow.local, media.port, media.port),
                endpoint.now,
                from_=NameAddr(parse_uri(f"sip:{self._user}@{_bracketed(flow.local)}"), self._display_name),
                headers=extra,
            )
            call = self._calls[leg] = PhoneCall(endpoint, leg, media, tell)
            endpoint.flush()
            await call.wait_answered(timeout)
        except BaseException:
            media.close()
            raise
        return call

    async def follow(
        self,
        call: PhoneCall,
        asked: TransferRequested,
        *,
        timeout: float = 60.0,
        on_event: OnPhoneEvent | None = None,
    ) -> PhoneCall:
        """Call whom the other side of `call` asked us to call, and tell it how that goes (RFC 3515 section 2.4.5).

        When this returns, both calls are there; it is custom that the other side hangs up the first. When it
        raises, the first goes on.

        Args:
            timeout: seconds until it is given up.
            on_event: of the new call; see `call`.

        Raises:
            UserError, CallRefused, ConnectTimeout, ConnectError: as `call`.
        """

        def tell(event: PhoneEvent) -> None:
            if isinstance(event, Ringing) and event.status > 100:
                call.report_transfer(event.status)
            if on_event is not None:
                on_event(event)

        try:
            made = await self.call(asked.target, timeout=timeout, headers=asked.headers, on_event=tell)
        except BaseException as error:
            call.report_transfer(_status_of(error))
            raise
        call.report_transfer(200)
        return made

    def _news(self, output: Output) -> None:
        if not isinstance(output, Transmit):
            call = self._calls.get(output.leg)
            if call is not None:
                call.news(output)
            if isinstance(output, Ended):
                self._calls.pop(output.leg, None)


async def host_for(uri: str) -> str:
    """The local address for a `SipPhone` that is to call this: the loopback for this machine, else all addresses.

    Raises:
        UserError, ConnectError: as `SipPhone.call`.
    """
    target = _target(uri)
    # IPv4 where there is both: a name such as localhost may have an IPv6 address that nobody listens at.
    found = await _addresses(target, socket.AF_UNSPEC)
    host = next((host for host in found if ":" not in host), found[0])
    loopback = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    if ":" in host:
        return "::1" if loopback else "::"
    return "127.0.0.1" if loopback else "0.0.0.0"  # noqa: S104 - its one way out is not known before it is used


def _ignore(_event: PhoneEvent) -> None:
    pass


def _status_of(error: BaseException) -> int:
    """What to tell somebody for whom we could not reach the target."""
    match error:
        case CallRefused(status=status):
            return status
        case ConnectTimeout():
            return 408
        case UserError():
            return 416  # a scheme that we cannot call
        case asyncio.CancelledError():
            return 487
        case _:
            return 503


def _codecs(names: Sequence[str]) -> tuple[Codec, ...]:
    try:
        return codecs_named(names)
    except KeyError as error:
        raise ConfigError(f"there is no codec {error.args[0]!r}; choose from {', '.join(CODECS)}") from None


def _headers(headers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    for name, value in headers:
        if not _HEADER.fullmatch(name) or not value.isprintable():
            raise UserError(f"{name!r}: {value!r} is no header: a name, and one line of text")
        if canonical(name) in _OURS:
            raise UserError(f"the header {name} is the phone's own")
    return list(headers)


def _target(uri: str) -> SipUri:
    """Whom to call: what the phone can do something with.

    Raises:
        UserError: nothing.
    """
    try:
        target = parse_uri(uri)
    except SipError as error:
        raise UserError(f"{uri!r} is no SIP URI, such as sip:agent@127.0.0.1:5060: {error}") from None
    if target.scheme != "sip":
        raise UserError(f"{uri!r} cannot be called: only sip: URIs can, without TLS")
    if "?" in uri:
        raise UserError(f"{uri!r} has headers in it (behind the ?), which are not part of an address")
    if _protocol(target) not in ("UDP", "TCP"):
        raise UserError(f"{uri!r} cannot be called: transport is udp or tcp")
    return target


def _protocol(target: SipUri) -> str:
    return (target.params.get("transport") or "udp").upper()


async def _way(endpoint: SipEndpoint, target: SipUri, local: str) -> Flow:
    protocol, port = _protocol(target), target.port or 5060
    family = socket.AF_INET6 if ":" in local else socket.AF_INET
    (host, *_) = await _addresses(target, family)
    try:
        return await endpoint.sockets.connect(host, port, protocol)
    except OSError as error:
        raise ConnectError(f"cannot reach {target.host}:{port} by SIP over {protocol}: {error}") from error


async def _addresses(target: SipUri, family: int) -> list[str]:
    """Where a host is; A and AAAA records only."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(target.host, None, family=family, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConnectError(f"there is no host {target.host!r}: {why}") from error
    return [cast("str", entry[4][0]) for entry in found]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
