"""The jitter buffer: packets and time in, at every tick what to decode or make up out.

Sans-I/O and without a codec. Time is seconds of any steady clock; lengths are units of the RTP clock.

The buffer follows one number, the *delay* with which it plays: how much later than at the earliest possible
moment (`ArrivalDelays.base`). It aims at a target that nearly all packets keep, and holds the delay between the target
and one tick more:

- A packet that is missing while nothing else has come either is waited for: something is made up, and if it still
  comes it is played then. That is how the delay grows, at once and without losing a word.
- What is missing while later packets are there is lost: restored from the packet behind it if that has a copy, else made
  up. Where losses go on and packets have copies, the target grows by one packet so that the copy is there in time.
- Delay beyond the target is taken out again: first in pauses and gaps, where nobody hears it, then by shortening
  speech, and the faster the more there is. What is beyond `max_ms` is dropped.
- What is left is the wait for the next tick. `postponement` says by how much later ticks would suit the packets better.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from ..errors import ConfigError
from .codecs import FRAME_MS
from .delays import ArrivalDelays
from .jitter_steps import Comfort, Conceal, Content, Decode, Recover, Squeeze, Step
from .packet_queue import PacketQueue, Waiting
from .placing import Placer
from .rtp import RtpPacket
from .ticker import PHASES

__all__ = ["Comfort", "Conceal", "Content", "Decode", "JitterBuffer", "Recover", "Squeeze", "Step"]

_FADE_MS: Final = 200
"""After this much made-up audio nothing but comfort noise is given out."""
_QUANTUMS: Final = 400
"""Lengths that are made up are multiples of 2.5 ms, the least that codecs conceal."""
_HYSTERESIS_MS: Final = 2
_HURRY_FRAMES: Final = 4
"""From this much delay too much on, speech is shortened at every tick instead of every 100 ms."""
_SQUEEZE_EVERY_MS: Final = 100
_LOSS_MEMORY_S: Final = 10
_LOSSES: Final = 2
"""So many losses within the memory make waiting for the copy in the next packet worth its delay."""


class JitterBuffer:
    """One stream's packets, put in order and in time.

    Holds at most 512 packets; the oldest gives way.

    Args:
        clock_rate: of the RTP timestamps, Hz.
        inspect: says what is in a packet (`Content`); a duration of 0 means that it is of no use.
        min_ms: least delay aimed at, for the unevenness of the clocks that drive the buffer.
        max_ms: most audio held; also bounds the target.

    Raises:
        ConfigError: if the delays are not in order, or less than two ticks apart.
    """

    def __init__(
        self,
        clock_rate: int,
        inspect: Callable[[RtpPacket], Content],
        *,
        min_ms: float = 2.0,
        max_ms: float = 500.0,
    ) -> None:
        if not 0 <= min_ms <= max_ms - 2 * FRAME_MS:
            raise ConfigError(
                f"a jitter buffer of {min_ms!r} to {max_ms!r} ms; it needs {2 * FRAME_MS} ms between them"
            )
        self._rate = clock_rate
        self._inspect = inspect
        self._frame = clock_rate * FRAME_MS // 1000
        self._quantum = clock_rate // _QUANTUMS
        self._min = min_ms * clock_rate / 1000
        self._max = max_ms * clock_rate / 1000
        self._hysteresis = _HYSTERESIS_MS * clock_rate / 1000
        self._fade = _FADE_MS * clock_rate // 1000
        self._placer = Placer(clock_rate)
        self._delays = ArrivalDelays(clock_rate)
        self._packets = PacketQueue()
        self._queue = self._packets.waiting
        self._opened = self._started = False  # a packet came; playing began
        self._cursor = 0  # timestamp of what is decoded next
        self._played = 0  # where real audio ended; from here to the cursor it was made up and can still come
        self._made_up = 0
        self._pausing = False  # the sender said that it falls silent
        self._length = self._frame  # of the newest packet
        self._fec_seen = False
        self._squeezed = self._stretched = float("-inf")
        self._losses: deque[float] = deque(maxlen=_LOSSES)
        self._now = 0.0
        self.ignored = 0
        """Packets that are malformed or do not belong to the stream."""

    @property
    def lost(self) -> int:
        """Packets that had not come when their turn was over; those that come later still count."""
        return self._packets.lost

    @property
    def late(self) -> int:
        """Packets that came after their turn."""
        return self._packets.late

    @property
    def duplicates(self) -> int:
        """Packets that came twice."""
        return self._packets.duplicates

    @property
    def dropped(self) -> int:
        """Packets dropped because more than `max_ms` or 512 packets were waiting."""
        return self._packets.dropped

    @property
    def buffered_ms(self) -> float:
        """From what is decoded next to the end of the last packet, ms."""
        return self._ms(max(0, self._packets.end - self._cursor)) if self._queue else 0.0

    @property
    def target_ms(self) -> float:
        """Delay aimed at, ms."""
        return self._ms(self._target())

    def delay_ms(self, now: float, held: int = 0) -> float:
        """How much later audio is played than at the earliest, ms; `held` as for `get`."""
        return self._ms(self._ahead(now * self._rate, self._cursor) + held) if self._started else 0.0

    def put(self, packet: RtpPacket, now: float) -> bool:
        """Take a packet that arrived at `now` (s); False if it is of no use."""
        arrival = now * self._rate
        content = self._inspect(packet)
        if content.duration <= 0:
            self.ignored += 1
            return False
        place = self._placer.place(packet, arrival, content.duration, self._delays.base)
        if place is None:
            self.ignored += 1
            return False
        waiting = Waiting(place.sequence, place.timestamp, content, packet)
        if place.newest:
            self._delays.add(arrival, place.timestamp, anew=packet.marker)
            self._length = content.duration
            self._fec_seen = self._fec_seen or content.fec
        elif self._packets.lacks(place.sequence):
            # Also where it is too late for this one: it says how late packets can be.
            self._delays.add_overtaken(arrival, place.timestamp)
        if not self._started:
            self._open(waiting)
        return self._packets.insert(waiting, self._played)

    def _open(self, waiting: Waiting) -> None:
        """Begin with the first packet, or with one that was overtaken by it."""
        if not self._opened or waiting.sequence <= self._packets.last:
            self._opened = True
            self._packets.last = waiting.sequence - 1
            self._cursor = self._played = waiting.timestamp

    def get(self, now: float, held: int = 0, quiet: bool = False) -> tuple[Step, ...]:
        """What the tick at `now` (s) needs; nothing before the first packet.

        Args:
            now: when the tick is due.
            held: audio that earlier steps gave and that has not been played, clock units.
            quiet: nobody would notice if a little were left out or added here.

        Returns:
            Steps that, with what is held, give one tick of audio; with a `Squeeze` at the end one tick more.
        """
        if not self._opened:
            return ()
        self._now = at = now * self._rate
        wanted = self._frame - held
        if not self._started and not self._start(at):
            return self._pass(wanted)
        self._limit()
        if wanted > 0 and quiet and self._stretch(at):
            return self._pass(wanted)
        squeeze = self._squeeze(at, held, quiet)
        wanted += squeeze
        steps: list[Step] = []
        while wanted > 0:
            step, duration = self._next(wanted)
            steps.append(step)
            wanted -= duration
        if squeeze:
            steps.append(Squeeze(squeeze))
        return tuple(steps)

    def unsettled(self, now: float, held: int = 0) -> bool:
        """Whether the delay is off its target, so that `quiet` makes a difference to `get`."""
        excess = self._ahead(now * self._rate, self._cursor) - self._target()
        return bool(held) or excess < -self._hysteresis or excess >= self._frame

    def postponement(self, now: float, held: int = 0) -> float:
        """By how much later than at `now` (s) the next tick would take packets just as they have to be there, s.

        Less than a tick, and a multiple of a tick's phase. It suits only a moment in which a gap is not heard. The delay
        grows by it; where it then is a tick too much, `get` takes that out.
        """
        if not self._opened or not self._fits():
            return 0.0
        excess = self._ahead(now * self._rate, self._cursor) + held - self._target()
        beyond = excess % self._frame
        phase, spare = self._frame / PHASES, self._hysteresis / 2
        if excess >= spare and beyond < phase + self._hysteresis:
            return 0.0
        # A little to spare: clocks drift, and the next pause may be seconds away.
        later = math.ceil((self._frame - beyond + spare) / phase) * phase
        return later % self._frame / self._rate

    def _start(self, at: float) -> bool:
        self._started = self._ahead(at, self._cursor) >= self._target()
        return self._started

    def _next(self, wanted: int) -> tuple[Step, int]:
        if not self._queue:
            return self._hollow(wanted)
        first = self._queue[0]
        missing = first.sequence - self._packets.last - 1
        if missing and self._goes_back(first):
            self._cursor = max(self._played, first.timestamp - first.content.duration)
        gap = first.timestamp - self._cursor
        if gap > 0 and not missing and self._ahead(self._now, first.timestamp) >= self._target():
            gap = 0  # the end of a pause comes as soon as it can be followed by the rest in time
        if gap > 0 and missing:
            gap = self._catch_up(gap)
        if gap <= 0:
            return self._decode(missing)
        if not missing:
            return self._fill(Comfort, wanted, gap)
        copy = first.content.duration if first.content.fec else 0
        if gap <= copy:
            return self._recover(first)
        if self._hurried():
            return self._made(Conceal, wanted)  # and come back to it at the next tick
        return self._fill(Conceal, wanted, gap - copy)

    def _decode(self, missing: int) -> tuple[Step, int]:
        first = self._packets.take()
        if missing:
            self._losses.append(self._now)
        self._cursor = self._played = first.end
        self._made_up = 0
        self._pausing = first.content.silence
        return Decode(first.packet), first.content.duration

    def _recover(self, first: Waiting) -> tuple[Step, int]:
        # All of the copy, also where the gap is a little shorter: codecs give it whole or not at all.
        self._cursor = self._played = first.timestamp
        self._made_up = 0
        return Recover(first.packet, first.content.duration), first.content.duration

    def _fill(self, kind: type[Comfort | Conceal], wanted: int, gap: int) -> tuple[Step, int]:
        """Bridge the time to a packet that is there: what is missing in between has had its turn.

        What is left of a tick is filled up, so that packets keep beginning where ticks do.
        """
        self._cursor += min(wanted, gap)
        self._played = self._cursor
        return self._made(kind, wanted)

    def _hollow(self, wanted: int) -> tuple[Step, int]:
        """Nothing is there; it may be late, lost, or never sent."""
        self._catch_up(self._whole(wanted) + int(self._max))
        self._cursor += self._whole(wanted)
        return self._made(Comfort if self._pausing else Conceal, wanted)

    def _made(self, kind: type[Comfort | Conceal], wanted: int) -> tuple[Step, int]:
        duration = self._whole(wanted)
        self._made_up += duration
        if self._made_up > self._fade:
            kind = Comfort
        return kind(duration), duration

    def _pass(self, wanted: int) -> tuple[Step, ...]:
        """Let time pass without playing anything."""
        return (Comfort(self._whole(wanted)),) if wanted > 0 else ()

    def _catch_up(self, gap: int) -> int:
        """Skip as much of a gap as there is delay too much: nobody hears it. Returns what is left of the gap."""
        excess = self._ahead(self._now, self._cursor) - self._target()
        if excess < self._frame + self._hysteresis:
            return gap
        skipped = min(gap, int(excess))
        self._cursor += skipped
        return gap - skipped

    def _goes_back(self, first: Waiting) -> bool:
        """Whether to come back to what was made up while nothing was there, now that a later packet is.

        Where the delay is to grow anyway, so that the copy in this packet can be used or the missing one still comes.
        """
        return self._played < first.timestamp <= self._cursor and self._hurried()

    def _hurried(self) -> bool:
        """Whether packets are known to come later than is waited for."""
        return self._ahead(self._now, self._cursor) < self._target() - self._hysteresis

    def _fits(self) -> bool:
        """Whether packets and ticks keep step; others (30 ms) are due at another moment of the tick each time."""
        return self._length % self._frame == 0 or self._frame % self._length == 0

    def _stretch(self, at: float) -> bool:
        """Whether to wait for a tick so that packets come in time. At most once in a second: it need not be exact."""
        # What is less can be had for less than a tick, by a postponement.
        short = self._frame * (PHASES - 1) // PHASES if self._fits() else self._hysteresis
        if not self._queue or at - self._stretched < self._rate:
            return False
        if self._ahead(at, self._cursor) >= self._target() - short:
            return False
        self._stretched = at
        return True

    def _squeeze(self, at: float, held: int, quiet: bool) -> int:
        """How much to take out at this tick."""
        excess = self._ahead(at, self._cursor) - self._target()
        if excess >= self._frame + (0 if quiet else self._hysteresis):
            amount = self._frame
            patient = not quiet and excess < _HURRY_FRAMES * self._frame
        else:
            # What an earlier squeeze has left over would only wait from tick to tick.
            amount = held if quiet and held < self._frame and self._length % self._frame == 0 else 0
            patient = False
        if not amount or not self._has(self._frame + amount - held):
            return 0
        if patient and at - self._squeezed < _SQUEEZE_EVERY_MS * self._rate / 1000:
            return 0
        self._squeezed = at
        return amount

    def _has(self, wanted: int) -> bool:
        """Whether so much can be decoded without a gap."""
        end = self._cursor
        for waiting in self._queue:
            if end - self._cursor >= wanted or waiting.timestamp > end:
                break
            end = waiting.end
        return end - self._cursor >= wanted

    def _limit(self) -> None:
        """Drop what is beyond `max_ms`: the oldest, for speech of seconds ago disturbs more than it tells."""
        queue = self._queue
        if not queue or self._packets.end - min(self._cursor, queue[0].timestamp) <= self._max:
            return
        keep_from = self._packets.end - self._max
        self._packets.drop(sum(1 for waiting in queue[:-1] if waiting.timestamp < keep_from))
        self._cursor = self._played = queue[0].timestamp

    def _ahead(self, at: float, timestamp: int) -> float:
        """How much later than at the earliest `timestamp` is decoded at `at`, all in clock units."""
        base = self._delays.base
        return 0.0 if base is None else at - base - timestamp

    def _target(self) -> float:
        # A tick takes several short packets, and the last of them comes last.
        target = max(self._min, self._delays.spread) + max(0, self._frame - self._length)
        lossy = len(self._losses) == _LOSSES and self._losses[0] > self._now - _LOSS_MEMORY_S * self._rate
        if lossy and self._fec_seen:
            target += self._length
        return min(target, self._max - 2 * self._frame)

    def _whole(self, duration: int) -> int:
        return -(-duration // self._quantum) * self._quantum

    def _ms(self, units: float) -> float:
        return units * 1000 / self._rate
