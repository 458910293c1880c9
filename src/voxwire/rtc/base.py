"""The whole interface of a peer connection, on one page.

A peer connection has one bidirectional Opus track and one data channel. Client and embedded server
use the same: one offers, the other answers. What arrives is pushed into an `RtcEvents`, always
on the event loop; nothing here blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "CHANNEL_LABEL",
    "FRAME_MS",
    "FRAME_SAMPLES",
    "SAMPLE_RATE",
    "IceServer",
    "PeerState",
    "RtcEvents",
    "RtcOptions",
    "RtcPeer",
    "RtcPeerFactory",
    "RtcStats",
]

CHANNEL_LABEL = "oai-events"
"""Label of the data channel that carries wire events (OpenAI Realtime guide, WebRTC)."""
SAMPLE_RATE = 24_000
"""Audio on this interface is PCM16 little endian, mono, at this rate, Hz."""
FRAME_MS = 20
"""Length of one packet and of one call of `RtcEvents.audio`, ms."""
FRAME_SAMPLES = SAMPLE_RATE * FRAME_MS // 1000
"""Samples in one frame (480)."""

PeerState: TypeAlias = Literal["new", "connecting", "connected", "disconnected", "failed", "closed"]
"""As W3C `RTCPeerConnectionState`; "disconnected" may recover, "failed" and "closed" do not."""


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server (W3C `RTCIceServer`).

    Attributes:
        urls: `stun:host:port`, `turn:host:port?transport=udp|tcp`, `turns:...`.
        username, credential: for TURN; secrets, left out of `repr`.
    """

    urls: tuple[str, ...]
    username: str | None = field(default=None, repr=False)
    credential: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RtcOptions:
    """How a peer connects.

    Attributes:
        ice_servers: none by default: a server with a public address needs none.
        bitrate: of the Opus encoder, bit/s.
        gather_timeout: seconds until an offer or answer goes out with the candidates found by then. Of the ICE servers that
            are slower, a relay is still used if it comes before there is a connection.
        connect_timeout: seconds from offer and answer to a connection; then the peer fails.
        disconnected_after: seconds without media or an answer to a connectivity check (one goes out every 2.5 s)
            until the peer counts as "disconnected".
        loopback: offer 127.0.0.1 as well, for peers on the same machine.
        addresses: local addresses to offer; empty offers all of them.
        public_address: offered in place of the local one (NAT with a one-to-one mapping).
        ports: range of local UDP ports, both ends included; None takes any.
        max_queue_ms: outgoing audio waiting to be sent; None is no limit, beyond it the oldest is dropped.
        max_message_bytes: a longer message on the data channel closes the peer.
    """

    ice_servers: tuple[IceServer, ...] = ()
    bitrate: int = 32_000
    gather_timeout: float = 1.0
    connect_timeout: float = 30.0
    disconnected_after: float = 5.0
    loopback: bool = False
    addresses: tuple[str, ...] = ()
    public_address: str | None = None
    ports: tuple[int, int] | None = None
    max_queue_ms: float | None = 1000.0
    max_message_bytes: int = 256 * 1024


@dataclass(frozen=True, slots=True)
class RtcStats:
    """How the media path is doing; None where nothing is known yet.

    Attributes:
        rtt_ms: round trip, by RTCP (RFC 3550 section 6.4.1), ms.
        packets_sent, packets_received, packets_lost: RTP packets; lost as the receiver here counts.
        remote_loss: share of our packets that the peer says it lost, 0..1, of its last report.
        jitter_ms: interarrival jitter (RFC 3550 section 6.4.1), ms.
        buffer_ms: audio waiting in the jitter buffer now, ms.
        target_ms: how much the jitter buffer holds back on purpose, ms.
        concealed_ms, recovered_ms: audio that was made up, and audio restored from in-band FEC, ms in all.
        input_level, output_level: dBFS of the last frame sent and received, -96 for silence.
    """

    rtt_ms: float | None = None
    packets_sent: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    remote_loss: float | None = None
    jitter_ms: float | None = None
    buffer_ms: float = 0.0
    target_ms: float = 0.0
    concealed_ms: float = 0.0
    recovered_ms: float = 0.0
    input_level: float = -96.0
    output_level: float = -96.0


class RtcEvents(Protocol):
    """What a peer tells its owner; all are called on the event loop and must not block."""

    def state(self, state: PeerState, reason: str, /) -> None:
        """The connection's state changed; "closed" comes once and last, also after `close()`."""

    def channel(self, state: Literal["open", "closed"], /) -> None:
        """The data channel opened, or closed while the peer lives on."""

    def message(self, data: str | bytes, /) -> None:
        """One message on the data channel."""

    def audio(self, pcm: bytes, /) -> None:
        """The next 20 ms of the peer's audio, every 20 ms from its first packet on; gaps are concealed.

        In a pause of the peer's they may once be put off by 5 to 15 ms, to come sooner after its packets from then on.
        """


class RtcPeer(Protocol):
    """One peer connection. Used once."""

    @property
    def state(self) -> PeerState:
        """Where the connection is."""
        ...

    @property
    def native(self) -> Any:
        """The library's own object (`aiortc.RTCPeerConnection`), for what is not offered here."""
        ...

    def adopt(self, native: Any) -> None:
        """Go on with another connection of the same library in place of `native`, and close that one.

        Only before `offer` or `answer`. From now on it is this peer's, which closes it.

        Raises:
            UserError: if it is too late, or the object is of another library.
        """

    async def offer(self) -> str:
        """An SDP offer: audio first, then the data channel, candidates gathered."""
        ...

    async def take_answer(self, sdp: str) -> None:
        """The peer's answer to our offer.

        Raises:
            ConnectError: if it is no usable SDP.
        """

    async def answer(self, offer: str) -> str:
        """Our SDP answer to the peer's offer.

        Raises:
            ConnectError: if it is no usable SDP, or has no audio.
        """
        ...

    def send(self, text: str, /) -> None:
        """Queue one message on the data channel, in order, without blocking.

        Raises:
            ConnectionLost: if the channel is not open.
        """

    async def drain(self) -> None:
        """Return once the channel's send queue is short.

        Raises:
            ConnectionLost: if the channel closes meanwhile.
        """

    def send_audio(self, pcm: bytes, /) -> None:
        """Queue audio behind what is there; it goes out as 20 ms packets, paced in real time.

        While the queue is empty silence is sent, or nothing where the peer knows what that means.
        """

    def clear_audio(self) -> None:
        """Drop the audio that has not been sent yet."""

    @property
    def sent_ms(self) -> float:
        """Audio of `send_audio` that has been sent since the beginning, ms; silence does not count."""
        ...

    @property
    def queued_ms(self) -> float:
        """Audio of `send_audio` waiting to be sent, ms."""
        ...

    def stats(self) -> RtcStats:
        """How the media path is doing."""
        ...

    async def close(self) -> None:
        """Close everything; idempotent, never raises, returns within 5 s."""


RtcPeerFactory: TypeAlias = Callable[[RtcOptions, RtcEvents], RtcPeer]
"""Makes a peer. `voxwire.rtc.peer_factory()` gives the best that is installed."""

IceServerLike: TypeAlias = "IceServer | Mapping[str, Any]"
"""An `IceServer`, or the mapping a browser takes: `{"urls": ..., "username": ..., "credential": ...}`."""
