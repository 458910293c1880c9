"""Between RTP and PCM on one peer connection: what comes in, what goes out, and the reports about both.

Sans-I/O: packets, ticks and the time (seconds, monotonic) are handed in; packets and PCM come out.
"""

from __future__ import annotations

from random import Random

from ..media.codecs import AudioDecoder, AudioEncoder
from ..media.levels import rms_dbfs
from ..media.opus import OpusDecoder, OpusEncoder
from ..media.receiving import MediaReceiver
from ..media.rtp import RtpError, parse_rtp
from ..media.sending import MediaSender
from .base import SAMPLE_RATE, RtcOptions, RtcStats
from .reports import Reports
from .sdp import LocalAudio, RemoteSdp, reverse

__all__ = ["AudioPath"]

_MIN_BITRATE = 6_000
_COMPLEXITY = 5
_COMPLEXITY_UNDER_LOAD = 1
"""Half the CPU, at 0.007 less of intelligibility (STOI)."""
_LOSS_AT_FIRST = 0.05
_BUSY = 0.7
_IDLE = 0.45
"""Load of the event loop at which encoders begin to save, and stop. Saving takes less than what is between them."""
_LATE_MS = 10.0
"""Of the ticks, smoothed: others have the CPU."""


class AudioPath:
    """One audio stream each way.

    Args:
        local, remote: what was negotiated.
        random: where sequence number, timestamp and the times of reports come from (RFC 3550, 5.1 and 6.3).
        wall: what to add to the monotonic time to get Unix time, seconds; for sender reports.

    Attributes:
        sender: the queue of what goes out.
    """

    def __init__(
        self, local: LocalAudio, remote: RemoteSdp, options: RtcOptions, *, random: Random, wall: float
    ) -> None:
        wanted = remote.opus
        ssrc = local.ssrc if local.ssrc is not None else random.getrandbits(32)
        bitrate = max(_MIN_BITRATE, min(options.bitrate, wanted.max_bitrate or options.bitrate))
        # What both let through: our direction and the peer's, seen from here.
        directions = {local.direction, reverse(remote.direction)}
        self._sends = directions <= {"sendrecv", "sendonly"}
        self._receives = directions <= {"sendrecv", "recvonly"}
        self._fec = wanted.fec
        self._decoder: AudioDecoder = OpusDecoder(SAMPLE_RATE)
        # With copies until the first report says that they are not needed: losses come at the beginning, too.
        self._encoder = OpusEncoder(
            SAMPLE_RATE,
            bitrate=bitrate,
            complexity=_COMPLEXITY,
            expected_loss=_LOSS_AT_FIRST if wanted.fec else 0.0,
        )
        self._saving = False
        self._metered = _Metered(self._encoder)
        self.sender = MediaSender(
            self._metered,
            ssrc=ssrc,
            payload_type=wanted.payload_type,
            sequence=random.getrandbits(15),  # SRTP breaks where the first packets wrap (RFC 3711, 3.3.1)
            timestamp=random.getrandbits(32),
            max_queue_ms=options.max_queue_ms,
            dtx=wanted.dtx,
        )
        self._receiver = MediaReceiver(
            self._decoder, payload_types={local.opus.payload_type, wanted.payload_type}
        )
        self._reports = Reports(ssrc, local.cname, self._decoder.clock_rate, random, wall)
        self._closed = False

    def received(self, data: bytes, now: float) -> None:
        """An RTP packet came, decrypted."""
        if not self._receives or self._closed:
            return
        try:
            packet = parse_rtp(data)
        except RtpError:
            return
        self._receiver.push(packet, now)
        self._reports.received(packet, now)

    def received_rtcp(self, data: bytes, now: float) -> None:
        """A compound RTCP packet came. A loss it reports makes the encoder protect what follows."""
        loss = self._reports.take(data, now)
        if loss is not None and self._fec and not self._closed:
            self._encoder.set_expected_loss(loss)

    def pull(self, now: float) -> bytes | None:
        """The next 20 ms of the peer's audio; None before its first packet."""
        return self._receiver.pull(now) if self._receives and not self._closed else None

    def tick(self, now: float) -> bytes | None:
        """The RTP packet of this tick, if there is one to send.

        Where the peer wants no audio the queue moves on all the same: what is played to nobody is over some time, too.
        """
        if self._closed:
            return None
        packet = self.sender.tick(now)
        return packet if self._sends else None

    def early(self, now: float) -> bytes | None:
        """The RTP packet of the coming tick, if live audio that was just written has it ready."""
        return self.sender.early(now) if self._sends and not self._closed else None

    def postponement(self, now: float) -> float:
        """By how much later than at `now` the next `pull` should come, s: see `MediaReceiver`."""
        return self._receiver.postponement(now)

    def adapt(self, load: float, lag_ms: float) -> None:
        """Encode with less effort while the event loop is near its limit: beyond it every call would suffer.

        Args:
            load: share of the time in which it computes, 0..1.
            lag_ms: how late it is.
        """
        if self._closed:
            return
        busy = load > _BUSY or lag_ms > _LATE_MS
        if busy and not self._saving:
            self._saving = True
            self._encoder.set_complexity(_COMPLEXITY_UNDER_LOAD)
        elif self._saving and load < _IDLE and lag_ms < _LATE_MS / 2:
            self._saving = False
            self._encoder.set_complexity(_COMPLEXITY)

    def report(self, now: float) -> bytes | None:
        """The RTCP packet that is due, or None."""
        if not self._reports.due(now):
            return None
        return self._reports.build(now, self.sender if self._sends else None)

    def goodbye(self, now: float) -> bytes:
        """An RTCP packet that says that we stop."""
        return self._reports.goodbye(now, self.sender if self._sends else None)

    def stats(self) -> RtcStats:
        """How the media path is doing."""
        receiver, reports = self._receiver, self._reports
        return RtcStats(
            rtt_ms=reports.rtt_ms,
            packets_sent=self.sender.packets if self._sends else 0,
            packets_received=reports.received_packets,
            packets_lost=reports.lost_packets,
            remote_loss=reports.remote_loss,
            jitter_ms=receiver.jitter_ms,
            buffer_ms=receiver.buffer_ms,
            target_ms=receiver.target_ms,
            concealed_ms=receiver.concealed_ms,
            recovered_ms=receiver.recovered_ms,
            input_level=rms_dbfs(self._metered.last),
            output_level=receiver.level,
        )

    def close(self) -> None:
        """Free encoder and decoder; idempotent."""
        self._closed = True
        self._encoder.close()
        self._decoder.close()


class _Metered:
    """An encoder that keeps the last frame, so that its level can be asked for."""

    def __init__(self, encoder: AudioEncoder) -> None:
        self._encoder = encoder
        self.sample_rate = encoder.sample_rate
        self.clock_rate = encoder.clock_rate
        self.last = b""

    def encode(self, pcm: bytes, /) -> bytes:
        self.last = pcm
        return self._encoder.encode(pcm)

    def close(self) -> None:
        self._encoder.close()
