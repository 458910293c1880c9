"""Packets that wait for their turn, in order, each once."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

from .jitter_steps import Content
from .rtp import RtpPacket

__all__ = ["MAX_PACKETS", "PacketQueue", "Waiting"]

MAX_PACKETS: Final = 512
"""What the queue holds; beyond it the oldest gives way."""
_REMEMBERED: Final = 100
"""Packets are told from duplicates up to so many after their turn."""


class Waiting(NamedTuple):
    """A packet in the queue: `sequence` and `timestamp` unwrapped, as `Placer` has them."""

    sequence: int
    timestamp: int
    content: Content
    packet: RtpPacket

    @property
    def end(self) -> int:
        """Timestamp behind its audio."""
        return self.timestamp + self.content.duration


class PacketQueue:
    """Sorts packets by sequence number, and knows what became of those that are not here.

    Attributes:
        waiting: in order; not to be changed from outside.
        last: sequence number before which nothing is wanted any more, itself included.
        lost: packets whose turn came while they were not here.
        late: of these, those that came afterwards.
        duplicates: packets that came twice.
        dropped: packets taken out unplayed because there were too many.
    """

    __slots__ = ("_missed", "dropped", "duplicates", "last", "late", "lost", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.last = 0
        self.lost = self.late = self.duplicates = self.dropped = 0
        self._missed: set[int] = set()

    @property
    def end(self) -> int:
        """Timestamp behind the last packet; only while there is one."""
        return self.waiting[-1].end

    def lacks(self, sequence: int) -> bool:
        """Whether this packet has not come: it is still wanted, or was given up on lately."""
        if sequence <= self.last:
            return sequence in self._missed
        at = self._index(sequence)
        return at == len(self.waiting) or self.waiting[at].sequence != sequence

    def insert(self, waiting: Waiting, played: int) -> bool:
        """Put a packet in its place; False if its turn is over or it is here already.

        Args:
            waiting: the packet.
            played: timestamp up to which audio has been played.
        """
        newest = self.waiting[-1].sequence if self.waiting else self.last
        if waiting.sequence > newest and waiting.end > played:
            self.waiting.append(waiting)
            self._bound()
            return True
        if not self.lacks(waiting.sequence):
            self.duplicates += 1
            return False
        if waiting.sequence <= self.last or waiting.end <= played:
            self.late += 1
            self._missed.discard(waiting.sequence)
            return False
        self.waiting.insert(self._index(waiting.sequence), waiting)
        self._bound()
        return True

    def take(self) -> Waiting:
        """The first packet. Those before it that are not here are lost."""
        first = self.waiting.pop(0)
        missed = range(self.last + 1, first.sequence)
        if missed:
            self.lost += len(missed)
            self._missed.update(missed[-_REMEMBERED:])
            if len(self._missed) > 2 * _REMEMBERED:
                self._missed = {sequence for sequence in self._missed if sequence > self.last - _REMEMBERED}
        self.last = first.sequence
        return first

    def drop(self, count: int) -> None:
        """Take out the first `count` packets unplayed; one has to be left."""
        if count:
            del self.waiting[:count]
            self.dropped += count
            self.last = self.waiting[0].sequence - 1

    def _bound(self) -> None:
        if len(self.waiting) > MAX_PACKETS:
            self.drop(1)

    def _index(self, sequence: int) -> int:
        waiting = self.waiting
        if not waiting or sequence > waiting[-1].sequence:
            return len(waiting)
        return bisect_left(waiting, sequence, key=lambda other: other.sequence)
