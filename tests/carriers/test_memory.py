from __future__ import annotations

import asyncio

import pytest

from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.memory import memory_pair
from voxwire.errors import ConnectionLost, UserError
from voxwire.testing.receiver import RecordingReceiver

REQUEST = CarrierRequest("memory:", max_message_bytes=1000)


async def opened(**more):
    left, right = memory_pair(**more)
    near, far = RecordingReceiver(), RecordingReceiver()
    await left.open(REQUEST, near)
    await right.open(REQUEST, far)
    return left, right, near, far


async def test_what_was_sent_before_the_other_end_opens_waits():
    left, right = memory_pair()
    await left.open(REQUEST, RecordingReceiver())
    left.send("early")
    await left.close(4000, "bye")
    far = RecordingReceiver()
    await right.open(REQUEST, far)
    assert (await far.ended()).code == 4000
    assert far.messages == ["early"]


async def test_messages_come_in_a_later_turn_of_the_loop():
    left, _, _, far = await opened()
    left.send("x")
    assert far.messages == []
    await asyncio.sleep(0)
    assert far.messages == ["x"]


async def test_it_is_used_once():
    left, *_ = await opened()
    with pytest.raises(UserError, match="new pair"):
        await left.open(REQUEST, RecordingReceiver())


async def test_a_full_queue_drops_the_connection():
    left, right, near, far = await opened(limit=3)
    right.pause_reading()
    for _ in range(3):
        left.send("x")
    with pytest.raises(ConnectionLost, match="3 messages"):
        left.send("x")
    assert (await near.ended()).code == 1006
    right.resume_reading()
    assert (await far.ended()).code == 1006
    assert far.messages == []


@pytest.mark.parametrize(
    ("text", "allowed"), [("x" * 1000, True), ("x" * 1001, False), ("ü" * 501, False), ("ü" * 500, True)]
)
async def test_a_message_that_is_too_long_closes_with_1009(text, allowed):
    left, _, near, far = await opened()
    left.send(text)
    if allowed:
        await far.until(lambda: far.messages == [text])
        return
    assert (await far.ended()).code == 1009
    how = await near.ended()
    assert how.code == 1009
    assert "1000 allowed" in how.reason


async def test_a_message_sent_in_answer_has_its_turn_after_those_before():
    left, right, near, far = await opened()
    far.on_message = lambda data: right.send(f"re: {data}")
    left.send("a")
    left.send("b")
    await near.until(lambda: len(near.messages) == 2)
    assert near.messages == ["re: a", "re: b"]


async def test_pausing_in_the_middle_of_a_batch_stops_it():
    left, right, _, far = await opened()
    far.on_message = lambda _: right.pause_reading()
    left.send("a")
    left.send("b")
    for _ in range(5):
        await asyncio.sleep(0)
    assert far.messages == ["a"]
    right.resume_reading()
    await far.until(lambda: far.messages == ["a", "b"])


async def test_dropping_twice_tells_once():
    left, right, near, far = await opened()
    left.drop()
    right.drop()
    await near.ended()
    await far.ended()
    await asyncio.sleep(0)
    assert near.log == far.log == ["closed"]
