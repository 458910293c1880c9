"""The conformance checks find what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest

from voxwire import testing
from voxwire.carriers.base import CarrierClosed
from voxwire.carriers.memory import MemoryCarrier, memory_pair
from voxwire.protocol.formats import PCM16, PCMU
from voxwire.testing import (
    CarrierEnds,
    RecordingReceiver,
    check_carrier,
    check_sink,
    check_source,
    memory_ends,
)
from voxwire.testing.carrier_checks import CARRIER_CHECKS, answers_from_the_callback


def broken_ends(kind):
    @contextlib.asynccontextmanager
    async def ends():
        async with memory_ends() as good:
            good.carrier.__class__ = kind
            yield CarrierEnds(good.carrier, good.request, good.accept)

    return ends


class Shouting(MemoryCarrier):
    def send(self, text, /):
        super().send(text.upper())


class Reentrant(MemoryCarrier):
    def send(self, text, /):
        super().send(text)
        if self._inbox is not None:
            self._inbox._receiver.message("an echo from inside send")


class Silent(MemoryCarrier):
    def send(self, text, /):
        with contextlib.suppress(Exception):
            super().send(text)


class Unstoppable(MemoryCarrier):
    def pause_reading(self):
        pass


class Impatient(MemoryCarrier):
    async def drain(self):
        pass


class Mumbling(MemoryCarrier):
    async def close(self, code=1000, reason=""):
        await super().close(1000)


class Optimistic(MemoryCarrier):
    def _end(self, how):
        super()._end(CarrierClosed(how.code, how.reason, clean=True))


class Repeating(MemoryCarrier):
    async def close(self, code=1000, reason=""):
        await super().close(code, reason)
        if self._inbox is not None:
            self._inbox._receiver.closed(CarrierClosed(code, reason))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Shouting, "the peer got"),
        (Silent, "did not raise ConnectionLost"),
        (Unstoppable, "delivered while paused"),
        (Impatient, "drain"),
        (Mumbling, "told another end"),
        (Optimistic, "told: "),
        (Repeating, "again|more than once"),
    ],
)
async def test_a_broken_carrier_is_found(kind, words):
    with pytest.raises(AssertionError, match=words):
        await check_carrier(broken_ends(kind))


async def test_a_carrier_that_calls_back_inside_send_is_found():
    with pytest.raises(AssertionError, match="inside message"):
        await answers_from_the_callback(broken_ends(Reentrant))


async def test_a_check_that_hangs_is_named(monkeypatch):
    from voxwire.testing import carrier_checks

    class Stuck(MemoryCarrier):
        async def open(self, request, receiver, /):
            await asyncio.Event().wait()

    monkeypatch.setattr(carrier_checks, "PATIENCE", 0.02)
    with pytest.raises(AssertionError, match=f"{CARRIER_CHECKS[0].__name__} did not come to an end"):
        await check_carrier(broken_ends(Stuck))


class Sink:
    """A sink that plays nothing, and knows it."""

    def __init__(self):
        self.format = None
        self.bytes = 0

    async def open(self, format, /):
        self.format = format

    def write(self, data, /):
        self.bytes += len(data)

    def clear(self, heard_ms, /):
        self.bytes = 0

    def heard_ms(self):
        return 0.0

    def buffered_ms(self):
        return self.format.duration_ms(self.bytes)

    async def close(self):
        pass


async def test_a_sink_is_checked():
    class Deaf(Sink):
        def clear(self, heard_ms, /):
            pass

    class Boastful(Sink):
        def heard_ms(self):
            return self.buffered_ms() * 2

    class Ignorant(Sink):
        def heard_ms(self):
            return None

    await check_sink(Sink)
    await check_sink(Sink, PCMU)
    await check_sink(Ignorant)
    with pytest.raises(AssertionError, match=r"after clear"):
        await check_sink(Deaf)
    with pytest.raises(AssertionError, match=r"heard of"):
        await check_sink(Boastful)


class Source:
    pace = 0.02
    extra = b""

    async def frames(self, format, /):
        for _ in range(20):
            yield bytes(format.size_of(20)) + self.extra
            await asyncio.sleep(self.pace)

    async def close(self):
        pass


async def test_a_source_is_checked():
    class Rushed(Source):
        pace = 0

    class Ragged(Source):
        extra = b"\x00"

    class Immortal(Source):
        async def frames(self, format, /):
            try:
                async for frame in super().frames(format):
                    yield frame
            except asyncio.CancelledError:
                raise RuntimeError("never") from None

    await check_source(Source)
    await check_source(Rushed, PCM16, realtime=False)
    with pytest.raises(AssertionError, match=r"ms of audio came within"):
        await check_source(Rushed)
    with pytest.raises(AssertionError, match=r"splits a sample"):
        await check_source(Ragged)
    with pytest.raises(AssertionError, match=r"cancelled source raised"):
        await check_source(Immortal)


async def test_a_receiver_says_what_it_waited_for():
    receiver = RecordingReceiver()
    with pytest.raises(AssertionError, match="0 messages arrived"):
        await receiver.ended(0.01)
    asyncio.get_running_loop().call_soon(receiver.closed, CarrierClosed(1000))
    assert (await receiver.ended()).code == 1000


def test_the_names_are_all_there():
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    assert set(testing.__all__) <= set(dir(testing))
    with pytest.raises(AttributeError, match="nothing"):
        _ = testing.nothing


def test_importing_the_kit_imports_nothing_heavy():
    code = "import sys, voxwire.testing; print([m for m in ('pytest', 'websockets') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_the_memory_pair_is_bounded():
    async def run():
        left, right = memory_pair(limit=3)
        receiver = RecordingReceiver()
        await left.open((await anext(_request())), receiver)
        for _ in range(3):
            left.send("x")
        with pytest.raises(Exception, match="3 messages"):
            left.send("x")
        assert (await receiver.ended()).code == 1006
        far = RecordingReceiver()
        await right.open((await anext(_request())), far)
        assert (await far.ended()).code == 1006
        assert far.messages == []

    async def _request():
        from voxwire.carriers.base import CarrierRequest

        yield CarrierRequest("memory:")

    asyncio.run(run())
