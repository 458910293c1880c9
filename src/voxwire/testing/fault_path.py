"""What a bad network does to datagrams, decided without a socket: datagrams and time in, times of arrival out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from random import Random
from typing import Final

from ..errors import ConfigError

__all__ = ["Faults", "FaultyPath", "is_media", "is_rtp"]

_TICK: Final = 1e-6
"""Between datagrams that may not overtake each other, s: timers that are due at once come in any order."""


def is_media(datagram: bytes, /) -> bool:
    """Whether it is RTP or RTCP, and not STUN, DTLS or TURN's: by its first octet (RFC 7983 section 7)."""
    return len(datagram) > 1 and 127 < datagram[0] < 192


def is_rtp(datagram: bytes, /) -> bool:
    """Whether it is RTP: media, and not RTCP by its second octet (RFC 5761 section 4)."""
    return is_media(datagram) and not 191 < datagram[1] < 224


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What one direction of a network does.

    Attributes:
        loss: share of the datagrams that are lost, 0..1.
        burst: how many are lost in a row on average (a Gilbert model); None loses each on its own.
        lose: those with these numbers are lost; the first one is 0.
        delay_ms: how long each is under way.
        jitter_ms: up to so much longer, evenly spread.
        in_order: jitter lets none overtake another.
        reorder: share of the datagrams that are held back by `reorder_ms`, so that later ones overtake them.
        duplicate: share of the datagrams that come twice.
        bandwidth: bit/s; those that come faster wait, for `queue_ms` at most, and are lost beyond that.
        outages: from when to when all are lost, s since the path was made, or changed.
        only: which datagrams `loss`, `lose`, `reorder` and `duplicate` are about, and are counted: `is_rtp`, `is_media`
            or your own; None is all of them. Delay, bandwidth and outages meet everything.

    Raises:
        ConfigError: if a share or a time is out of its range.
    """

    loss: float = 0.0
    burst: float | None = None
    lose: Collection[int] = ()
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    in_order: bool = False
    reorder: float = 0.0
    reorder_ms: float = 50.0
    duplicate: float = 0.0
    bandwidth: float | None = None
    queue_ms: float = 200.0
    outages: tuple[tuple[float, float], ...] = ()
    only: Callable[[bytes], bool] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("loss", "reorder", "duplicate") and not 0 <= value <= 1:
                raise ConfigError(f"{field.name} is a share from 0 to 1, not {value!r}")
            if field.name.endswith("_ms") and not value >= 0:
                raise ConfigError(f"{field.name} is a time from 0 on, not {value!r}")
        if self.burst is not None and not self.burst >= 1:
            raise ConfigError(f"burst is a number of datagrams from 1 on, not {self.burst!r}")
        if self.burst is not None and self.loss > self.burst / (self.burst + 1):
            raise ConfigError(f"{self.loss!r} cannot be lost in bursts of {self.burst!r}; make them longer")
        if self.bandwidth is not None and not self.bandwidth > 0:
            raise ConfigError(f"bandwidth is more than 0 bit/s, or None, not {self.bandwidth!r}")


class FaultyPath:
    """One direction of a network. Sans-I/O, and the same for the same seed and the same datagrams.

    Each datagram uses up the same random numbers whatever the faults are: a longer delay does not change which
    ones are lost.

    Args:
        faults: what happens to them.
        seed: of the random numbers; a number or a text.
        start: when it begins, s of the clock that `send` is given.

    Attributes:
        sent: datagrams handed in.
        lost: of these, those that never arrive.
        duplicated: those that arrive twice.
    """

    def __init__(self, faults: Faults, seed: int | str = 0, start: float = 0.0) -> None:
        self._random = Random(seed)  # noqa: S311 - it has to be repeatable
        self.sent = self.lost = self.duplicated = 0
        self.change(faults, start)

    @property
    def faults(self) -> Faults:
        """What happens now."""
        return self._faults

    def change(self, faults: Faults, now: float) -> None:
        """Do something else from now on. Numbers and outages count from here; what is under way arrives."""
        self._faults = faults
        self._start = now
        self._number = 0
        self._in_burst = False
        self._dead_until = now
        self._free_at = now  # when the bandwidth is there for the next one
        self._last = now

    def interrupt(self, seconds: float, now: float) -> None:
        """Lose everything for so long."""
        self._dead_until = now + seconds

    def send(self, datagram: bytes, now: float) -> tuple[float, ...]:
        """When a datagram that is sent now arrives, s; never, once or twice."""
        random = self._random
        loss, jitter, order, twice, later = (random.random() for _ in range(5))
        faults = self._faults
        self.sent += 1
        concerned = faults.only is None or faults.only(datagram)
        lost = concerned and self._is_lost(loss)
        start = self._through_bandwidth(len(datagram), now)
        if lost or start is None or self._is_out(now):
            self.lost += 1
            return ()
        arrival = self._arrival(start, jitter, held_back=concerned and order < faults.reorder)
        if not (concerned and twice < faults.duplicate):
            return (arrival,)
        self.duplicated += 1
        return arrival, self._arrival(start, later, held_back=False)

    def _is_lost(self, chance: float) -> bool:
        faults = self._faults
        number, self._number = self._number, self._number + 1
        if faults.burst is None:
            return chance < faults.loss or number in faults.lose
        # Gilbert's two states, so that `loss` is the share and `burst` the mean length of those in a row.
        leave = 1 / faults.burst
        enter = faults.loss * leave / (1 - faults.loss)
        self._in_burst = chance >= leave if self._in_burst else chance < enter
        return self._in_burst or number in faults.lose

    def _is_out(self, now: float) -> bool:
        since = now - self._start
        return now < self._dead_until or any(begin <= since < end for begin, end in self._faults.outages)

    def _through_bandwidth(self, size: int, now: float) -> float | None:
        """When the last bit is on its way; None if the queue is full."""
        faults = self._faults
        if faults.bandwidth is None:
            return now
        begin = max(now, self._free_at)
        if begin - now > faults.queue_ms / 1000:
            return None
        self._free_at = begin + size * 8 / faults.bandwidth
        return self._free_at

    def _arrival(self, start: float, jitter: float, *, held_back: bool) -> float:
        faults = self._faults
        arrival = start + (faults.delay_ms + jitter * faults.jitter_ms) / 1000
        if faults.in_order:
            arrival = self._last = max(arrival, self._last + _TICK)
        return arrival + faults.reorder_ms / 1000 if held_back else arrival
