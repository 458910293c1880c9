"""The audio of a telephone call between RTP packets and 24 kHz PCM. Sans-I/O: packets, ticks and times handed in."""

from __future__ import annotations

from random import Random
from typing import Final

from ...media.opus import OpusEncoder
from ...media.receiving import MediaReceiver
from ...media.rtcp import is_rtcp
from ...media.rtp import RtpError, RtpPacket, parse_rtp
from ...media.sending import MediaSender
from ...rtc.reports import Reports
from .latch import Address, Latch
from .negotiation import AgreedMedia
from .telephone_codecs import SAMPLE_RATE, make_decoder, make_encoder, widener
from .telephone_event import EventReceiver, EventSender

__all__ = ["SipAudio"]

_COMFORT_TYPE: Final = 13
_SETTLE_FRAMES: Final = 50
"""Silence that is heard after a call was put on hold, 20 ms each: what was being said then ends."""
_SILENCE: Final = bytes(SAMPLE_RATE // 50 * 2)


class SipAudio:
    """One audio stream each way.

    While the call is on hold nothing is heard, and what is being played waits.

    Args:
        agreed: the first agreement; `change` takes the next ones.
        random: SSRC, first sequence number and timestamp (RFC 3550 section 5.1), times of reports.
        wall: what to add to the monotonic time to get Unix time, s.
    """

    def __init__(self, agreed: AgreedMedia, random: Random, *, cname: str, wall: float) -> None:
        self._random = random
        self._cname = cname
        self._wall = wall
        self._latch = Latch(agreed.remote)
        self._rtcp_source: Address | None = None
        self._events_in = EventReceiver()
        self._events_out = EventSender(_events_rate(agreed))
        self._settling = 0
        self._closed = False
        self.last_packet: float | None = None
        """When the peer's last RTP or RTCP packet came, s."""
        self._begin(agreed, b"")

    def _begin(self, agreed: AgreedMedia, queued: bytes) -> None:
        self.agreed = agreed
        codec = agreed.codec
        self._encoder = make_encoder(codec)
        self._decoder = make_decoder(codec)
        self._widen = widener(self._decoder)
        ssrc = self._random.getrandbits(32)
        self.sender = MediaSender(
            self._encoder,
            ssrc=ssrc,
            payload_type=codec.payload_type,
            sequence=self._random.getrandbits(16),
            timestamp=self._random.getrandbits(32),
            dtx=codec.param("usedtx") == "1",
        )
        self.sender.write(queued)
        self._receiver = self._make_receiver(agreed)
        self._reports = Reports(ssrc, self._cname, codec.rate, self._random, self._wall)

    def _make_receiver(self, agreed: AgreedMedia) -> MediaReceiver:
        return MediaReceiver(
            self._decoder,
            payload_types={agreed.codec.payload_type},
            comfort_type=_COMFORT_TYPE if agreed.comfort else None,
        )

    def change(self, agreed: AgreedMedia) -> None:
        """Another agreement, in the middle of the call."""
        before, self._settling = self.agreed, _SETTLE_FRAMES
        self._latch.announce(agreed.remote)
        if agreed.events is None:
            self._events_out.forget()
        elif agreed.codec.key != before.codec.key or _events_rate(agreed) != _events_rate(before):
            self._events_out.restart(agreed.events.rate)
        if agreed.codec.key != before.codec.key:
            queued = self.sender.take()
            self._free()
            self._begin(agreed, queued)
            return
        if agreed.codec.payload_type != before.codec.payload_type:
            self.sender.payload_type = agreed.codec.payload_type
            self._receiver = self._make_receiver(agreed)
        self.agreed = agreed

    # -- in ---------------------------------------------------------------------------------

    def received(self, data: bytes, source: Address, now: float) -> str | None:
        """A datagram came on the port of RTP; the key that it says was pressed, if any."""
        if self._closed:
            return None
        if is_rtcp(data):
            self.received_rtcp(data, source, now)
            return None
        try:
            packet = parse_rtp(data)
        except RtpError:
            return None
        if not self._expected(packet) or not self._latch.accepts(source, packet, now):
            return None
        self.last_packet = now
        self._reports.received(packet, now)
        if self._is_event(packet):
            return self._events_in.receive(packet)
        self._receiver.push(packet, now)
        return None

    def received_rtcp(self, data: bytes, source: Address, now: float) -> None:
        """An RTCP packet came. A loss that it reports makes an Opus encoder protect what follows."""
        target = self._latch.target
        if self._closed or target is None or source[0] != target[0]:
            return
        self.last_packet = now
        self._rtcp_source = source
        loss = self._reports.take(data, now)
        protects = self.agreed.codec.param("useinbandfec") == "1"
        if loss is not None and protects and isinstance(self._encoder, OpusEncoder):
            self._encoder.set_expected_loss(loss)

    def _expected(self, packet: RtpPacket) -> bool:
        known = packet.payload_type == self.agreed.codec.payload_type or self._is_event(packet)
        return known or (self.agreed.comfort and packet.payload_type == _COMFORT_TYPE)

    def _is_event(self, packet: RtpPacket) -> bool:
        return self.agreed.events is not None and packet.payload_type == self.agreed.events.payload_type

    def pull(self, now: float) -> bytes | None:
        """The next 20 ms that are heard, 24 kHz; None before the first packet, and on hold."""
        if self._closed:
            return None
        pcm = self._receiver.pull(now)
        if pcm is not None and self._widen is not None:
            pcm = self._widen.feed(pcm)
        if self.agreed.direction == "sendrecv":
            return pcm
        self._settling -= 1
        return _SILENCE if self._settling >= 0 else None

    def postponement(self, now: float) -> float:
        """By how much later than at `now` the next `pull` should come, s: see `MediaReceiver`."""
        return 0.0 if self._closed else self._receiver.postponement(now)

    # -- out --------------------------------------------------------------------------------

    def press(self, keys: str) -> None:
        """Send keys (RFC 4733).

        Raises:
            ValueError: there is no such key, too many wait, or the peer does not take them.
        """
        if self.agreed.events is None:
            raise ValueError("the peer does not take keys: it has not agreed on telephone-event")
        self._events_out.press(keys)

    @property
    def pressing(self) -> bool:
        """Whether keys are being sent."""
        return self._events_out.busy

    def tick(self, now: float) -> tuple[bytes, Address] | None:
        """The RTP packet of this tick and where it goes; None if there is nothing to send."""
        target = self._latch.target
        if self._closed or target is None or self.agreed.held:
            return None
        event = self._events_out.tick(self.sender.timestamp) if self.agreed.events is not None else None
        if event is not None and self.agreed.events is not None:
            number = self.agreed.events.payload_type
            packet: bytes | None = self.sender.insert(
                now, number, event.payload, timestamp=event.timestamp, marker=event.marker
            )
        else:
            packet = self.sender.tick(now)
        return None if packet is None else (packet, target)

    def report(self, now: float) -> tuple[bytes, Address] | None:
        """The RTCP packet that is due and where it goes, or None."""
        target = self._rtcp_target()
        if self._closed or target is None or not self._reports.due(now):
            return None
        return self._reports.build(now, self.sender), target

    def goodbye(self, now: float) -> tuple[bytes, Address] | None:
        """RTCP that says that we stop."""
        target = self._rtcp_target()
        return None if target is None else (self._reports.goodbye(now, self.sender), target)

    def _rtcp_target(self) -> Address | None:
        target = self._latch.target
        if self._rtcp_source is not None:
            return self._rtcp_source
        if target is None or target == self.agreed.remote:
            return self.agreed.remote_rtcp
        port = target[1] if self.agreed.rtcp_mux else target[1] + 1
        return (target[0], port) if port < 65536 else None

    # -- what is told -------------------------------------------------------------------------

    @property
    def queued_ms(self) -> float:
        """Audio waiting to be sent, ms."""
        return self.sender.queued_ms

    @property
    def lost_packets(self) -> int:
        """RTP packets of the peer that did not come."""
        return self._reports.lost_packets

    @property
    def received_packets(self) -> int:
        """RTP packets of the peer that came."""
        return self._reports.received_packets

    def _free(self) -> None:
        self._encoder.close()
        self._decoder.close()

    def close(self) -> None:
        """Free encoder and decoder; idempotent."""
        self._closed = True
        self._free()


def _events_rate(agreed: AgreedMedia) -> int:
    return agreed.events.rate if agreed.events is not None else 8000
