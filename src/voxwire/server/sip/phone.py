"""A telephone: places calls over SIP, for tests and for trying a phone line from a program."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, cast

from ...errors import ConnectError, ConnectTimeout, UserError
from .agent import AgentOptions
from .caller import OutgoingLeg
from .digest import Credentials
from .endpoint import SipEndpoint
from .host import refusal
from .leg import Leg
from .line import available_codecs
from .media import SipMedia
from .negotiation import AgreedMedia, LocalMedia, codecs_named
from .outputs import Ended, Established, Flow, MediaChanged, Output, Progress, Transmit
from .values import NameAddr, SipError, SipUri, parse_uri

__all__ = ["CallRefused", "PhoneCall", "SipPhone"]


class CallRefused(ConnectError):
    """Nobody takes the call.

    Attributes:
        status: the SIP status: 486 is busy, 603 declined, 408 no answer.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


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
    ) -> None:
        self._host = host
        self._port = port
        self._user = user
        self._display_name = display_name
        self._ports = ports
        self._codecs = available_codecs() if codecs is None else codecs_named(codecs)
        self._credentials = None if password is None else Credentials(user, password)
        self._public = public
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
        )

    async def call(
        self,
        uri: str,
        *,
        timeout: float = 60.0,
        headers: Sequence[tuple[str, str]] = (),
        on_ringing: Callable[[int], None] | None = None,
    ) -> PhoneCall:
        """Place a call, and return when it is answered.

        Args:
            uri: `sip:user@host:port`; with `;transport=tcp`, over TCP.
            timeout: seconds until it is given up.
            headers: further headers of the INVITE.
            on_ringing: told of provisional responses (180).

        Raises:
            UserError: `uri` is no SIP URI.
            CallRefused: somebody says no, or nobody answers SIP there.
            ConnectTimeout: it rang for too long.
            ConnectError: the host cannot be reached.
        """
        target = _target(uri)
        endpoint = self.endpoint
        flow = await _way(endpoint, target)
        media = SipMedia(self._host, self._ports)
        try:
            await media.open()
            leg = endpoint.agent.call(
                uri,
                flow,
                LocalMedia(flow.local, media.port, media.port),
                endpoint.now,
                from_=NameAddr(parse_uri(f"sip:{self._user}@{_bracketed(flow.local)}"), self._display_name),
                headers=headers,
            )
            call = self._calls[leg] = PhoneCall(endpoint, leg, media, on_ringing)
            endpoint.flush()
            await call.wait_answered(timeout)
        except BaseException:
            media.close()
            raise
        return call

    def _news(self, output: Output) -> None:
        if not isinstance(output, Transmit):
            call = self._calls.get(output.leg)
            if call is not None:
                call.news(output)
            if isinstance(output, Ended):
                self._calls.pop(output.leg, None)


class PhoneCall:
    """A call that was placed.

    Attributes:
        media: what to speak to and to listen to, 24 kHz PCM16.
    """

    def __init__(
        self,
        endpoint: SipEndpoint,
        leg: OutgoingLeg,
        media: SipMedia,
        on_ringing: Callable[[int], None] | None,
    ) -> None:
        self.media = media
        self._endpoint = endpoint
        self._leg = leg
        self._on_ringing = on_ringing
        self._answered: asyncio.Event = asyncio.Event()
        self._ended = asyncio.Event()
        self._changed = asyncio.Event()
        self._end: Ended | None = None

    @property
    def leg(self) -> OutgoingLeg:
        """The call as SIP has it."""
        return self._leg

    @property
    def agreed(self) -> AgreedMedia | None:
        """What was agreed on for the audio."""
        return self._leg.media

    @property
    def reason(self) -> str:
        """Why it has ended; empty before."""
        return self._end.reason if self._end is not None else ""

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self._ended.is_set()

    def news(self, output: Output) -> None:
        """Something happened."""
        agreed = self._leg.media
        match output:
            case Progress(status=status):
                if self._on_ringing is not None:
                    self._on_ringing(status)
            case Established() | MediaChanged() if agreed is not None:
                self.media.agree(agreed)
                self._changed.set()
                if isinstance(output, Established):
                    self.media.begin()
                    self._answered.set()
            case Ended():
                self._end = output
                self.media.close()
                self._answered.set()
                self._changed.set()
                self._ended.set()
            case _:
                pass

    async def wait_answered(self, timeout: float) -> None:
        """Wait for the answer; see `SipPhone.call`."""
        try:
            async with asyncio.timeout(timeout):
                await self._answered.wait()
        except TimeoutError:
            self._leg.cancel(self._endpoint.now)
            self._endpoint.flush()
            raise ConnectTimeout(f"the call was not answered within {timeout:g} s") from None
        except asyncio.CancelledError:
            self._leg.cancel(self._endpoint.now)
            self._endpoint.flush()
            raise
        if self._end is not None:
            status = self._end.status or 500
            raise CallRefused(f"the call was not taken: {refusal(status)} ({self._end.reason})", status)

    async def wait_ended(self) -> str:
        """Wait for the end of the call; returns the reason."""
        await self._ended.wait()
        return self.reason

    def press(self, keys: str) -> None:
        """Press keys of the telephone (RFC 4733).

        Raises:
            ValueError: there is no such key, or the other side does not take them.
        """
        self.media.press(keys)

    async def hold(self, held: bool = True) -> None:
        """Put the call on hold, or take it back; returns once the other side has agreed, or the call is over."""
        self._changed.clear()
        self._leg.updates.turn("sendonly" if held else "sendrecv", self._endpoint.now)
        self._endpoint.flush()
        await self._changed.wait()

    async def hang_up(self, timeout: float = 2.0) -> None:
        """End the call; waits for the other side's word, for so many seconds at most. Idempotent."""
        self._leg.cancel(self._endpoint.now)
        self._endpoint.flush()
        self.media.close()
        try:
            async with asyncio.timeout(timeout):
                await self._ended.wait()
        except TimeoutError:
            pass  # the user agent goes on saying it as long as the phone is open


def _target(uri: str) -> SipUri:
    try:
        target = parse_uri(uri)
    except SipError as error:
        raise UserError(f"{uri!r} is no SIP URI: {error}") from None
    if target.scheme != "sip":
        raise UserError(f"{uri!r} cannot be called: only sip: URIs can, without TLS")
    return target


async def _way(endpoint: SipEndpoint, target: SipUri) -> Flow:
    protocol = "TCP" if (target.params.get("transport") or "").lower() == "tcp" else "UDP"
    loop = asyncio.get_running_loop()
    port = target.port or 5060
    try:
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        found = await loop.getaddrinfo(target.host, port, type=kind)
        host = cast("str", found[0][4][0])
        return await endpoint.sockets.connect(host, port, protocol)
    except OSError as error:
        raise ConnectError(f"cannot reach {target.host}:{port} by SIP over {protocol}: {error}") from error


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
