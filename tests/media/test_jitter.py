"""The jitter buffer in virtual time: a stream of 20 ms packets (unless it says otherwise), and a network made of numbers."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxwire.errors import ConfigError
from voxwire.media.jitter import Comfort, Conceal, Content, Decode, JitterBuffer, Recover, Squeeze, Step
from voxwire.media.rtp import RtpPacket
from voxwire.media.ticker import PHASE

RATE = 48_000
TICK = RATE // 50
SEQUENCE = 65_500
TIMESTAMP = 2**32 - 7 * TICK


def packet(
    index: int, *, duration: int = TICK, payload: bytes = b"", ssrc: int = 1, ahead: int = 0
) -> RtpPacket:
    """The stream's packet number `index`; `ahead` sets its timestamps forward."""
    return RtpPacket(
        111,
        SEQUENCE + index & 0xFFFF,
        TIMESTAMP + index * duration + ahead & 0xFFFF_FFFF,
        ssrc,
        index.to_bytes(4, "big") + payload,
    )


def number(of: RtpPacket) -> int:
    return int.from_bytes(of.payload[:4], "big")


class Player:
    """Plays a buffer as a receiver would, and checks at every tick what holds at every tick."""

    def __init__(self, *, duration: int = TICK, fec: bool = False, **options: float) -> None:
        self.duration = duration
        self.buffer = JitterBuffer(
            RATE,
            lambda packet: Content(duration, fec, silence=packet.payload[4:] == b"dtx"),
            **options,
        )
        self.held = 0
        self.steps: list[tuple[Step, ...]] = []
        self.decoded: list[int] = []
        self.recovered: list[int] = []
        self.postponed: list[float] = []

    def tick(self, now: float, quiet: bool = False) -> tuple[Step, ...]:
        steps = self.buffer.get(now, self.held, quiet)
        self.steps.append(steps)
        if not self.buffer._opened:
            assert steps == ()
            return steps
        for step in steps:
            match step:
                case Decode(packet):
                    self.decoded.append(number(packet))
                    self.held += self.duration
                case Recover(packet, duration):
                    assert duration == self.duration
                    self.recovered.append(number(packet) - 1)
                    self.held += duration
                case Conceal(duration) | Comfort(duration):
                    assert duration % (RATE // 400) == 0
                    self.held += duration
                case Squeeze(duration):
                    assert step is steps[-1]
                    self.held -= duration
        assert self.held >= TICK, "every tick is filled"
        self.held -= TICK
        assert self.held < TICK + self.duration, "and nothing is decoded long before"
        return steps

    def run(
        self,
        arrivals: Iterable[tuple[float, RtpPacket]],
        until: float,
        *,
        start: float = 0.007,
        quiet: Callable[[float], bool] = lambda now: False,
    ) -> list[float]:
        """Feed packets and tick until `until` (s), in quiet moments at the phase that is asked for; each tick's delay, ms."""
        waiting = sorted(arrivals, key=lambda pair: pair[0])
        delays: list[float] = []
        at, now = 0, start
        while now < until:
            while at < len(waiting) and waiting[at][0] <= now:
                self.buffer.put(waiting[at][1], waiting[at][0])
                at += 1
            delays.append(self.buffer.delay_ms(now, self.held))
            self.tick(now, quiet(now))
            now += 0.02
            later = self.buffer.postponement(now, self.held)
            assert 0 <= later < 0.02
            assert later % PHASE == pytest.approx(0) or later % PHASE == pytest.approx(PHASE)
            if later and quiet(now):
                self.postponed.append(later)
                now += later
        return delays

    def of(self, kind: type[Step]) -> list[Step]:
        return [step for steps in self.steps for step in steps if isinstance(step, kind)]


def stream(
    count: int, delay: Callable[[int], float | None] = lambda index: 0.03, duration: int = TICK
) -> list[tuple[float, RtpPacket]]:
    """`count` packets, each late by `delay(index)` s, or lost."""
    sent = ((index, delay(index)) for index in range(count))
    return [
        (index * duration / RATE + late + index * 1e-9, packet(index, duration=duration))
        for index, late in sent
        if late is not None
    ]


def settled(delays: list[float], last_ms: int = 1000) -> list[float]:
    return delays[-last_ms // 20 :]


# A clean path


@pytest.mark.parametrize("start", [0.0, 0.004, 0.0099, 0.0101, 0.013, 0.0199])
def test_a_clean_path_costs_little_more_than_a_tick(start: float):
    player = Player()
    delays = player.run(stream(500), 10.0, start=start)
    assert player.decoded[:450] == list(range(450))
    assert max(delays[5:]) < 22.5
    assert not player.of(Conceal)
    assert not player.of(Squeeze)


@pytest.mark.parametrize("start", [0.0, 0.004, 0.0099, 0.0101, 0.013, 0.0199])
def test_ticks_move_to_where_packets_do_not_wait_for_them(start: float):
    player = Player()
    delays = player.run(stream(500), 9.9, start=start, quiet=lambda now: now < 1)
    assert max(delays[20:]) < 9.01, "2 ms aimed at, and a phase"
    assert player.decoded == list(range(len(player.decoded)))
    assert not player.of(Conceal)
    assert len(player.postponed) <= 1
    assert len(player.of(Squeeze)) <= 1


@pytest.mark.parametrize("start", [0.0, 0.005, 0.01, 0.015])
@pytest.mark.parametrize("duration", [TICK // 2, 2 * TICK, 3 * TICK])
def test_so_they_do_for_packets_of_other_lengths(start: float, duration: int):
    player = Player(duration=duration)
    delays = player.run(
        stream(500 * TICK // duration, duration=duration), 9.8, start=start, quiet=lambda now: now < 1.5
    )
    assert max(delays[100:]) < 9.01 + max(0, TICK - duration) / 48
    assert player.decoded == list(range(len(player.decoded)))


def test_ticks_stay_where_packets_of_30_ms_would_have_them_elsewhere_each_time():
    player = Player(duration=TICK * 3 // 2)
    player.run(stream(300, duration=TICK * 3 // 2), 8.0, quiet=lambda now: True)
    assert not player.postponed


def test_ticks_move_little_while_packets_come_unevenly():
    rng = random.Random(5)
    player = Player()
    delays = player.run(
        stream(3000, lambda index: 0.03 + 0.02 * rng.random()), 59.0, quiet=lambda now: now % 4 < 1
    )
    assert max(delays[500:]) < 30
    assert len(player.postponed) < 12
    assert len(player.of(Conceal)) < 5


def test_a_tick_that_is_a_little_too_early_moves_by_less_than_a_tick():
    player = Player()
    # From 5 s on every packet comes 4 ms later: it just misses the tick that it had.
    delays = player.run(
        stream(900, lambda index: 0.03 + (0.004 if index >= 250 else 0)),
        17.9,
        start=0.0131,
        quiet=lambda now: int(now) % 2 == 0,
    )
    assert max(delays) < 30
    assert max(settled(delays)) < 9.1
    assert player.decoded == list(range(len(player.decoded)))


def test_a_talker_who_begins_earlier_than_his_silence_was_is_not_taken_for_uneven():
    """Live audio is sent when it is there, silence once it is sure that there is none: up to a tick later."""
    for marker in (True, False):
        player = Player()
        arrivals = [
            (at - (0.015 if index >= 20 else 0), replace(sent, marker=marker and index == 20))
            for index, (at, sent) in enumerate(stream(400))
        ]
        player.run(arrivals, 7.9, quiet=lambda now: int(now) % 2 == 0)
        assert player.buffer.target_ms == pytest.approx(2 if marker else 15, abs=0.01)
        assert player.decoded == list(range(len(player.decoded)))


def test_nothing_comes_before_the_first_packet():
    player = Player()
    assert player.buffer.postponement(0.0) == 0.0
    assert player.tick(0.0) == ()
    assert player.buffer.delay_ms(0.0) == 0.0
    assert player.buffer.buffered_ms == 0.0


def test_playing_begins_when_the_target_is_reached():
    player = Player(min_ms=30)
    player.buffer.put(packet(0), 1.0)
    assert player.tick(1.01) == (Comfort(TICK),)
    player.buffer.put(packet(1), 1.02)
    assert player.buffer.buffered_ms == 40.0
    assert player.tick(1.031) == (Decode(packet(0)),)
    assert player.tick(1.051) == (Decode(packet(1)),)


def test_a_first_packet_that_was_overtaken_is_played():
    player = Player(min_ms=30)
    player.buffer.put(packet(5), 1.0)
    player.buffer.put(packet(4), 1.01)
    player.tick(1.05)
    player.tick(1.07)
    assert player.decoded == [4, 5]


@pytest.mark.parametrize("duration", [TICK // 8, TICK // 4, TICK // 2, TICK, 2 * TICK, 3 * TICK, 6 * TICK])
def test_packets_of_every_length(duration: int):
    player = Player(duration=duration)
    count = 10 * RATE // duration
    delays = player.run(stream(count, duration=duration), 9.5)
    assert player.decoded == list(range(len(player.decoded)))
    assert len(player.decoded) * duration >= 9.2 * RATE
    assert not player.of(Conceal)
    assert max(settled(delays)) < 22.5 + abs(duration - TICK) / 48


def test_packets_of_30_ms_do_not_swing_between_too_early_and_too_late():
    player = Player(duration=TICK * 3 // 2)
    player.run(stream(600, duration=TICK * 3 // 2), 17.0, quiet=lambda now: True)
    assert player.decoded == list(range(len(player.decoded)))
    assert len(player.of(Squeeze)) + len(player.of(Comfort)) < 17 * 4


# Loss


def test_one_lost_packet_leaves_no_delay():
    player = Player()
    delays = player.run(stream(200, lambda index: None if index == 50 else 0.03), 3.9)
    assert player.of(Conceal) == [Conceal(TICK)]
    assert set(range(190)) - set(player.decoded) == {50}
    assert delays[-1] == pytest.approx(delays[10], abs=0.01)
    assert player.buffer.lost == 1


def test_where_losses_go_on_the_copy_in_the_next_packet_is_waited_for():
    player = Player(fec=True)
    lost = set(range(30, 1000, 25))
    delays = player.run(stream(1000, lambda index: None if index in lost else 0.03), 19.9)
    assert set(player.recovered) == lost - {30, 55}, "from the third loss on"
    assert player.decoded == sorted(set(range(player.decoded[-1] + 1)) - lost)
    assert max(delays) < 45
    assert player.buffer.target_ms == 22


def test_the_wait_for_copies_ends_with_the_losses():
    player = Player(fec=True)
    lost = {50, 60, 70}
    delays = player.run(
        stream(1000, lambda index: None if index in lost else 0.03), 19.9, quiet=lambda now: True
    )
    assert max(delays) > 22, "the target with copies"
    assert max(settled(delays)) < 10


def test_a_copy_that_is_there_in_time_is_used_at_once():
    player = Player(fec=True, min_ms=30)
    player.run(stream(100, lambda index: None if index == 50 else 0.03), 1.9)
    assert player.recovered == [50]
    assert not player.of(Conceal)


def test_of_several_lost_packets_the_last_has_a_copy():
    player = Player(fec=True, min_ms=70)
    player.run(stream(100, lambda index: None if index in {50, 51, 52} else 0.03), 1.9)
    assert player.recovered == [52]
    assert player.of(Conceal) == [Conceal(TICK)] * 2
    assert player.buffer.lost == 3


def test_after_200_ms_of_nothing_it_is_quiet():
    player = Player()
    player.run(stream(50), 3.0)
    assert len(player.of(Conceal)) == 10
    assert player.steps[-1] == (Comfort(TICK),)


# Jitter


def test_uneven_arrival_is_evened_out():
    rng = random.Random(3)
    player = Player()
    delays = player.run(stream(1500, lambda index: 0.03 + 0.06 * rng.random()), 29.5)
    assert player.decoded[-1400:] == list(range(player.decoded[-1] - 1399, player.decoded[-1] + 1))
    assert max(delays) < 85
    assert 50 < player.buffer.target_ms < 62
    assert len(player.of(Conceal)) < 8, "and only at the beginning something is made up"


def test_when_the_jitter_ends_the_delay_goes_too():
    rng = random.Random(4)
    player = Player()
    delays = player.run(
        stream(2000, lambda index: 0.03 + (0.1 * rng.random() if index < 500 else 0)),
        39.5,
        quiet=lambda now: int(now * 10) % 5 == 0,
    )
    assert max(delays) > 80
    assert max(settled(delays)) < 25
    assert len(set(range(1900)) - set(player.decoded)) < 10


def test_packets_in_the_wrong_order_come_out_in_the_right_one():
    player = Player()
    player.run(stream(500, lambda index: 0.03 + (0.05 if index % 7 == 0 else 0)), 9.5)
    assert player.decoded == sorted(player.decoded)
    assert player.decoded[-300:] == list(range(player.decoded[-300], player.decoded[-1] + 1))


def test_duplicates_are_played_once():
    player = Player()
    twice = [(at + extra, packet) for at, packet in stream(200) for extra in (0.0, 0.001, 0.03)]
    player.run(twice, 3.9)
    assert player.decoded == list(range(len(player.decoded)))
    assert player.buffer.duplicates > 350
    assert player.buffer.target_ms == 2.0, "and do not look like delay"


def test_a_packet_after_its_turn_is_late():
    player = Player(min_ms=0)
    assert player.buffer.put(packet(0), 1.0)
    player.tick(1.0)
    player.tick(1.02)
    assert player.buffer.put(packet(2), 1.04)
    player.tick(1.04)
    assert not player.buffer.put(packet(1), 1.05)
    assert not player.buffer.put(packet(1), 1.05)
    assert (player.buffer.late, player.buffer.duplicates, player.buffer.lost) == (1, 1, 1)


def test_what_is_late_and_still_missing_is_played():
    """Nothing that was said is lost to a pause of the network: it comes later, and time is made good for."""
    player = Player()
    delays = player.run(
        stream(1000, lambda index: 0.03 if not 100 <= index < 115 else 0.33 - (index - 100) * 0.02),
        19.5,
        quiet=lambda now: int(now * 10) % 5 == 0,
    )
    assert player.decoded == list(range(len(player.decoded)))
    assert max(delays) > 200
    assert max(settled(delays)) < 25


# Outages


@pytest.mark.parametrize("fec", [False, True])
def test_an_outage_of_3_s_leaves_no_delay(fec: bool):
    player = Player(fec=fec)
    delays = player.run(stream(700, lambda index: None if 100 <= index < 250 else 0.03), 13.5)
    assert player.decoded[100] == 250
    assert delays[-1] == pytest.approx(delays[50], abs=0.01)
    assert max(delays) < 25


def test_what_was_held_up_for_3_s_is_cut_short_and_leaves_no_delay():
    player = Player()
    delays = player.run(
        stream(700, lambda index: 0.03 + (250 - index) * 0.02 if 100 <= index < 250 else 0.03), 13.5
    )
    assert player.buffer.dropped == 126, "all but the last 500 ms"
    after = [index for index, delay in enumerate(delays) if delay > 50]
    assert len(after) < 60, "which is made good for in about a second"
    assert max(settled(delays)) < 45
    assert player.decoded == sorted(set(player.decoded))


def test_a_loop_that_was_held_up_itself():
    """Nobody ticked for a second, and packets came all the while."""
    player = Player()
    for index in range(100):
        player.buffer.put(packet(index), 1 + index * 0.02)
        if not 40 <= index < 90:
            player.tick(1 + index * 0.02 + 0.005, quiet=index % 3 == 0)
    for index in range(100, 300):
        player.buffer.put(packet(index), 1 + index * 0.02)
        player.tick(1 + index * 0.02 + 0.005, quiet=index % 3 == 0)
    assert player.buffer.delay_ms(1 + 300 * 0.02, player.held) < 25
    assert player.buffer.dropped > 20


def test_nobody_ticks_at_all():
    buffer = JitterBuffer(RATE, lambda packet: Content(TICK))
    for index in range(2000):
        assert buffer.put(packet(index), index * 0.02)
    assert buffer.dropped == 2000 - 512
    assert buffer.buffered_ms > 0


# Clocks


@pytest.mark.parametrize("drift", [300e-6, -300e-6])
def test_drift_over_ten_minutes(drift: float):
    player = Player()
    arrivals = [(index * 0.02 * (1 + drift) + 0.03, packet(index)) for index in range(30_000)]
    delays = player.run(arrivals, 595.0, quiet=lambda now: now % 3 < 0.5)
    assert max(delays[100:]) < 32
    assert sorted(settled(delays))[-2] < 10, "but for the moment of a move"
    assert player.decoded == list(range(len(player.decoded))), "and nothing is lost by it"
    assert not player.of(Conceal)
    assert len(player.of(Squeeze)) + len(player.of(Comfort)) < 40, "180 ms, in steps of 5"


def test_a_timestamp_that_jumps_forward():
    player = Player()
    for index in range(200):
        player.buffer.put(packet(index, ahead=0 if index < 100 else 1_000_000), 1 + index * 0.02)
        player.tick(1 + index * 0.02 + 0.007)
    assert player.decoded[-150:] == list(range(50, 200))
    assert not player.of(Conceal)
    assert player.buffer.delay_ms(1 + 199 * 0.02 + 0.027) < 25


def test_a_timestamp_that_jumps_back():
    player = Player()
    for index in range(200):
        player.buffer.put(packet(index, ahead=0 if index < 100 else -1_000_000), 1 + index * 0.02)
        player.tick(1 + index * 0.02 + 0.007)
    assert player.decoded[-150:] == list(range(50, 200))
    assert not player.of(Conceal)


def test_a_sender_whose_clock_stands_still_in_pauses():
    """Against RFC 3550, and common: after 3 s without a packet the timestamps go on where they stopped."""
    player = Player()
    for index in range(300):
        player.buffer.put(packet(index), 1 + index * 0.02 + (3 if index >= 100 else 0))
    player = Player()
    arrivals = [(index * 0.02 + (3 if index >= 100 else 0), packet(index)) for index in range(300)]
    player.run(arrivals, 8.9)
    assert player.decoded == list(range(len(player.decoded)))
    assert len(player.decoded) > 290


def test_another_source_takes_over():
    player = Player()
    for index in range(100):
        player.buffer.put(packet(index), 1 + index * 0.02)
        player.tick(1 + index * 0.02 + 0.007)
    for index in range(1000, 1100):
        at = 1 + (index - 900) * 0.02
        player.buffer.put(packet(index * 17, ssrc=2) if index == 1000 else packet(index, ssrc=2), at)
        player.tick(at + 0.007)
    assert player.decoded[-97:] == list(range(1003 - 1, 1099 + 1))[-97:]
    assert player.buffer.ignored == 2, "the stray one, and the first of two in sequence"


def test_a_stray_source_changes_nothing():
    player = Player()
    for index in range(100):
        player.buffer.put(packet(index), 1 + index * 0.02)
        assert not player.buffer.put(packet(index * 3, ssrc=7), 1 + index * 0.02)
        player.tick(1 + index * 0.02 + 0.007)
    assert player.decoded == list(range(100))


# Pauses


def test_silence_that_is_not_sent_is_no_loss():
    player = Player()
    talking = [index for index in range(1000) if index % 200 < 100]
    arrivals = []
    for sequence, index in enumerate(talking):
        said = packet(index, payload=b"dtx" if index % 200 == 99 else b"")
        arrivals.append(
            (
                index * 0.02,
                RtpPacket(111, SEQUENCE + sequence & 0xFFFF, said.timestamp, 1, said.payload),
            )
        )
    delays = player.run(arrivals, 19.9)
    assert player.decoded == talking
    assert not player.of(Conceal)
    assert player.buffer.lost == 0
    assert max(delays) < 25
    assert player.held == 0, "talk begins where a tick does"


def test_talk_after_a_pause_waits_until_the_rest_can_follow():
    rng = random.Random(5)
    player = Player()
    arrivals: list[tuple[float, RtpPacket]] = []
    sequence = 0
    for index in range(800):
        if 400 <= index < 500:
            continue
        said = packet(index, payload=b"dtx" if index == 399 else b"")
        late = 0.06 * rng.random() if index != 500 else 0
        arrivals.append((index * 0.02 + late, RtpPacket(111, sequence, said.timestamp, 1, said.payload)))
        sequence += 1
    delays = player.run(arrivals, 15.9)
    begins = next(at for at, steps in enumerate(player.steps) if steps == (Decode(arrivals[400][1]),))
    assert 40 < (begins * 0.02 + 0.007 - 500 * 0.02) * 1000 < 85
    assert max(delays) < 90
    after = player.steps[begins:]
    assert not any(isinstance(step, Conceal) for steps in after for step in steps)
    assert player.held == 0


def test_losses_of_long_ago_are_forgotten():
    player = Player()
    player.run(stream(2000, lambda index: None if index % 2 else 0.03), 39.5)
    assert player.buffer.lost > 950
    assert not player.buffer.put(packet(1), 40.0)
    assert not player.buffer.put(packet(1951), 40.0)
    assert (player.buffer.late, player.buffer.duplicates) == (1, 1), (
        "which of the two it was is known for a while"
    )


def test_a_pause_is_the_time_to_lose_delay():
    player = Player()
    arrivals: list[tuple[float, RtpPacket]] = []
    sequence = 0
    for index in range(800):
        if 300 <= index < 400 or 700 <= index < 720:
            continue
        late = 0.25 if index == 250 else max(0.0, 0.25 - (index - 250) * 0.02) if index > 250 else 0.0
        said = packet(index, payload=b"dtx" if index in {299, 699} else b"")
        arrivals.append(
            (index * (0.02 + 1e-9) + late, RtpPacket(111, sequence, said.timestamp, 1, said.payload))
        )
        sequence += 1
    delays = player.run(arrivals, 15.9)
    assert max(delays[:300]) > 150
    assert max(delays[450:]) < 25


def test_odd_lengths_of_pauses_do_not_add_up():
    player = Player()
    arrivals = []
    sequence, at = 0, 0.0
    rng = random.Random(1)
    for _ in range(30):
        for _ in range(20):
            timestamp = round(at * RATE) & 0xFFFF_FFFF
            arrivals.append((at, RtpPacket(111, sequence, timestamp, 1, sequence.to_bytes(4, "big"))))
            sequence, at = sequence + 1, at + 0.02
        at += 0.1 + rng.random() * 0.3
    delays = player.run(arrivals, at)
    assert player.decoded == list(range(len(player.decoded)))
    assert max(delays) < 45


# Speed


def test_shortening_waits_for_a_quiet_moment_or_takes_its_time():
    def late(index: int) -> float:
        return 0.03 + max(0.0, 0.06 - (index - 250) * 0.02) * (index >= 250)

    times: dict[bool, list[int]] = {}
    for quiet in (False, True):
        player = Player()
        player.run(stream(450, late), 8.5, quiet=lambda now, quiet=quiet: quiet)
        times[quiet] = [
            at
            for at, steps in enumerate(player.steps)
            if at > 100 and any(isinstance(s, Squeeze) for s in steps)
        ]
    assert times[True][-1] - times[True][0] < 10
    assert min(b - a for a, b in itertools.pairwise(times[False])) >= 5


def test_what_a_partial_shortening_left_over_goes_when_it_is_quiet():
    buffer = JitterBuffer(RATE, lambda packet: Content(TICK))
    for index in range(4):
        buffer.put(packet(index), 1.0 + index * 0.001)
    buffer.get(1.003)
    left = TICK // 3
    steps = buffer.get(1.023, left, quiet=True)
    assert steps[-1] == Squeeze(left)
    assert left + sum(TICK for step in steps if isinstance(step, Decode)) - left >= TICK


def test_unsettled_says_when_quiet_matters():
    buffer = JitterBuffer(RATE, lambda packet: Content(TICK))
    buffer.put(packet(0), 1.0)
    assert not buffer.unsettled(1.01)
    assert buffer.unsettled(1.03)
    assert buffer.unsettled(1.01, held=1)


def test_where_packets_come_just_in_time_it_waits_in_a_quiet_moment():
    player = Player()
    rng = random.Random(2)
    # The delay creeps up towards the tick: without waiting, packets would be late from then on.
    player.run(
        stream(1000, lambda index: 0.03 + index * 15e-6 + 0.004 * rng.random()),
        19.5,
        quiet=lambda now: True,
    )
    assert player.decoded == list(range(len(player.decoded)))
    assert len(player.of(Comfort)) <= 4
    assert len(player.of(Conceal)) <= 1


# What is of no use


def test_malformed_packets_are_ignored():
    buffer = JitterBuffer(RATE, lambda packet: Content(0))
    assert not buffer.put(packet(0), 1.0)
    assert buffer.ignored == 1
    assert buffer.get(1.0) == ()


@pytest.mark.parametrize(("least", "most"), [(-1, 100), (100, 120), (0, 39)])
def test_limits_that_make_no_sense(least: float, most: float):
    with pytest.raises(ConfigError, match="40 ms between"):
        JitterBuffer(RATE, lambda packet: Content(TICK), min_ms=least, max_ms=most)


# Anything


class Network(NamedTuple):
    """A few seconds of bad network, then 20 s of a good one."""

    seed: int
    duration: int
    loss: float
    jitter: float
    duplicates: float
    outage: tuple[float, float]
    held_up: bool

    def arrivals(self) -> list[tuple[float, RtpPacket]]:
        rng = random.Random(self.seed)
        return [
            (arrived + index * 1e-9, packet(index, duration=self.duration))
            for index in range(24 * RATE // self.duration)
            for arrived in self.arrival(index * self.duration / RATE, rng)
        ]

    def arrival(self, sent: float, rng: random.Random) -> list[float]:
        if sent > 4:
            return [sent + 0.02]
        if rng.random() < self.loss:
            return []
        arrived = sent + 0.02 + rng.random() * self.jitter
        if self.outage[0] < sent < sum(self.outage):
            if not self.held_up:
                return []
            arrived = max(arrived, sum(self.outage))
        twice = rng.random() < self.duplicates
        return [arrived, arrived + rng.random() * self.jitter] if twice else [arrived]


networks = st.builds(
    Network,
    seed=st.integers(0, 1000),
    duration=st.sampled_from([TICK, TICK // 2, 3 * TICK]),
    loss=st.sampled_from([0, 0.05, 0.3]),
    jitter=st.sampled_from([0.0, 0.005, 0.06, 0.4, 2.0]),
    duplicates=st.sampled_from([0, 0.2]),
    outage=st.tuples(st.integers(0, 3), st.sampled_from([0, 0.3, 1, 3])),
    held_up=st.booleans(),
)


@settings(max_examples=60)
@given(networks, st.booleans(), st.integers(0, 20), st.integers(1, 20))
def test_whatever_the_network_does(network: Network, fec: bool, start_ms: int, quiet_every: int):
    player = Player(duration=network.duration, fec=fec)
    delays = player.run(
        network.arrivals(),
        23.9,
        start=start_ms / 1000,
        quiet=lambda now: int(now * 50) % quiet_every == 0,
    )
    assert player.decoded == sorted(set(player.decoded)), "in order, and none twice"
    assert not set(player.recovered) & set(player.decoded)
    assert max(delays) < 500 + 2500, "bounded by what is held and by what is waited for"
    assert max(settled(delays)) < 45 + abs(network.duration - TICK) / 48, "and back where it was"


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 0.3),
            st.integers(0, 0xFFFF),
            st.integers(0, 0xFFFF_FFFF),
            st.integers(0, 2),
            st.integers(0, 6 * TICK),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_a_peer_sends(sent: list[tuple[float, int, int, int, int, bool]]):
    lengths = {}
    buffer = JitterBuffer(RATE, lambda packet: Content(lengths[packet.payload], fec=True))
    now, held = 0.0, 0
    for count, (wait, sequence, timestamp, ssrc, duration, quiet) in enumerate(sent):
        now += wait
        payload = count.to_bytes(2, "big")
        lengths[payload] = duration
        buffer.put(RtpPacket(111, sequence, timestamp, ssrc, payload), now)
        steps = buffer.get(now, held, quiet)
        for step in steps:
            match step:
                case Decode(packet):
                    held += lengths[packet.payload]
                case Recover(_, duration) | Conceal(duration) | Comfort(duration):
                    held += duration
                case Squeeze(duration):
                    held -= duration
        if buffer._opened:
            assert held >= TICK
            held -= TICK
        assert held < 20 * TICK
        assert buffer.buffered_ms <= 700 + 512 * 120
