"""What the sessions of one server share: components, keys, client secrets, and the sessions themselves."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..rtc.base import RtcOptions, RtcPeerFactory
from ..rtc.ice import ice_servers
from .auth import ClientSecrets, Keys, Refusal
from .calls import Calls
from .connection import Connection, Socket, Speech
from .engine import ServerEngine
from .engine.config import default_session, merge_session
from .engine.schema import any_mapping, integer, obj, one_of
from .mcp import AllowList
from .media import MediaPlane
from .options import DetectorFactory, ServerOptions
from .rtc_call import RtcCall, answer_offer, find_factory
from .rtc_caller import RtcCaller
from .speech.base import Responder, SpeechHints, Synthesizer, Transcriber, release

if TYPE_CHECKING:
    from .sip.line import PhoneLine

__all__ = ["RealtimeService"]

DEFAULT_MODEL = "gpt-realtime"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CLIENT_SECRET = obj(
    {
        "expires_after": obj({"anchor": one_of("created_at"), "seconds": integer(10, 7200)}),
        "session": any_mapping,
    }
)
_SECRET_SECONDS = 600
GOODBYE = "The server is shutting down."
MAX_CHANNEL_MESSAGE = 256 * 1024
"""Bytes of one event on a data channel: what browsers send at most in one message."""


def _new_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(21))


@dataclass(frozen=True, slots=True)
class _Components:
    detectors: DetectorFactory
    transcriber: Transcriber
    responder: Responder
    synthesizer: Synthesizer


class RealtimeService:
    """The embedded Realtime service, independent of how clients reach it.

    Args:
        options: its components, keys and limits.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.limits = options.limits
        self._secrets = ClientSecrets(options.limits)
        self._mcp_servers = AllowList(options.mcp_servers)
        self.keys = Keys(options.api_keys, self._secrets)
        self._own: list[Transcriber | Responder | Synthesizer] = []
        self._components: _Components | None = None
        self._connections: set[Connection] = set()
        self.calls = Calls(self.limits)
        self.phone: PhoneLine | None = None
        """The phone line, if the options ask for one and it was started."""
        self._closed = False
        self._admitted = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def sessions(self) -> int:
        """Sessions that are open or being opened."""
        return self._admitted

    def admit(self) -> None:
        """Take a place for a session; `leave` gives it back.

        Raises:
            Refusal: there is none.
        """
        if self._closed:
            raise Refusal(503, GOODBYE, code="server_shutdown", type="server_error")
        if self._admitted >= self.limits.sessions:
            raise Refusal(
                429,
                f"{self.limits.sessions} sessions are open, the most that this server takes. Try again later.",
                code="too_many_sessions",
                type="rate_limit_error",
            )
        self._admitted += 1
        self._empty.clear()

    def leave(self) -> None:
        """The session of a place has ended."""
        self._admitted -= 1
        if not self._admitted:
            self._empty.set()

    # -- components -------------------------------------------------------------------------

    def _made(self, kind: str, given: Any) -> Any:
        if given is not None and not isinstance(given, str):
            return given
        from .speech import registry

        made: Any = registry.resolve(kind, "auto" if given is None else given)
        if kind != "vad":
            self._own.append(made)
        return made

    def _make(self) -> _Components:
        if self._components is None:
            options = self.options
            self._components = _Components(
                self._made("vad", options.vad),
                self._made("transcriber", options.transcriber),
                self._made("responder", options.responder),
                self._made("synthesizer", options.synthesizer),
            )
        return self._components

    def _speech(self) -> Speech:
        made = self._make()
        return Speech(made.detectors(), made.transcriber, made.responder, made.synthesizer)

    def prepare(self) -> None:
        """Make the components now, not with the first session.

        Raises:
            ConfigError: a name is unknown.
            MissingExtraError: what a component needs is not installed.
        """
        self._make()

    def warm_up(self) -> None:
        """Load now what the first utterance would wait for (models, processes); needs a running loop."""
        made = self._make()
        release(made.detectors())
        made.transcriber.start(SpeechHints(), lambda _text: None).cancel()

    # -- client secrets -----------------------------------------------------------------------

    def create_secret(self, body: Any) -> dict[str, Any]:
        """`POST /v1/realtime/client_secrets`.

        Raises:
            ClientError: the body is not valid.
            Refusal: too many secrets are out.
        """
        given: dict[str, Any] = _CLIENT_SECRET(body, "")
        now = time.time()
        template: dict[str, Any] = given.get("session") or {"type": "realtime"}
        session = self._template_session(template)
        expires_at = int(now) + given.get("expires_after", {}).get("seconds", _SECRET_SECONDS)
        value = self._secrets.issue(template, expires_at, now)
        return {"value": value, "expires_at": expires_at, "session": {"id": _new_id("sess_"), **session}}

    def _template_session(self, template: Mapping[str, Any]) -> dict[str, Any]:
        model = template.get("model")
        session = default_session(
            model if isinstance(model, str) else DEFAULT_MODEL,
            voice=self.options.voice,
            transcription=template.get("type") == "transcription",
        )
        return merge_session(session, template)

    # -- sessions -----------------------------------------------------------------------------

    def engine(
        self,
        model: str,
        now: float,
        *,
        transcription: bool = False,
        template: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        played: Callable[[], float] | None = None,
    ) -> ServerEngine:
        """The engine of a new session.

        Args:
            template: the session of a client secret.
            overrides: what the request itself says of the session.
            played: for a call; see `ServerEngine`.

        Raises:
            ClientError: the template or the overrides do not fit.
        """
        for given in (overrides, template):  # the secret decides
            if given is not None:
                transcription = given.get("type") == "transcription"
                model = given.get("model") or model
        return ServerEngine(
            ids=_new_id,
            now=now,
            unix_now=time.time(),
            model=model,
            voice=self.options.voice,
            transcription=transcription,
            limits=self.limits,
            template=template,
            overrides=overrides,
            played=played,
        )

    def new_id(self, prefix: str) -> str:
        """An identifier as the service has them."""
        return _new_id(prefix)

    def connection(
        self, engine: ServerEngine, socket: Socket | None, media: MediaPlane | None = None
    ) -> Connection:
        """A session of this engine, not begun."""
        options = self.options
        return Connection(
            engine, socket, self._speech(), self.limits, options.pace, mcp=self._mcp_servers, media=media
        )

    async def serve(self, engine: ServerEngine, socket: Socket) -> None:
        """Run a session on a socket until it ends."""
        connection = self.connection(engine, socket)
        self._connections.add(connection)
        if self._closed:  # since the handshake began
            connection.shut_down(GOODBYE)
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)

    async def answer_call(
        self,
        offer: str,
        model: str,
        *,
        template: Mapping[str, Any] | None = None,
        overrides: Mapping[str, Any] | None = None,
        loopback: bool = False,
    ) -> tuple[str, str]:
        """Begin a call over WebRTC; returns its id and the SDP answer.

        Args:
            offer: the caller's SDP.
            template, overrides: as `engine`.
            loopback: offer 127.0.0.1 as well: the caller is on this machine.

        Raises:
            ClientError: the session or the offer is not valid.
            Refusal: there is no room, or no WebRTC here.
        """
        factory = find_factory(self.options.rtc_backend)
        caller = RtcCaller(self.limits)
        now = asyncio.get_running_loop().time()
        engine = self.engine(
            model, now, template=template, overrides=overrides, played=lambda: caller.media.played_ms
        )
        self.admit()
        try:
            call, answer = await self._open_call(factory, caller, engine, offer, loopback=loopback)
        except BaseException:
            self.leave()
            raise
        self.calls.carry(call, self.leave)
        if self._closed:  # since the offer came
            call.end(1001, GOODBYE)
        return call.id, answer

    async def _open_call(
        self, factory: RtcPeerFactory, caller: RtcCaller, engine: ServerEngine, offer: str, *, loopback: bool
    ) -> tuple[RtcCall, str]:
        self.calls.take()
        try:
            peer, answer, has_channel = await answer_offer(
                factory, self._rtc_options(loopback=loopback), caller, offer
            )
            try:
                connection = self.connection(engine, caller if has_channel else None, caller.media)
            except BaseException:
                await peer.close()
                raise
        except BaseException:
            self.calls.give_back()
            raise
        call = RtcCall(_new_id("rtc_"), peer, caller, connection, self.limits, has_channel=has_channel)
        return call, answer

    def _rtc_options(self, *, loopback: bool) -> RtcOptions:
        options = self.options
        return RtcOptions(
            ice_servers=ice_servers(options.ice_servers),
            loopback=loopback,
            public_address=options.public_address,
            ports=options.udp_ports,
            max_queue_ms=None,  # bounded by `Limits.playout_ms`; nothing of a reply may be dropped
            max_message_bytes=min(self.limits.message_bytes, MAX_CHANNEL_MESSAGE),
        )

    async def start(self) -> None:
        """Open the phone line, if there is to be one; idempotent.

        Raises:
            UserError: its address is taken.
        """
        if self.options.sip is None or self.phone is not None:
            return
        from .sip.line import PhoneLine

        phone = PhoneLine(self)
        try:
            await phone.open()
        except BaseException:
            await phone.close()
            raise
        self.phone = phone

    def shut_down(self) -> None:
        """Refuse new sessions and end those that are open (close code 1001)."""
        self._closed = True
        if self.phone is not None:
            self.phone.shut_down()
        self.calls.end_all(1001, GOODBYE)
        for connection in tuple(self._connections):
            connection.shut_down(GOODBYE)

    async def drain(self, timeout: float) -> None:
        """Wait until no session is open, for so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()

    async def close(self) -> None:
        """Shut down and release the components that were made by name; idempotent."""
        self.shut_down()
        phone, self.phone = self.phone, None
        own, self._own, self._components = self._own, [], None
        async with contextlib.AsyncExitStack() as rest:  # all of it, though one fails or this is cancelled
            for component in reversed(own):
                rest.push_async_callback(component.close)
            if phone is not None:
                rest.push_async_callback(phone.close)
            await self.calls.close()
