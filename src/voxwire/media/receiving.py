"""From RTP packets to 20 ms of PCM at every tick."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ..errors import ConfigError
from .codecs import FRAME_MS, AudioDecoder, DecodeError
from .jitter import JitterBuffer
from .jitter_steps import Comfort, Conceal, Content, Decode, Recover, Squeeze, Step
from .levels import SILENCE_DBFS, peak_dbfs, rms_dbfs
from .pitch import shorten
from .rtcp_stats import ReceptionStats
from .rtp import RtpPacket

__all__ = ["MediaReceiver"]

_QUIET_DBFS: Final = -45.0
"""Below this nobody hears that 20 ms were left out or added."""
_CALM_DBFS: Final = -35.0
_CALM_FRAMES: Final = 3
"""So many frames that never get louder make a pause in which the ticks may be put off: it is no gap inside a word."""
_LOOK_EVERY: Final = 0.1
"""Seconds from one look to the next while ticks come just in time."""
_PATIENCE: Final = 1.0
"""Seconds from one postponement to the next at least; the target that they follow moves a little all the time."""


class MediaReceiver:
    """Puts what arrives in order and plays it out: jitter buffer, decoder, concealment.

    Sans-I/O: the owner pushes packets as they come and pulls once per tick (`Ticker`), on one clock. After each pull it asks
    for a `postponement` of its ticks, so that they come soon after the packets do.

    Args:
        decoder: of the stream; stays the caller's.
        payload_types: those the decoder understands; other packets are counted as ignored.
        clock_rate: of the RTP timestamps, Hz; None takes the decoder's.
        comfort_type: payload type of comfort noise (RFC 3389; 13 at 8 kHz), where the peer may send it.
        min_ms, max_ms: least delay that the jitter buffer aims at, and most audio that it holds.

    Raises:
        ConfigError: if the timestamps' clock is no multiple of the decoder's rate, or as for `JitterBuffer`.
    """

    def __init__(
        self,
        decoder: AudioDecoder,
        *,
        payload_types: Iterable[int],
        clock_rate: int | None = None,
        comfort_type: int | None = None,
        min_ms: float = 2.0,
        max_ms: float = 500.0,
    ) -> None:
        clock = decoder.clock_rate if clock_rate is None else clock_rate
        if clock % decoder.sample_rate:
            raise ConfigError(
                f"an RTP clock of {clock} Hz is no multiple of the decoder's {decoder.sample_rate} Hz"
            )
        self._decoder = decoder
        self._payload_types = frozenset(payload_types)
        self._comfort_type = comfort_type
        self._clock = clock
        self._units = clock // decoder.sample_rate  # clock units per sample
        self._frame_bytes = decoder.sample_rate * FRAME_MS // 1000 * 2
        self._jitter = JitterBuffer(clock, self._inspect, min_ms=min_ms, max_ms=max_ms)
        self.reception = ReceptionStats(clock)
        """What arrived and what did not, for RTCP reception reports."""
        self.ignored = 0
        """Packets of other payload types."""
        self.undecodable = 0
        """Packets that the codec refused; their audio was concealed."""
        self._held = b""
        self._last_frame = b""
        self._concealed = self._recovered = 0
        self._calm = 0
        self._look_again = float("-inf")

    def push(self, packet: RtpPacket, now: float) -> bool:
        """Take a packet that arrived at `now` (s); False if it is of no use: another type, malformed, late, twice."""
        if packet.payload_type not in self._payload_types and packet.payload_type != self._comfort_type:
            self.ignored += 1
            return False
        self.reception.received(packet, now)
        return self._jitter.put(packet, now)

    def pull(self, now: float) -> bytes | None:
        """The next 20 ms, mono PCM16 at the decoder's `sample_rate`; None before the first packet.

        Args:
            now: when the tick is due, s.
        """
        held = len(self._held) // 2 * self._units
        quiet = self._jitter.unsettled(now, held) and rms_dbfs(self._last_frame) < _QUIET_DBFS
        steps = self._jitter.get(now, held, quiet)
        if len(steps) == 1 and not held:
            pcm = self._play(steps[0])
        elif steps or held:
            pcm = self._several(steps, quiet)
        else:
            return None
        if len(pcm) != self._frame_bytes:
            pcm, self._held = pcm[: self._frame_bytes], pcm[self._frame_bytes :]
        self._last_frame = pcm
        return pcm

    def postponement(self, now: float) -> float:
        """By how much later than at `now` the next tick should come, s; 0 nearly always, less than 20 ms.

        In a pause the ticks can be moved to where packets do not wait for them; what is heard has a gap there once.

        Args:
            now: when the next tick is due, s.
        """
        if now < self._look_again:
            return 0.0
        wanted = self._jitter.postponement(now, len(self._held) // 2 * self._units)
        if not wanted:
            self._calm, self._look_again = 0, now + _LOOK_EVERY
            return 0.0
        self._calm = self._calm + 1 if peak_dbfs(self._last_frame) < _CALM_DBFS else 0
        if self._calm < _CALM_FRAMES:
            return 0.0
        self._calm, self._look_again = 0, now + _PATIENCE
        return wanted

    def _several(self, steps: tuple[Step, ...], quiet: bool) -> bytes:
        pcm, self._held = self._held, b""
        for step in steps:
            if isinstance(step, Squeeze):
                pcm = shorten(pcm, self._decoder.sample_rate, step.duration // self._units, exact=quiet)
            else:
                pcm += self._play(step)
        return pcm

    @property
    def concealed_ms(self) -> float:
        """Audio made up because a packet was lost, late or could not be decoded, ms in all."""
        return self._concealed * 1000 / self._clock

    @property
    def recovered_ms(self) -> float:
        """Audio restored by forward error correction, ms in all."""
        return self._recovered * 1000 / self._clock

    @property
    def buffer_ms(self) -> float:
        """Audio waiting, ms."""
        return self._jitter.buffered_ms + len(self._held) // 2 * 1000 / self._decoder.sample_rate

    @property
    def target_ms(self) -> float:
        """Delay that the jitter buffer aims at, ms."""
        return self._jitter.target_ms

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter (RFC 3550 section 6.4.1), ms."""
        return self.reception.jitter_ms

    @property
    def level(self) -> float:
        """Of the last 20 ms pulled, dBFS; -96 for silence."""
        return rms_dbfs(self._last_frame) if self._last_frame else SILENCE_DBFS

    @property
    def jitter_buffer(self) -> JitterBuffer:
        """For its counters: `lost`, `late`, `ignored`, `dropped`."""
        return self._jitter

    def delay_ms(self, now: float) -> float:
        """How much later audio is played than at the earliest possible, ms."""
        return self._jitter.delay_ms(now, len(self._held) // 2 * self._units)

    def _inspect(self, packet: RtpPacket) -> Content:
        payload, decoder = packet.payload, self._decoder
        if packet.payload_type == self._comfort_type:
            return Content(self._clock * FRAME_MS // 1000, silence=True) if payload else Content(0)
        return Content(
            decoder.samples(payload) * self._units, decoder.has_fec(payload), decoder.is_dtx(payload)
        )

    def _play(self, step: Step) -> bytes:
        match step:
            case Decode(packet):
                return self._decoded(packet)
            case Recover(packet, duration):
                return self._restored(packet, duration)
            case Conceal(duration):
                return self._made_up(duration)
            case Comfort(duration) | Squeeze(duration):
                return self._decoder.comfort(duration // self._units)

    def _decoded(self, packet: RtpPacket) -> bytes:
        if packet.payload_type == self._comfort_type:
            self._decoder.learn_comfort(packet.payload)
            return self._decoder.comfort(self._frame_bytes // 2)
        try:
            return self._decoder.decode(packet.payload)
        except DecodeError:
            self.undecodable += 1
            return self._made_up(self._inspect(packet).duration)

    def _restored(self, packet: RtpPacket, duration: int) -> bytes:
        try:
            pcm = self._decoder.decode_fec(packet.payload, duration // self._units)
        except DecodeError:  # the packet itself is counted when its own turn comes
            return self._made_up(duration)
        self._recovered += duration
        return pcm

    def _made_up(self, duration: int) -> bytes:
        self._concealed += duration
        return self._decoder.conceal(duration // self._units)
