"""Keys of a telephone as RTP packets (RFC 4733 section 2). Sans-I/O."""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from typing import Final

from ...media.codecs import FRAME_MS
from ...media.rtp import RtpPacket

__all__ = ["KEYS", "MAX_DIGITS", "EventPacket", "EventReceiver", "EventSender"]

KEYS: Final = "0123456789*#ABCD"
"""Events 0 to 15 (section 3.2)."""
MAX_DIGITS: Final = 64
"""Keys that may wait to be sent."""
_PAYLOAD: Final = struct.Struct("!BBH")
_END: Final = 0x80
_VOLUME: Final = 10  # -10 dBm0
_LONGEST: Final = 0xFFFF
_TONE_TICKS: Final = 5
_GAP_TICKS: Final = 5
_REPEATS: Final = 3  # of the end (section 2.5.1.4)


class EventReceiver:
    """Tells each key once, with the first of its packets that gets through."""

    def __init__(self) -> None:
        self._last: tuple[int, int] | None = None  # SSRC and timestamp

    def receive(self, packet: RtpPacket) -> str | None:
        """The key that was pressed, if this packet is the first to say so."""
        if len(packet.payload) < _PAYLOAD.size:
            return None
        event, _, _ = _PAYLOAD.unpack_from(packet.payload)
        if event >= len(KEYS):
            return None
        if self._last is not None and self._last[0] == packet.ssrc:
            ahead = packet.timestamp - self._last[1] & 0xFFFF_FFFF
            if ahead == 0 or ahead >= 0x8000_0000:
                return None  # more of the same, or late
            if ahead == _LONGEST and not packet.marker:
                self._last = (packet.ssrc, packet.timestamp)
                return None  # a key held for so long that it goes on in another segment (section 2.5.1.3)
        self._last = (packet.ssrc, packet.timestamp)
        return KEYS[event]


@dataclass(frozen=True, slots=True)
class EventPacket:
    """What is to be sent at a tick in place of audio."""

    payload: bytes
    timestamp: int
    marker: bool


class EventSender:
    """Sends keys one after the other: 100 ms each, and as much of a pause.

    Args:
        clock_rate: of the telephone-event format, Hz.
    """

    def __init__(self, clock_rate: int) -> None:
        self._waiting: deque[int] = deque()
        self.restart(clock_rate)

    def restart(self, clock_rate: int) -> None:
        """Go on in another stream, or by another clock, with the keys that wait.

        The one that is being sent was told with its first packet, and is not sent again.
        """
        self._step = clock_rate * FRAME_MS // 1000
        self._event: int | None = None
        self._began = 0
        self._ticks = 0

    @property
    def busy(self) -> bool:
        """Whether a key is being sent or waits."""
        return self._event is not None or bool(self._waiting)

    def forget(self) -> None:
        """Send none of the keys that wait."""
        self._event = None
        self._waiting.clear()

    def press(self, keys: str) -> None:
        """Queue keys.

        Raises:
            ValueError: there is no such key, or too many wait.
        """
        unknown = next((key for key in keys.upper() if key not in KEYS), None)
        if unknown is not None:
            raise ValueError(f"a telephone has no key {unknown!r}; it has {KEYS}")
        if len(self._waiting) + len(keys) > MAX_DIGITS:
            raise ValueError(f"more than {MAX_DIGITS} keys wait to be sent")
        self._waiting.extend(KEYS.index(key) for key in keys.upper())

    def tick(self, timestamp: int) -> EventPacket | None:
        """The packet of this tick; None if it is audio's.

        Args:
            timestamp: that of the stream now.
        """
        if self._event is None:
            if not self._waiting:
                return None
            self._event, self._began, self._ticks = self._waiting.popleft(), timestamp, 0
        tick, self._ticks = self._ticks, self._ticks + 1
        if tick >= _TONE_TICKS + _REPEATS:
            if tick >= _TONE_TICKS + _REPEATS + _GAP_TICKS - 1:
                self._event = None
            return None
        ending = tick >= _TONE_TICKS
        duration = self._step * min(tick + 1, _TONE_TICKS)
        payload = _PAYLOAD.pack(self._event, _VOLUME | (_END if ending else 0), duration)
        return EventPacket(payload, self._began, marker=tick == 0)
