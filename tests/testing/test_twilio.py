"""The simulated phone itself, in virtual time and on sockets: what is promised of Twilio is kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from voxwire.protocol.formats import PCMU
from voxwire.testing import StreamPlayout, TwilioCaller, run_virtual


def test_audio_is_played_in_real_time_and_marks_come_when_it_was() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        marks: list[tuple[str, float]] = []
        playout = StreamPlayout(lambda name: marks.append((name, round(loop.time(), 6))))
        playout.mark("nothing before")
        for number in range(10):
            playout.media(bytes([number]) * 160)
            playout.mark(str(number))
        assert playout.waiting_ms == 200
        await asyncio.sleep(0.05)
        assert playout.heard_ms == pytest.approx(50)
        assert playout.waiting_ms == pytest.approx(150)
        await asyncio.sleep(0.5)
        assert marks == [("nothing before", 0.0), *((str(n), round(0.02 * (n + 1), 6)) for n in range(10))]
        assert bytes(playout.heard) == b"".join(bytes([n]) * 160 for n in range(10))
        playout.media(bytes(160))
        await asyncio.sleep(0.05)
        assert playout.heard_ms == 220, "after a pause it goes on"

    run_virtual(scenario())


def test_clear_drops_what_waits_and_returns_its_marks() -> None:
    async def scenario() -> None:
        marks: list[str] = []
        playout = StreamPlayout(marks.append, PCMU)
        for number in range(10):
            playout.media(bytes(160))
            playout.mark(str(number))
        await asyncio.sleep(0.05)
        playout.clear()
        assert marks == [str(number) for number in range(10)]
        assert (playout.heard_ms, playout.cleared) == (pytest.approx(50), 1200)
        await asyncio.sleep(1)
        assert playout.heard_ms == pytest.approx(50)
        playout.clear()
        playout.mark("at once")
        assert marks[-1] == "at once"
        playout.media(bytes(160))
        await asyncio.sleep(1)
        assert playout.heard_ms == pytest.approx(70)
        playout.close()

    run_virtual(scenario())


class Endpoint:
    """A media stream endpoint that writes down what it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.told: list[dict[str, Any]] = []
        self.sockets: list[ServerConnection] = []
        self.gone = asyncio.Event()

    async def handle(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        with contextlib.suppress(Exception):
            async for text in socket:
                self.told.append(json.loads(text))
        self.gone.set()


@pytest.fixture
async def endpoint() -> AsyncGenerator[Endpoint, None]:
    made = Endpoint()
    async with serve(made.handle, "127.0.0.1", 0, compression=None, close_timeout=1) as server:
        made.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"
        yield made


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_call_that_cannot_begin_leaves_no_socket(endpoint: Endpoint) -> None:
    caller = TwilioCaller(endpoint.url, parameters={"customer": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="JSON"):
        await caller.__aenter__()
    async with asyncio.timeout(5):
        await endpoint.gone.wait()
        await caller.wait_closed()
    await caller.drop()
    await caller.hang_up()  # there is nothing to hang up


async def test_hanging_up_that_is_cancelled_leaves_no_socket(endpoint: Endpoint) -> None:
    caller = TwilioCaller(endpoint.url)
    await caller.__aenter__()
    await until(lambda: any(message["event"] == "media" for message in endpoint.told))
    before = [task for task in asyncio.all_tasks() if "TwilioCaller" in repr(task)]
    assert before
    hanging_up = asyncio.create_task(caller.hang_up())
    await asyncio.sleep(0)
    hanging_up.cancel()
    await asyncio.wait([hanging_up])
    async with asyncio.timeout(5):
        await endpoint.gone.wait()
    assert all(task.done() for task in before)


async def test_messages_that_cannot_be_read_end_nothing(endpoint: Endpoint) -> None:
    async with TwilioCaller(endpoint.url) as caller:
        await until(lambda: endpoint.told)
        (socket,) = endpoint.sockets
        named = {"streamSid": caller.stream_sid}
        wrong = [
            "no JSON",
            "[]",
            json.dumps({"event": "media", **named}),
            json.dumps({"event": "media", "media": {"payload": "=?="}, **named}),
            json.dumps({"event": "mark", "mark": None, **named}),
        ]
        stranger = {"event": "clear", "streamSid": "MZ0"}
        for text in (*wrong, json.dumps(stranger), json.dumps({"event": "clear", **named})):
            await socket.send(text)
        await caller.until(lambda: caller.clears == 1, 5)
        assert caller.unknown == [*wrong, stranger]
        assert caller.marks == 0


async def test_an_endpoint_that_vanishes_ends_the_call(endpoint: Endpoint) -> None:
    async with TwilioCaller(endpoint.url) as caller:
        await until(lambda: endpoint.told)
        endpoint.sockets[0].transport.abort()
        async with asyncio.timeout(5):
            await caller.wait_closed()
