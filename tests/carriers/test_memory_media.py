"""The in-process pair with a media plane keeps the promises of a carrier."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from voxwire.carriers.base import CarrierRequest, MediaCarrier
from voxwire.carriers.memory_media import MemoryMediaCarrier, memory_media_pair
from voxwire.testing import CarrierEnds, CarrierPeer, RecordingReceiver, check_carrier, run_virtual
from voxwire.testing.ends import _MemoryPeer

REQUEST = CarrierRequest("memory:")
TONE = b"\x10\x27"


class Listener(RecordingReceiver):
    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []
        self.states: list[str] = []

    def media(self, pcm: bytes, /) -> None:
        self.frames.append(pcm)

    def media_state(self, state: str, reason: str, /) -> None:
        self.states.append(state)


@contextlib.asynccontextmanager
async def ends() -> AsyncIterator[CarrierEnds]:
    left, right = memory_media_pair()
    peer = _MemoryPeer(right)

    async def accept() -> CarrierPeer:
        await right.open(REQUEST, peer.receiver)
        return peer

    yield CarrierEnds(left, REQUEST, accept)
    await right.close()


async def test_it_is_a_carrier() -> None:
    await check_carrier(ends)


def test_frames_both_ways_in_real_time() -> None:
    async def scenario() -> None:
        left, right = memory_media_pair(call_id="rtc_1")
        assert isinstance(left, MediaCarrier)
        here, there = Listener(), Listener()
        assert left.call_id is None
        await left.open(REQUEST, here)
        await asyncio.sleep(1)
        assert not here.frames, "the other end is not open"
        await right.open(REQUEST, there)
        assert (left.call_id, here.states) == ("rtc_1", ["connected"])
        left.send_media(TONE * 720)  # 30 ms
        assert left.media_queued_ms() == 30
        await asyncio.sleep(0.101)
        assert [len(frame) for frame in (*here.frames, *there.frames)] == [960] * 10
        assert b"".join(there.frames).strip(b"\0") == TONE * 720
        assert not b"".join(here.frames).strip(b"\0")
        left.mute_media(True)
        assert left.muted
        left.send_media(TONE * 480)
        await asyncio.sleep(0.1)
        assert left.media_queued_ms() == 0
        assert not b"".join(there.frames[-5:]).strip(b"\0")
        stats = right.stats()
        assert (stats.packets_received, stats.output_level) == (10, -96)
        await left.close()
        frames = len(there.frames)
        await asyncio.sleep(1)
        assert len(there.frames) <= frames + 1

    run_virtual(scenario())


def test_too_much_audio_and_a_long_stall() -> None:
    async def scenario() -> None:
        left, right = memory_media_pair(max_queue_ms=40)
        there = Listener()
        await left.open(REQUEST, Listener())
        await right.open(REQUEST, there)
        left.send_media(bytes(960) + TONE * 480 * 2)
        assert left.media_queued_ms() == 40, "the oldest gave way"
        loop: Any = asyncio.get_running_loop()
        loop.jump(600)
        await asyncio.sleep(0.001)
        assert len(there.frames) < 100, "nobody needs ten minutes of silence at once"

    run_virtual(scenario())


def test_an_end_with_devices_of_its_own_carries_no_audio() -> None:
    async def scenario() -> None:
        left = MemoryMediaCarrier(plays_itself=True)
        right = MemoryMediaCarrier()
        left.peer = left.far = right
        right.peer = right.far = left
        here, there = Listener(), Listener()
        await left.open(REQUEST, here)
        await right.open(REQUEST, there)
        await asyncio.sleep(0.1)
        assert left.plays_itself
        assert not here.frames
        assert there.frames

    run_virtual(scenario())
