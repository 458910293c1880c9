"""The phone line of an embedded server: a user agent whose calls are calls of the service."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import MissingExtraError
from ..auth import Refusal
from ..connection import Connection
from ..limits import Limits
from ..options import split_address
from .agent import RETRY_AFTER, AgentOptions
from .call import SipCall
from .digest import Authenticator
from .endpoint import SipEndpoint
from .leg import Leg
from .media import SipMedia
from .message import Headers, Request
from .negotiation import CODECS, codecs_named
from .outputs import Invited, Output, Transmit
from .sdp import Codec
from .webhook import Webhook, incoming_event

if TYPE_CHECKING:
    from ..service import RealtimeService

__all__ = ["PhoneLine", "available_codecs"]

REALM = "voxwire"
BUSY = 486


def available_codecs() -> tuple[Codec, ...]:
    """What can be spoken on this machine: Opus if there is a libopus, and G.711."""
    from ...media.libopus import load_libopus

    try:
        load_libopus()
    except MissingExtraError:
        return codecs_named(CODECS[1:])
    return codecs_named(CODECS)


class PhoneLine:
    """Takes calls for a service.

    Args:
        service: its options say where the line is and who is asked about calls.
    """

    def __init__(self, service: RealtimeService) -> None:
        options = service.options
        self.limits: Limits = service.limits
        self._service = service
        self._calls: dict[Leg, SipCall] = {}
        self._webhook = (
            Webhook(options.webhook, options.webhook_secret)
            if options.webhook is not None and options.webhook_secret is not None
            else None
        )
        self._endpoint = SipEndpoint(
            self._agent_options,
            self._news,
            public=options.public_address,
            max_bytes=self.limits.sip_message_bytes,
            max_connections=self.limits.sip_connections,
        )
        self._host = ""

    def _agent_options(self, port: int) -> AgentOptions:
        options = self._service.options
        users, key = options.sip_users, secrets.token_bytes(32)
        return AgentOptions(
            port=port,
            codecs=available_codecs(),
            authenticator=Authenticator(users, REALM, key, algorithms=options.sip_digest) if users else None,
            max_legs=self.limits.sip_dialogs,
            invites_per_second=self.limits.sip_invites_per_second,
            max_bytes=self.limits.sip_message_bytes,
        )

    # -- life -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Listen at the options' address.

        Raises:
            UserError: it is taken.
        """
        self._host, port = split_address(self._service.options.sip or "")
        await self._endpoint.open(self._host, port)

    def shut_down(self) -> None:
        """Take no new calls."""
        self._endpoint.agent.draining = True

    async def close(self) -> None:
        """Close the sockets; calls have ended before."""
        await self._endpoint.close()
        if self._webhook is not None:
            await self._webhook.close()

    @property
    def address(self) -> str:
        """`HOST:PORT`, of UDP and TCP."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._endpoint.sockets.port}"

    @property
    def endpoint(self) -> SipEndpoint:
        """The user agent with its sockets."""
        return self._endpoint

    # -- calls --------------------------------------------------------------------------------

    def _news(self, output: Output) -> None:
        if isinstance(output, Invited):
            self._invited(output.leg, output.request)
        elif not isinstance(output, Transmit):
            call = self._calls.get(output.leg)
            if call is not None:
                call.news(output)

    def _invited(self, leg: Leg, request: Request) -> None:
        try:
            self._service.admit()
        except Refusal as refusal:
            self._refuse(leg, refusal)
            return
        try:
            self._service.prepare()
            self._service.calls.take()
        except Refusal as refusal:
            self._service.leave()
            self._refuse(leg, refusal)
            return
        except BaseException:
            self._service.leave()
            leg.reject(500, self.now)
            raise
        call = SipCall(self._service.new_id("rtc_"), self, leg, request)
        self._calls[leg] = call
        self._service.calls.carry(call, self._service.leave)

    def _refuse(self, leg: Leg, refusal: Refusal) -> None:
        """Busy, or (shutting down) not in service."""
        status = BUSY if refusal.status == 429 else 503
        leg.reject(status, self.now, Retry_After=RETRY_AFTER)

    def forget(self, leg: Leg) -> None:
        """A call is over."""
        self._calls.pop(leg, None)

    # -- what calls need ------------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether somebody is asked about calls; they are accepted at once otherwise."""
        return self._webhook is not None

    @property
    def now(self) -> float:
        """The user agent's time, s."""
        return self._endpoint.now

    def flush(self) -> None:
        """Carry out what was asked of a leg."""
        self._endpoint.flush()

    def new_session_id(self) -> int:
        """For the origin of a description: hard to guess, and it fits in 63 bits."""
        return secrets.randbits(62)

    async def tell(self, call_id: str, headers: Headers) -> bool:
        """Fire the webhook; False if nobody took it."""
        event = incoming_event(self._service.new_id("evt_"), call_id, headers, time.time())
        return self._webhook is None or await self._webhook.deliver(event)

    def make_media(self, *, on_key: Callable[[str], None], on_silence: Callable[[], None]) -> SipMedia:
        """The audio of a call.

        Raises:
            NoPortError: there is no free port.
        """
        return SipMedia(
            self._host,
            self._service.options.udp_ports,
            silent_seconds=self.limits.media_silent_seconds,
            on_key=on_key,
            on_silence=on_silence,
        )

    def make_connection(self, session: Mapping[str, Any], media: SipMedia, codec: Codec | None) -> Connection:
        """The session of a call.

        Args:
            codec: what is spoken on the line, which decides the session's audio formats; None if the caller
                has not said yet.

        Raises:
            ClientError: it is not valid.
        """
        from ..service import DEFAULT_MODEL

        engine = self._service.engine(
            DEFAULT_MODEL,
            asyncio.get_running_loop().time(),
            template=session,
            overrides=_formats(codec, session.get("type", "realtime")),
            played=lambda: media.played_ms,
        )
        return self._service.connection(engine, None, media)


def _formats(codec: Codec | None, kind: object) -> dict[str, Any]:
    """The audio formats of a session on a line with this codec; recognition goes by them (narrow band)."""
    name = codec.name.upper() if codec is not None else ""
    chosen = {"PCMU": {"type": "audio/pcmu"}, "PCMA": {"type": "audio/pcma"}}.get(name)
    sides = ("input",) if kind == "transcription" else ("input", "output")
    return {"type": kind, "audio": {side: {"format": chosen} for side in sides} if chosen is not None else {}}
