"""From PCM to RTP packets, one every 20 ms."""

from __future__ import annotations

import math
from typing import Final

from ..errors import ConfigError
from .codecs import FRAME_MS, AudioEncoder
from .rtp import pack_rtp
from .ticker import MAX_CATCH_UP, PHASE

__all__ = ["MediaSender"]

_FRAME: Final = FRAME_MS / 1000
_SETTLE: Final = 12
"""Frames of silence that are really encoded (an Opus encoder with DTX says so from the eleventh); after that the last
payload is sent again, and costs nothing."""
_DTX_INTERVAL: Final = 20
"""Frames from one packet of silence to the next with `dtx`: 400 ms, as libwebrtc does it."""
_LEAST_MARGIN: Final = 0.003
_MOST_MARGIN: Final = 0.01
"""Live frames should come between so much before their tick, s: a source is that uneven, and its silence comes so late."""
_MARGINS: Final = 50
"""Frames of live audio after which ticks may come earlier."""


class MediaSender:
    """Queues PCM and gives out one RTP packet per tick.

    Sans-I/O: the owner calls `tick` every 20 ms (`Ticker`) and sends what it returns.

    While nothing is queued, silence is sent, so that address translation and the peer's voice detection stay
    awake. Where the audio stops in the middle, the first tick is left out: live audio that is a little late
    then sounds better (the peer conceals a gap) than with silence in it. The RTP timestamp always follows the
    clock, and the first packet after a pause has the marker bit (RFC 3551 section 4.1).

    Live audio, which is written frame by frame, need not wait for the tick: the owner calls `early` after `write`. The ticks
    are then what notices that nothing came, and `retiming` says where they do that best.

    Args:
        encoder: of the stream; stays the caller's.
        ssrc, payload_type: of every packet.
        sequence, timestamp: of the first packet; to be chosen at random (RFC 3550 section 5.1).
        max_queue_ms: audio waiting beyond this is dropped, the oldest first; None is no limit.
        dtx: send next to nothing in silence: one packet in 400 ms.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        *,
        ssrc: int,
        payload_type: int,
        sequence: int,
        timestamp: int,
        max_queue_ms: float | None = None,
        dtx: bool = False,
    ) -> None:
        if max_queue_ms is not None and max_queue_ms < FRAME_MS:
            raise ConfigError(f"max_queue_ms has to hold a frame of {FRAME_MS} ms, not {max_queue_ms!r}")
        self.muted = False
        """Send silence in place of the audio, which passes at its usual pace and is lost."""
        self.ssrc = ssrc
        self.payload_type = payload_type
        self._encoder = encoder
        self._dtx = dtx
        self._per_ms = encoder.sample_rate * 2 // 1000
        self._frame_bytes = self._per_ms * FRAME_MS
        self._limit = None if max_queue_ms is None else math.floor(max_queue_ms) * self._per_ms
        self._clock_step = encoder.clock_rate * FRAME_MS // 1000
        self._zeros = bytes(self._frame_bytes)
        self._queue = bytearray()
        self._read: int = 0  # where the queue begins in `_queue`
        self._sequence = sequence & 0xFFFF
        self._timestamp = timestamp & 0xFFFF_FFFF
        self._due: float | None = None
        self._waited: int | None = None  # bytes that were too few for a frame at the last tick
        self._talking = False
        self._ahead = 0  # so many coming ticks have their packet already
        self._early_at = float("-inf")
        self._left_out = False  # nothing was given out at the last tick, in the middle of talking
        self._least_margin = math.inf  # of live frames before their ticks, s
        self._margins = 0  # so many of them
        self._shift = 0
        self._skipped = True  # so that the first packet has the marker
        self._quiet_frames = 0
        self._silence = b""
        self._sent_bytes: int = 0
        self._dropped_bytes: int = 0
        self.packets = 0
        """Packets given out."""
        self.octets = 0
        """Bytes of payload in them, for RTCP sender reports."""

    @property
    def timestamp(self) -> int:
        """The RTP timestamp that belongs to the next tick."""
        return self._timestamp

    @property
    def sent_ms(self) -> float:
        """Audio of `write` that has been given out, or passed while muted, ms; silence does not count."""
        return self._sent_bytes / self._per_ms

    @property
    def queued_ms(self) -> float:
        """Audio waiting, ms."""
        return (len(self._queue) - self._read) / self._per_ms

    @property
    def dropped_ms(self) -> float:
        """Audio that was dropped because the queue was full, ms in all; what `clear` drops does not count."""
        return self._dropped_bytes / self._per_ms

    def write(self, pcm: bytes, /) -> None:
        """Queue mono PCM16 at the encoder's rate, of any length; an odd last byte is ignored."""
        self._queue += pcm if len(pcm) % 2 == 0 else pcm[:-1]
        if self._limit is not None:
            excess = len(self._queue) - self._read - self._limit
            if excess > 0:
                self._read += excess
                self._dropped_bytes += excess
                self._compact()

    def clear(self) -> None:
        """Drop the audio that has not been given out; silence follows at once."""
        self._queue.clear()
        self._read = 0
        self._waited = None
        self._talking = self._left_out = False

    def tick(self, now: float) -> bytes | None:
        """The packet of this tick, or None where there is nothing to send.

        Args:
            now: when the tick was due, seconds. If calls were left out, the timestamp steps over them.
        """
        self._follow_clock(now)
        if self._ahead:
            self._ahead -= 1
            return self.early(now)  # one that came on the heels of the one before it
        frame = self._next_frame()
        self._left_out = False
        if frame is not None and not self.muted:
            self._talking, self._quiet_frames = True, 0
            payload = self._encoder.encode(frame)
        elif frame is None and self._talking:
            self._talking, self._left_out = False, True
            payload = None
        else:
            payload = self._silent_payload()
        packet = None if payload is None else self._packed(payload)
        self._skipped = packet is None
        self._timestamp = self._timestamp + self._clock_step & 0xFFFF_FFFF
        return packet

    def early(self, now: float) -> bytes | None:
        """The packet of the coming tick already now, or None: to be called after `write`.

        A frame that just missed its tick is still sent as that of it. Where more than a frame is waiting the audio is not
        live, or has fallen behind; then the ticks set the pace.

        Args:
            now: the time, seconds.
        """
        waiting = len(self._queue) - self._read
        live = self._frame_bytes <= waiting < 2 * self._frame_bytes
        if not live or self.muted or self._due is None:
            return None
        if self._ahead and (self._ahead > 1 or now - self._early_at < _FRAME / 2):
            return None
        self._early_at = now
        self._judge(self._due - now + _FRAME * (self._ahead - self._left_out))
        if self._left_out:
            self._timestamp = self._timestamp - self._clock_step & 0xFFFF_FFFF
            self._skipped = False
        else:
            self._skipped = (
                self._skipped or not self._talking
            )  # its clock may be ahead of that of the silence
            self._ahead += 1
        self._talking, self._left_out = True, False
        self._quiet_frames, self._waited = 0, None
        packet = self._packed(self._encoder.encode(self._pop(self._frame_bytes)))
        self._skipped = False
        self._timestamp = self._timestamp + self._clock_step & 0xFFFF_FFFF
        return packet

    def retiming(self) -> float:
        """By how much later the ticks should come, or earlier if it is negative, s: 0 nearly always.

        To be asked after `early`. Live audio should come a little before its tick: one that comes later leaves a gap, and one
        that comes a tick before makes the next one wait. Where the source's clock is not ours, its frames wander.
        """
        return self._shift * PHASE

    def retimed(self, seconds: float) -> None:
        """The next tick, and all after it, comes so much later than it would have, or earlier; timestamps do not follow.

        Args:
            seconds: what was wanted, or a tick more where that tick would be over; it counts as over then.
        """
        over = round((seconds - self._shift * PHASE) / _FRAME)
        self._ahead = max(0, self._ahead - over)
        self._shift, self._margins, self._least_margin = 0, 0, math.inf
        if self._due is not None:
            self._due += seconds

    def _judge(self, margin: float) -> None:
        """A live frame came so much before its tick, s: whether ticks should move because of it, in phases."""
        self._shift = 0
        if margin < -_FRAME:
            return  # the ticks themselves were held up
        self._margins += 1
        self._least_margin = min(self._least_margin, margin)
        if margin < _LEAST_MARGIN:
            self._shift = math.ceil((_LEAST_MARGIN - margin) / PHASE)
        elif self._margins == _MARGINS:
            if self._least_margin > _MOST_MARGIN:
                self._shift = -math.floor((self._least_margin - _LEAST_MARGIN) / PHASE)
            self._margins, self._least_margin = 0, math.inf

    def insert(
        self, now: float, payload_type: int, payload: bytes, *, timestamp: int, marker: bool = False
    ) -> bytes:
        """A packet of another kind in the same stream, in place of this tick's audio, which waits.

        Telephone events (RFC 4733 section 2.5.1.1): they keep the timestamp at which they began.
        """
        self._follow_clock(now)
        packet = pack_rtp(payload_type, self._sequence, timestamp, self.ssrc, payload, marker=marker)
        self._sequence = self._sequence + 1 & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        self._talking, self._skipped, self._left_out = False, True, False
        self._timestamp = self._timestamp + self._clock_step & 0xFFFF_FFFF
        return packet

    def take(self) -> bytes:
        """The audio that has not been given out, for another sender; none of it is left here."""
        rest = bytes(memoryview(self._queue)[self._read :])
        self.clear()
        return rest

    def _follow_clock(self, now: float) -> None:
        if self._due is not None:
            missed = round((now - self._due) / _FRAME)
            # A ticker that is a little late makes up for it; only what it leaves out for good is stepped over.
            if missed >= MAX_CATCH_UP:
                self._timestamp = self._timestamp + missed * self._clock_step & 0xFFFF_FFFF
                self._skipped = True
                self._due += missed * _FRAME
            self._due += _FRAME
        else:
            self._due = now + _FRAME

    def _next_frame(self) -> bytes | None:
        """The next 20 ms of the queue; what is too short for that waits for one tick and is then filled up."""
        waiting = len(self._queue) - self._read
        if waiting >= self._frame_bytes:
            end = self._read + self._frame_bytes
            self._waited = None
        elif waiting and self._waited == waiting:
            end = self._read + waiting
            self._waited = None
        else:
            self._waited = waiting or None
            return None
        frame = self._pop(end - self._read)
        return frame if len(frame) == self._frame_bytes else frame + self._zeros[len(frame) :]

    def _pop(self, count: int) -> bytes:
        frame = bytes(self._queue[self._read : self._read + count])
        self._read += count
        self._sent_bytes += count
        self._compact()
        return frame

    def _compact(self) -> None:
        # Cutting off the front of a long queue every time would copy all of it every time.
        if self._read >= len(self._queue):
            self._queue.clear()
            self._read = 0
        elif self._read > 64 * self._frame_bytes and self._read > len(self._queue) // 2:
            del self._queue[: self._read]
            self._read = 0

    def _silent_payload(self) -> bytes | None:
        self._talking = False
        count = self._quiet_frames
        self._quiet_frames += 1
        if count < _SETTLE:
            self._silence = self._encoder.encode(self._zeros)
        elif self._dtx and (count - _SETTLE) % _DTX_INTERVAL != _DTX_INTERVAL - 1:
            return None
        return self._silence

    def _packed(self, payload: bytes) -> bytes:
        packet = pack_rtp(
            self.payload_type, self._sequence, self._timestamp, self.ssrc, payload, marker=self._skipped
        )
        self._sequence = self._sequence + 1 & 0xFFFF
        self.packets += 1
        self.octets += len(payload)
        return packet
