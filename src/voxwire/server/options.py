"""How an embedded server is set up."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, get_args
from urllib.parse import urlsplit

from ..calls.signatures import Secrets, read_secrets
from ..errors import ConfigError
from ..rtc import Backend
from ..rtc.base import IceServer, RtcPeerFactory
from ..rtc.ice import ice_servers
from .limits import Limits
from .mcp import AllowList
from .speech.base import Responder, Synthesizer, Transcriber, VoiceActivityDetector

__all__ = ["DetectorFactory", "ServerOptions", "split_address"]

_ADDRESS = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>\d{1,5}))?")
_DIGESTS = ("MD5", "SHA-256")
_SIP_USER = re.compile(r"[^\s\"\\:@<>]+")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s*]+|null")

DetectorFactory: TypeAlias = Callable[[], VoiceActivityDetector]


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of `create_app` and `EmbeddedServer`.

    A component is an object (it stays yours: the server does not close it), a name that
    `voxwire.server.speech.registry` knows, or None for the best that works on this machine.

    Attributes:
        responder: decides what to say.
        transcriber: speech to text.
        synthesizer: text to speech.
        vad: makes a voice activity detector per session; a callable without arguments, or a name.
        api_keys: keys that open sessions; with none, the server is open to everyone who reaches it.
        limits: what sessions may take.
        pace: how fast audio is sent, 1.0 is real time; None sends as fast as it is made, as the
            service does.
        voice: the voice of sessions that name none.
        mcp_servers: URLs of MCP servers that sessions may name as hosted tools; no others are contacted.
            Needs the extra `mcp`.
        cors_origins: web pages (`https://example.com`) that may open calls and use the other HTTP endpoints;
            "*" is every page. None lets in pages that come from this machine. Without `api_keys`, others
            cannot open a WebSocket either.
        ice_servers: STUN and TURN servers for calls: URLs, `IceServer`s, or mappings as browsers take
            them. A server that callers reach directly needs none.
        public_address: offered to callers in place of the local address (NAT with a one-to-one mapping).
        udp_ports: first and last local UDP port for calls; None takes any.
        rtc_backend: what makes peer connections: "aiortc", "wrtc", a factory, or None for the best that
            is installed. Calls over WebRTC need the extra `webrtc`.
        sip: `HOST:PORT` of the phone line (UDP and TCP), HOST being an IP address; None has none.
        sip_users: name to password of those who may call (digest authentication); with none, everyone who
            reaches the port may.
        sip_digest: the algorithms with which passwords are asked for, "MD5" and "SHA-256", the first one first.
            Only MD5 unless you say so: phones in use give up when they are offered another one.
        webhook: URL that is told of incoming calls by SIP (`realtime.call.incoming`), which then wait for
            `.../accept`; None accepts every call with a default session.
        webhook_secret: signs it: `whsec_...`, or raw bytes.

    Raises:
        ConfigError: a value cannot be used.
    """

    responder: Responder | str | None = None
    transcriber: Transcriber | str | None = None
    synthesizer: Synthesizer | str | None = None
    vad: DetectorFactory | str | None = None
    api_keys: Sequence[str] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)
    pace: float | None = None
    voice: str = "marin"
    mcp_servers: Sequence[str] = ()
    cors_origins: Sequence[str] | None = None
    ice_servers: Sequence[IceServer | Mapping[str, Any] | str] = ()
    public_address: str | None = None
    udp_ports: tuple[int, int] | None = None
    rtc_backend: str | RtcPeerFactory | None = None
    sip: str | None = None
    sip_users: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    sip_digest: Sequence[str] = ("MD5",)
    webhook: str | None = None
    webhook_secret: Secrets | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.api_keys, str):
            object.__setattr__(self, "api_keys", (self.api_keys,))
        for key in self.api_keys:
            if not key.strip():
                raise ConfigError("api_keys must be non-empty strings; leave them out for an open server")
        pace = self.pace
        if pace is not None and not (math.isfinite(pace) and pace > 0):
            raise ConfigError(f"pace must be a positive number or None, not {pace!r}")
        if isinstance(self.mcp_servers, str):
            object.__setattr__(self, "mcp_servers", (self.mcp_servers,))
        AllowList(self.mcp_servers)
        if not self.voice:
            raise ConfigError("voice must not be empty")
        self._check_calls()
        self._check_phone()

    def _check_calls(self) -> None:
        if isinstance(self.cors_origins, str):
            object.__setattr__(self, "cors_origins", (self.cors_origins,))
        for origin in self.cors_origins or ():
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"cors_origins holds {origin!r}; an origin is 'https://example.com', with neither path "
                    "nor final slash, or '*'"
                )
        object.__setattr__(self, "ice_servers", ice_servers(self.ice_servers))
        if self.public_address is not None:
            try:
                ipaddress.ip_address(self.public_address)
            except ValueError:
                raise ConfigError(
                    f"public_address must be an IP address, not {self.public_address!r}"
                ) from None
        if self.udp_ports is not None:
            first, last = self.udp_ports
            if not 0 < first <= last < 65536:
                raise ConfigError(f"udp_ports must be a first and a last port, not {self.udp_ports!r}")
        if isinstance(self.rtc_backend, str) and self.rtc_backend not in get_args(Backend):
            raise ConfigError(
                f"rtc_backend {self.rtc_backend!r} is unknown; choose one of {', '.join(get_args(Backend))}"
            )

    def _check_phone(self) -> None:
        if self.sip is not None:
            split_address(self.sip)
        elif self.webhook is not None or self.sip_users:
            raise ConfigError("webhook and sip_users are for calls by SIP: set sip as well")
        for name, password in self.sip_users.items():
            if not name or not password or not _SIP_USER.fullmatch(name):
                raise ConfigError(f"sip_users: {name!r} must be a plain name with a password")
        if isinstance(self.sip_digest, str):
            object.__setattr__(self, "sip_digest", (self.sip_digest,))
        if not self.sip_digest or not set(self.sip_digest) <= set(_DIGESTS):
            raise ConfigError(
                f"sip_digest must name some of {', '.join(_DIGESTS)}, not {list(self.sip_digest)}"
            )
        if (self.webhook is None) != (self.webhook_secret is None):
            raise ConfigError("webhook and webhook_secret belong together: one was given without the other")
        if self.webhook is not None:
            if urlsplit(self.webhook).scheme not in ("http", "https") or not urlsplit(self.webhook).netloc:
                raise ConfigError(f"webhook must be an http:// or https:// URL, not {self.webhook!r}")
            read_secrets(self.webhook_secret or "")


def split_address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[V6]:PORT` or a host alone (port 5060) as host and port.

    Raises:
        ConfigError: the host is no IP address, or the port is none.
    """
    found = _ADDRESS.fullmatch(text)
    port = int(found["port"] or 5060) if found else -1
    try:
        if found is None or port > 65535:
            raise ValueError(text)
        return str(ipaddress.ip_address(found["v6"] or found["host"])), port
    except ValueError:
        raise ConfigError(f"sip must be IP:PORT, for example 127.0.0.1:5060, not {text!r}") from None
