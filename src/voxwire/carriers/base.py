"""The whole interface of a carrier, on one page.

A carrier moves text messages between a transport and a peer. It pushes what arrives
into a `CarrierReceiver`, and takes what is to be sent without ever blocking: `send`
only queues, in order, and `drain` is where a slow network is felt. That is what lets
an engine's reaction to an incoming event be carried out at once, without an await.

To write your own: implement `Carrier`, pass a factory as `connect=` to a transport,
and run `voxwire.testing.check_carrier` over it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

__all__ = [
    "Carrier",
    "CarrierClosed",
    "CarrierFactory",
    "CarrierReceiver",
    "CarrierRequest",
    "MediaCarrier",
    "MediaReceiver",
]


@dataclass(frozen=True, slots=True)
class CarrierRequest:
    """What a carrier needs to open a connection.

    Attributes:
        url: `ws://`, `wss://` or whatever the carrier understands.
        headers: HTTP headers of the upgrade; hold secrets, so they are left out of `repr`.
        subprotocols: as offered to the server, in order.
        proxy: True takes the environment's, None uses none, a string is a proxy's URL.
        open_timeout, close_timeout: seconds; None waits for ever.
        ping_interval, ping_timeout: seconds between keepalive pings and until one is missed.
        max_message_bytes: a longer message closes the connection.
        session: the first configuration, for a carrier that describes the session while it connects
            (the multipart form of `POST /v1/realtime/calls`); the others leave it alone.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    subprotocols: tuple[str, ...] = field(default=(), repr=False)
    proxy: str | bool | None = True
    open_timeout: float | None = 10.0
    close_timeout: float | None = 5.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    max_message_bytes: int = 16 * 1024 * 1024
    session: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class CarrierClosed:
    """How a connection ended.

    Attributes:
        code: WebSocket close code (RFC 6455 section 7.4); 1006 if the peer just went away.
        reason: the peer's words.
        clean: whether both sides said goodbye.
    """

    code: int | None = None
    reason: str = ""
    clean: bool = True


class CarrierReceiver(Protocol):
    """What a transport offers to its carrier; both are called on the event loop."""

    def message(self, data: str | bytes, /) -> None:
        """One message arrived. Must not block."""

    def closed(self, how: CarrierClosed, /) -> None:
        """The connection ended; called exactly once after a successful `open`, and last."""


class Carrier(Protocol):
    """One connection. Used once: a reconnect makes a new carrier."""

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Connect; messages may arrive before this returns.

        Raises:
            AuthenticationError: the peer refused the key (401, 403).
            ConnectTimeout: `open_timeout` passed.
            ConnectError: anything else that kept it from opening; `ProviderError` where
                the peer answered with an HTTP status and body.
        """

    def send(self, text: str, /) -> None:
        """Queue one text message, in order, without blocking.

        Raises:
            ConnectionLost: if the connection is not open.
        """

    async def drain(self) -> None:
        """Return once the send queue is short: the place where backpressure is felt.

        Raises:
            ConnectionLost: if the connection ends meanwhile.
        """

    def pause_reading(self) -> None:
        """Stop delivering messages soon (a few may still come); idempotent."""

    def resume_reading(self) -> None:
        """Deliver again; idempotent."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close and wait, at most `close_timeout`; idempotent, never raises."""


class MediaReceiver(CarrierReceiver, Protocol):
    """What a transport offers to a carrier that has a media plane."""

    def media(self, pcm: bytes, /) -> None:
        """The next 20 ms of the peer's audio (PCM16 little endian, mono, 24 kHz), silence included."""

    def media_state(self, state: str, reason: str, /) -> None:
        """The media path's state changed: "connected", "disconnected" (may recover), "lost"."""


@runtime_checkable
class MediaCarrier(Carrier, Protocol):
    """A carrier that moves audio beside the messages (WebRTC).

    Output audio arrives through `MediaReceiver.media`, no `response.output_audio.delta` is expected, and the
    service itself knows what was played out.
    """

    @property
    def call_id(self) -> str | None:
        """The service's name for this call, once it is open."""
        ...

    @property
    def plays_itself(self) -> bool:
        """Whether microphone and loudspeaker are the carrier's own (a web page's)."""
        ...

    def send_media(self, pcm: bytes, /) -> None:
        """Queue input audio (PCM16 mono, 24 kHz) for the track; live, so the oldest gives way when full."""

    def media_queued_ms(self) -> float:
        """Input audio waiting to go out, ms."""
        ...

    def mute_media(self, muted: bool, /) -> None:
        """Send silence in place of input audio, or no longer."""

    def stats(self) -> Any:
        """A `voxwire.rtc.base.RtcStats`."""
        ...


CarrierFactory: TypeAlias = Callable[[], Carrier]
