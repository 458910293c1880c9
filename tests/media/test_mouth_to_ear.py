"""Live audio from one end to the other in virtual time: pushed, sent, late by the network, played; each with its own clock."""

from __future__ import annotations

import heapq
import itertools
import random
from array import array
from collections.abc import Callable

import pytest

from voxwire.media.receiving import MediaReceiver
from voxwire.media.rtp import parse_rtp
from voxwire.media.sending import MediaSender
from voxwire.media.ticker import Ticker

FRAME = 480  # samples at 24 kHz
PAUSE = range(75, 100)
"""Of 200 frames that are pushed, the silent ones."""


class Plain:
    """A codec whose payload is the PCM, and whose concealment is silence."""

    sample_rate = clock_rate = 24_000

    def encode(self, pcm: bytes, /) -> bytes:
        return pcm

    def decode(self, payload: bytes, /) -> bytes:
        return payload

    def samples(self, payload: bytes, /) -> int:
        return len(payload) // 2

    def has_fec(self, payload: bytes, /) -> bool:
        return False

    def is_dtx(self, payload: bytes, /) -> bool:
        return False

    def decode_fec(self, payload: bytes, samples: int, /) -> bytes:
        raise NotImplementedError

    def conceal(self, samples: int, /) -> bytes:
        return bytes(2 * samples)

    comfort = conceal

    def learn_comfort(self, payload: bytes, /) -> None:
        return

    def close(self) -> None:
        return


class Machine:
    """An event loop's timers and clock, without an event loop."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = itertools.count()
        self.timers: list[tuple[float, int, Callable[[], object]]] = []
        self.cancelled: set[int] = set()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object]) -> Machine.Timer:
        number = next(self.count)
        heapq.heappush(self.timers, (when, number, callback))
        return Machine.Timer(self, number)

    class Timer:
        def __init__(self, machine: Machine, number: int) -> None:
            self.machine, self.number = machine, number

        def cancel(self) -> None:
            self.machine.cancelled.add(self.number)

    def run(self, until: float) -> None:
        while self.timers and self.timers[0][0] < until:
            when, number, callback = heapq.heappop(self.timers)
            if number not in self.cancelled:
                self.now = max(self.now, when)
                callback()


class Talk:
    """One way of a call, wired up as peers wire it up.

    Args:
        late: how long the network takes, s.
        uneven: how much later than it should a frame of the source may come, s.
    """

    def __init__(self, *, phase: float, start: float, late: Callable[[], float], uneven: float) -> None:
        self.machine = Machine()
        self.late = late
        self.sender = MediaSender(Plain(), ssrc=1, payload_type=96, sequence=1, timestamp=1)
        self.receiver = MediaReceiver(Plain(), payload_types=[96])
        self.pushed: dict[int, float] = {}
        self.heard: dict[int, float] = {}
        rng = random.Random(1)
        for number in range(200):
            at = 1 + phase + number * 0.02 + rng.random() * uneven
            self.machine.call_at(at, lambda number=number: self.push(number))
        self.machine.call_at(start, self.begin_to_play)
        self.sending = Ticker(self.machine).add(lambda due: self.send(self.sender.tick(due)))  # type: ignore[arg-type]

    def begin_to_play(self) -> None:
        self.playing = Ticker(self.machine).add(self.play)  # type: ignore[arg-type]

    def push(self, number: int) -> None:
        now = self.machine.now
        self.pushed[number] = now
        level = 0 if number in PAUSE else 3000 + number
        self.sender.write(array("h", [level] * FRAME).tobytes())
        self.send(self.sender.early(now))
        shift = self.sender.retiming()
        if shift:
            self.sender.retimed(self.sending.move(shift))

    def send(self, data: bytes | None) -> None:
        if data is not None:
            at = self.machine.now + self.late()
            self.machine.call_at(at, lambda: self.receiver.push(parse_rtp(data), at))

    def play(self, due: float) -> None:
        pcm = self.receiver.pull(due)
        for level in set(array("h", pcm or b"")):
            if level >= 3000:
                self.heard.setdefault(level - 3000, due)
        later = self.receiver.postponement(self.playing.due)
        if later:
            self.playing.move(later)

    def delays(self) -> dict[int, float]:
        """Of each frame, ms."""
        self.machine.run(6)
        assert sorted(self.heard) == [number for number in range(200) if number not in PAUSE]
        return {number: (at - self.pushed[number]) * 1000 for number, at in self.heard.items()}


@pytest.mark.parametrize("start", [0.4001, 0.4051, 0.4102, 0.4153])
@pytest.mark.parametrize("phase", [0.0, 0.0032, 0.0071, 0.0113, 0.0149, 0.0181])
@pytest.mark.parametrize("uneven", [0.0, 0.003])
def test_on_a_clean_path_frames_hardly_wait(start: float, phase: float, uneven: float):
    talk = Talk(phase=phase, start=start, late=lambda: 0.001, uneven=uneven)
    talk.machine.run(4.98)
    assert talk.receiver.concealed_ms == 0
    delays = talk.delays()
    assert max(delays.values()) < 33, "with Opus's own 6.5 ms less than 40"
    after = [delay for number, delay in delays.items() if number > PAUSE[-1]]
    assert max(after) < 1 + 2 + 7.1 + 3 * uneven * 1000, (
        "from the first pause on: network, target, half a phase more"
    )


@pytest.mark.parametrize("phase", [0.0, 0.0071, 0.0149])
def test_through_60_ms_of_jitter(phase: float):
    rng = random.Random(phase)
    talk = Talk(phase=phase, start=0.4, late=lambda: 0.06 * rng.random(), uneven=0.0)
    talk.machine.run(6)
    delays = {number: (at - talk.pushed[number]) * 1000 for number, at in talk.heard.items()}
    assert len(delays) > 170
    after = [delay for number, delay in delays.items() if number > PAUSE[-1]]
    assert max(after) < 75
