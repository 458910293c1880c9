"""Two peers over networks that lose, delay and reorder: what is heard at the other end, and when."""

from __future__ import annotations

import asyncio
import contextlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import voxwire.cli
from voxwire.audio import Resampler, read_wav
from voxwire.rtc import RtcStats
from voxwire.testing import Faults, FaultyRelay, is_rtp

pytestmark = [
    pytest.mark.needs_module("aiortc"),
    pytest.mark.needs_module("pystoi"),
    pytest.mark.usefixtures("quick_reports"),
]

RATE = 24_000
NETWORKS = {
    "clean": Faults(delay_ms=20),
    "5 % lost": Faults(loss=0.05, only=is_rtp, delay_ms=20),
    "5 % lost in bursts": Faults(loss=0.05, burst=3, only=is_rtp, delay_ms=20),
    "60 ms of jitter": Faults(jitter_ms=60, delay_ms=20),
    "reordered and repeated": Faults(reorder=0.05, reorder_ms=50, duplicate=0.1, delay_ms=20),
    "one packet lost": Faults(lose={120}, only=is_rtp, delay_ms=20),
}
MOST_DELAY = {"60 ms of jitter": 110, "reordered and repeated": 100, "one packet lost": 30}
"""More than on the clean network, ms; where packets have copies, one packet is waited for."""


@cache
def speech():
    recordings = sorted((Path(voxwire.cli.__file__).parent / "demo_audio").glob("*.wav"))[:3]
    pcm = b"".join(
        Resampler((audio := read_wav(path)).format.rate, RATE).feed(audio.pcm, last=True)
        for path in recordings
    )
    return pcm[: len(pcm) // 960 * 960]


def intelligibility(heard, said):
    """STOI of what was said, second by second where it fits best in what was heard: it measures the sound alone."""
    from pystoi import stoi

    wanted, got = (np.frombuffer(bytes(pcm), "<i2").astype(float) for pcm in (said, heard))
    pairs = []
    for start in range(0, len(wanted) - RATE, RATE):
        piece = wanted[start : start + RATE]
        around = got[max(0, start - RATE) : start + 3 * RATE]
        if np.sqrt(np.mean(piece**2)) < 50 or len(around) < RATE:
            continue
        match = np.fft.irfft(np.fft.rfft(around, 1 << 18) * np.conj(np.fft.rfft(piece, 1 << 18)))
        lag = int(np.argmax(match[: len(around) - RATE + 1]))
        pairs.append((piece, around[lag : lag + RATE]))
    return float(stoi(*(np.concatenate(side) for side in zip(*pairs, strict=True)), RATE))


class Heard(NamedTuple):
    pcm: bytes
    delay: float
    stats: RtcStats


@contextlib.asynccontextmanager
async def between(make_peer, until, there, back=None, **options):
    """Two connected peers with a relay between them."""
    async with FaultyRelay(there, back, seed=7) as relay:
        left, left_owner = make_peer(max_queue_ms=None, **options)
        right, right_owner = make_peer(max_queue_ms=None, **options)
        answer = await right.answer(await relay.offer(await left.offer()))
        await left.take_answer(await relay.answer(answer))
        await until(lambda: left_owner.channels and right_owner.channels, 20)
        yield relay, left, left_owner, right, right_owner
        await left.close()
        await right.close()


async def delays_while(condition, peer):
    """How late `peer` plays what it gets, ms, every 50 ms until `condition` is true."""
    loop, receiver = asyncio.get_running_loop(), peer._audio._receiver
    delays = []
    async with asyncio.timeout(30):
        while not condition():
            delays.append(receiver.delay_ms(loop.time()))
            await asyncio.sleep(0.05)
    return delays


async def conversation(make_peer, until, there, ready):
    # No audio before all are connected: handshakes keep the event loop busy, which looks like a bad network.
    async with between(make_peer, until, Faults(loss=1.0, only=is_rtp)) as (
        relay,
        left,
        _,
        right,
        right_owner,
    ):
        await ready.wait()
        relay.change(there, Faults(delay_ms=20))
        left.send_audio(speech())
        delays = await delays_while(lambda: left.queued_ms == 0, right)
        await until(lambda: len(right_owner.pcm) > len(speech()) + 4800)
        delay = sum(delays[-10:]) / 10
        stats = right.stats()
        await ready.wait()  # nor while some still listen
        return Heard(bytes(right_owner.pcm), delay, stats)


async def test_speech_gets_through(make_peer, until):
    """All networks at the same time, so that a busy machine disturbs them alike: they are compared with the clean one."""
    ready = asyncio.Barrier(len(NETWORKS))
    came = await asyncio.gather(
        *(conversation(make_peer, until, faults, ready) for faults in NETWORKS.values())
    )
    heard = dict(zip(NETWORKS, came, strict=True))
    clean = heard["clean"]
    best = intelligibility(clean.pcm, speech())
    assert best > 0.7
    for name, result in heard.items():
        # What comes late for the first times is a gap, and then everything is played later.
        worse = 0.25 if name in ("60 ms of jitter", "reordered and repeated") else 0.1
        assert intelligibility(result.pcm, speech()) > best - worse, name
        assert result.delay < 1.3 * clean.delay + MOST_DELAY.get(name, 50), name
    for name in ("5 % lost", "5 % lost in bursts"):
        assert heard[name].stats.packets_lost >= 4
        assert heard[name].stats.recovered_ms >= 20  # the sender was told, and sends copies
    assert heard["one packet lost"].stats.packets_lost == 1
    assert clean.stats.packets_lost == 0
    assert heard["reordered and repeated"].stats.packets_lost == 0
    assert heard["60 ms of jitter"].stats.target_ms > clean.stats.target_ms


async def test_a_connection_comes_about_though_a_fifth_of_everything_is_lost(make_peer, until):
    lossy = Faults(loss=0.2, delay_ms=10)
    async with between(make_peer, until, lossy) as (relay, left, left_owner, right, right_owner):
        assert relay.there.lost
        assert relay.back.lost
        relay.change(Faults(delay_ms=10))
        left.send("hello")
        right.send("hello yourself")
        await until(lambda: left_owner.messages and right_owner.messages, 15)


async def test_an_outage_of_3_s_is_told_and_leaves_nothing_behind(make_peer, until, tone, pitch):
    async with between(make_peer, until, Faults(delay_ms=20), disconnected_after=1.0) as (
        relay,
        left,
        left_owner,
        right,
        right_owner,
    ):
        left.send_audio(tone(440, 8000))
        await until(lambda: left.sent_ms >= 700)
        receiver, loop = right._audio._receiver, asyncio.get_running_loop()
        relay.interrupt(3.0)
        await until(lambda: left.state == right.state == "disconnected")
        left.send("sent while nothing gets through")
        await until(lambda: left.state == right.state == "connected")
        for owner in (left_owner, right_owner):
            assert owner.names == ["connecting", "connected", "disconnected", "connected"]
            assert "nothing heard from the peer for 1." in owner.states[2][1]
        await until(lambda: left.sent_ms >= 6500)
        assert receiver.delay_ms(loop.time()) < 200  # also on a busy machine; nothing of the 3 s
        assert pitch(right_owner.pcm) == pytest.approx(440, abs=5)
        await until(lambda: right_owner.messages == ["sent while nothing gets through"], 10)
