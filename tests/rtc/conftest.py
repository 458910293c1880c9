"""Two peers in one process, and someone who writes down what they tell."""

from __future__ import annotations

import asyncio
import gc
import math
from array import array

import numpy as np
import pytest

from voxwire.rtc import RtcOptions, peer_factory
from voxwire.rtc.capacity import process_capacity


class Owner:
    """`RtcEvents`, written down."""

    def __init__(self):
        self.states = []
        self.channels = []
        self.messages = []
        self.pcm = bytearray()

    def state(self, state, reason):
        self.states.append((state, reason))

    def channel(self, state):
        self.channels.append(state)

    def message(self, data):
        self.messages.append(data)

    def audio(self, pcm):
        assert len(pcm) == 960
        self.pcm += pcm

    @property
    def names(self):
        return [state for state, _ in self.states]


async def wait_until(condition, seconds=8.0):
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def make_tone(hertz, ms):
    wave = (int(8000 * math.sin(2 * math.pi * hertz * n / 24000)) for n in range(24 * ms))
    return array("h", wave).tobytes()


def loudest(pcm):
    """The loudest frequency of the last half second, Hz; 0 for silence."""
    samples = np.frombuffer(bytes(pcm[-24000:]), dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 24000 / len(samples)) if spectrum.max() > 1e5 else 0.0


@pytest.fixture
def until():
    return wait_until


@pytest.fixture
def tone():
    return make_tone


@pytest.fixture
def pitch():
    return loudest


@pytest.fixture
def owner():
    return Owner


@pytest.fixture
async def make_peer():
    """Makes peers with their owners, and closes them in the end."""
    made = []

    def make(backend="aiortc", **options):
        told = Owner()
        peer = peer_factory(backend)(RtcOptions(**({"loopback": True} | options)), told)
        made.append(peer)
        return peer, told

    yield make
    await asyncio.gather(*(peer.close() for peer in made))


@pytest.fixture
def quick_reports(monkeypatch):
    """RTCP five times a second, so that nobody waits for it."""
    monkeypatch.setattr("voxwire.rtc.reports.INTERVAL", 0.2)


@pytest.fixture
def connect(make_peer):
    """Connects two peers; `change` may work on the offer, `change_answer` on the answer."""

    async def run(
        offering="aiortc", answering="aiortc", change=lambda s: s, change_answer=lambda s: s, **options
    ):
        left, left_owner = make_peer(offering, **options)
        right, right_owner = make_peer(answering, **options)
        answer = await right.answer(change(await left.offer()))
        await left.take_answer(change_answer(answer))
        await wait_until(lambda: left_owner.channels and right_owner.channels)
        return left, left_owner, right, right_owner

    return run


@pytest.fixture(autouse=True)
async def nothing_is_left(request, caplog):
    """No task, no place, and nothing said by asyncio about tasks that failed with nobody looking."""
    if not request.node.get_closest_marker("asyncio"):
        yield
        return
    before = asyncio.all_tasks()
    yield
    async with asyncio.timeout(6):
        while asyncio.all_tasks() - before - {asyncio.current_task()} or process_capacity().count:
            await asyncio.sleep(0.01)
    gc.collect()
    records = caplog.get_records("call") + caplog.get_records("teardown")
    assert [record.getMessage() for record in records if record.name == "asyncio"] == []
