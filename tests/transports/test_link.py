from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire.carriers.base import CarrierClosed, CarrierRequest
from voxwire.carriers.memory import MemoryCarrier, memory_pair
from voxwire.transports.link import Link


class Log:
    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.ends: list[CarrierClosed] = []

    def message(self, link: Link, data: str | bytes) -> None:
        self.messages.append(data)

    def closed(self, link: Link, how: CarrierClosed) -> None:
        self.ends.append(how)


async def linked() -> tuple[Link, Log, MemoryCarrier]:
    near, far = memory_pair()
    log = Log()
    link = Link(near, log.message, log.closed)
    await near.open(CarrierRequest("memory:"), link)
    await far.open(CarrierRequest("memory:"), Link(far, lambda *_: None, lambda *_: None))
    return link, log, far


async def ticks(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_passes_once_it_is_cut() -> None:
    link, log, far = await linked()
    far.send("one")
    await ticks()
    link.cut()
    far.send("two")
    await far.close(1001, "bye")
    await ticks()
    assert log.messages == ["one"]
    assert log.ends == []
    assert link.how == CarrierClosed(1001, "bye")
    assert link.ready.cancelled()


async def test_who_lags_behind_stops_reading_until_the_last_has_caught_up() -> None:
    link, log, far = await linked()
    one, two = object(), object()
    link.hold(one)
    link.hold(two)
    link.hold(two)
    far.send("late")
    await ticks()
    link.release(one)
    link.release(one)
    link.release(object())
    await ticks()
    assert log.messages == []
    link.release(two)
    await ticks()
    assert log.messages == ["late"]


async def test_holding_after_the_end_is_nothing() -> None:
    link, _, _ = await linked()
    link.cut()
    link.hold(link)
    link.release(link)


async def test_tasks_end_with_the_connection() -> None:
    link, _, _ = await linked()
    began, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    link.start(work())
    await began.wait()
    link.cut()
    await link.finish()
    assert ended.is_set()
    link.start(work())  # too late: never runs
    await link.finish()
    assert not link._tasks


async def test_finish_may_be_called_from_inside() -> None:
    link, _, _ = await linked()
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await link.finish()
        done.set_result("not stuck")

    link.start(work())
    assert await asyncio.wait_for(done, 5) == "not stuck"


async def test_later_calls_once_and_not_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    link, _, _ = await linked()
    calls: list[Any] = []
    fired = asyncio.Event()
    link.later("a", 0.0, lambda: (calls.append(1), fired.set()))
    link.later("a", 0.0, lambda: calls.append(2))
    await fired.wait()
    link.later("b", 0.0, lambda: calls.append(3))
    link.cut()
    link.later("c", 0.0, lambda: calls.append(4))
    await ticks()
    assert calls == [1]
