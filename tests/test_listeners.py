from __future__ import annotations

import asyncio
import functools
import gc

import pytest

from voxwire import listeners as module
from voxwire.listeners import HIGH_WATER, LOW_WATER, Listeners


class Flow:
    def __init__(self):
        self.holding = set()
        self.log = []

    def hold(self, who, /):
        assert who not in self.holding
        self.holding.add(who)
        self.log.append("hold")

    def release(self, who, /):
        self.holding.remove(who)
        self.log.append("release")


@pytest.fixture
def errors():
    return []


@pytest.fixture
def table(errors):
    return Listeners(on_error=errors.append)


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def test_plain_functions_run_at_once_in_order(table):
    heard = []
    assert table.on("a", heard.append) == heard.append
    table.on("a", lambda event: heard.append(-event))
    table.on("b", heard.append)
    table.emit("a", 1)
    assert heard == [1, -1]


def test_on_decorates(table):
    @functools.partial(table.on, "a")
    def heard(event):
        seen.append(event)

    seen = []
    table.emit("a", 1)
    assert seen == [1]


def test_one_that_raises_does_not_stop_the_others(table, errors):
    heard = []
    table.on("a", lambda _: 1 / 0)
    table.on("a", heard.append)
    table.emit("a", 1)
    assert heard == [1]
    assert isinstance(errors[0], ZeroDivisionError)


def test_errors_are_logged_by_default(caplog):
    table = Listeners()
    table.on("a", lambda _: 1 / 0)
    table.emit("a", 1)
    assert "ZeroDivisionError" in caplog.text


def test_once_is_removed_before_it_runs(table):
    heard = []

    def again(event):
        heard.append(event)
        table.emit("a", event + 1)

    table.once("a", again)
    table.emit("a", 1)
    table.emit("a", 3)
    assert heard == [1]
    assert not table.has("a")


def test_once_removes_itself_and_not_a_later_on_of_the_same_function(table):
    heard = []
    table.once("a", heard.append)
    table.on("a", heard.append)
    table.emit("a", 1)
    table.emit("a", 2)
    table.emit("a", 3)
    assert heard == [1, 1, 2, 3]


def test_once_runs_once_when_an_earlier_listener_emits_the_event_again(table):
    heard = []

    def echo(event):
        if event == 1:
            table.emit("a", 2)

    table.on("a", echo)
    table.once("a", heard.append)
    table.emit("a", 1)
    assert heard == [2]


def test_off_removes_the_one_registered_last(table):
    heard = []
    table.on("a", heard.append)
    table.on("a", lambda event: heard.append(-event))
    table.on("a", heard.append)
    table.off("a", heard.append)
    table.off("a", print)
    table.off("nothing", print)
    table.emit("a", 1)
    assert heard == [1, -1]
    table.off("a", heard.append)
    table.emit("a", 2)
    assert heard == [1, -1, -2]


def test_a_listener_removed_during_an_emit_is_not_called(table):
    heard = []
    table.on("a", lambda _: table.off("a", heard.append))
    table.on("a", heard.append)
    table.emit("a", 1)
    assert heard == []


def test_a_listener_added_during_an_emit_waits_for_the_next(table):
    heard = []
    table.once("a", lambda _: table.on("a", heard.append))
    table.emit("a", 1)
    assert heard == []
    table.emit("a", 2)
    assert heard == [2]


async def test_a_coroutine_function_sees_all_events_in_order(table, errors):
    heard = []

    async def slow(event):
        await asyncio.sleep(0)
        heard.append(event)

    table.on("a", slow)
    for n in range(5):
        table.emit("a", n)
    assert heard == []
    await settle()
    await settle()
    assert heard == [0, 1, 2, 3, 4]
    table.emit("a", 5)
    await settle()
    assert heard[-1] == 5
    assert errors == []


async def test_objects_and_partials_of_coroutine_functions_are_awaited(table):
    heard = []

    class Callable:
        async def __call__(self, event):
            heard.append(("object", event))

    async def two(name, event):
        heard.append((name, event))

    table.on("a", Callable())
    table.on("a", functools.partial(two, "partial"))
    table.on("a", lambda event: two("lambda", event))
    table.emit("a", 1)
    await settle()
    assert sorted(heard) == [("lambda", 1), ("object", 1), ("partial", 1)]


async def test_what_coroutines_raise_is_reported(table, errors):
    heard = []

    async def bad(event):
        heard.append(event)
        raise ValueError(event)

    table.on("a", bad)
    table.on("a", lambda event: bad(event))  # noqa: PLW0108
    table.emit("a", 1)
    table.emit("a", 2)
    await settle()
    assert sorted(heard) == [1, 1, 2, 2]
    assert sorted(str(error) for error in errors) == ["1", "1", "2", "2"]


async def test_awaiting_something_cancelled_does_not_end_the_listener(table, errors):
    heard = []

    async def unlucky(event):
        heard.append(event)
        task = asyncio.ensure_future(asyncio.sleep(10))
        task.cancel()
        await task

    table.on("a", unlucky)
    table.emit("a", 1)
    table.emit("a", 2)
    await settle()
    await settle()
    assert heard == [1, 2]
    assert len(errors) == 2


async def test_a_cancelled_listener_starts_again_with_the_next_event(table):
    heard = []
    never = asyncio.Event()

    async def stuck(event):
        heard.append(event)
        await never.wait()

    table.on("a", stuck)
    table.emit("a", 1)
    await settle()
    next(task for task in asyncio.all_tasks() if "_work" in repr(task)).cancel()
    await settle()
    table.emit("a", 2)
    await settle()
    assert heard == [1, 2]
    next(task for task in asyncio.all_tasks() if "_work" in repr(task)).cancel()
    await settle()


def test_a_coroutine_function_without_a_loop_is_an_error(table, errors):
    async def heard(event): ...

    table.on("a", heard)
    table.emit("a", 1)
    assert isinstance(errors[0], RuntimeError)


async def test_off_drops_what_waits_in_the_mailbox():
    flow = Flow()
    table = Listeners(flow=flow)
    heard = []
    gate = asyncio.Event()

    async def slow(event):
        heard.append(event)
        await gate.wait()

    table.on("a", slow)
    for n in range(HIGH_WATER + 2):
        table.emit("a", n)
    await settle()
    assert flow.log == ["hold"]
    table.off("a", slow)
    assert flow.log == ["hold", "release"]
    gate.set()
    await settle()
    table.emit("a", -1)
    await settle()
    assert heard == [0]


async def test_a_slow_listener_holds_the_flow_until_it_has_caught_up():
    flow = Flow()
    table = Listeners(flow=flow)
    heard = []
    room = asyncio.Semaphore(0)

    async def slow(event):
        await room.acquire()
        heard.append(event)

    table.on("a", slow)
    for n in range(HIGH_WATER - 1):
        table.emit("a", n)
    assert flow.log == []
    table.emit("a", -1)
    assert flow.log == ["hold"]
    for _ in range(HIGH_WATER - LOW_WATER - 2):
        room.release()
    for _ in range(20):
        await settle()
    assert flow.log == ["hold"]
    for _ in range(LOW_WATER + 2):
        room.release()
    for _ in range(20):
        await settle()
    assert flow.log == ["hold", "release"]
    assert len(heard) == HIGH_WATER


async def test_without_a_flow_a_mailbox_drops_the_oldest(monkeypatch, caplog):
    monkeypatch.setattr(module, "HIGH_WATER", 5)
    monkeypatch.setattr(module, "LIMIT", 10)
    table = Listeners()
    stream = table.stream("a")
    for n in range(15):
        table.emit("a", n)
    table.end_streams()
    assert [event async for event in stream] == list(range(5, 15))
    assert caplog.text.count("dropped") == 1


async def test_a_stream_ends_with_its_owner(table):
    stream = table.stream("a", "b")
    assert stream.__aiter__() is stream
    table.emit("a", 1)
    table.emit("c", 2)
    table.emit("b", 3)
    table.end_streams()
    table.emit("a", 4)
    assert [event async for event in stream] == [1, 3]


async def test_a_stream_without_names_leaves_the_wire_out(table):
    stream = table.stream()
    for name in ("audio", "*", "sent", "response.done", "error"):
        table.emit(name, name)
    assert table.has("audio")
    assert not table.has("response.done")
    table.end_streams()
    assert [event async for event in stream] == ["audio", "error"]
    assert not table.has("audio")


async def test_a_waiting_stream_is_woken(table):
    stream = table.stream("a")
    waiting = asyncio.ensure_future(anext(stream))
    await settle()
    table.emit("a", 1)
    assert await waiting == 1
    waiting = asyncio.ensure_future(anext(stream, "end"))
    await settle()
    stream.close()
    assert await waiting == "end"
    stream.close()


def test_a_stream_can_be_read_in_one_loop_after_another(table):
    stream = table.stream("a")

    async def waited_for(event):
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        table.emit("a", event)
        return await reading

    assert asyncio.run(waited_for(1)) == 1
    assert asyncio.run(waited_for(2)) == 2


async def test_a_cancelled_wait_loses_nothing(table):
    stream = table.stream("a")
    waiting = asyncio.ensure_future(anext(stream))
    await settle()
    waiting.cancel()
    await asyncio.wait([waiting])
    table.emit("a", 1)
    assert await anext(stream) == 1


async def test_two_tasks_cannot_wait_on_one_stream(table):
    stream = table.stream("a")
    waiting = asyncio.ensure_future(anext(stream))
    await settle()
    with pytest.raises(RuntimeError, match="one of its own"):
        await anext(stream)
    table.emit("a", 1)
    assert await waiting == 1


async def test_a_stream_nobody_holds_lets_the_flow_go():
    flow = Flow()
    table = Listeners(flow=flow)
    table.emit("a", 0)

    async def read_one():
        async for event in table.stream("a"):
            return event
        return None

    reading = asyncio.ensure_future(read_one())
    await settle()
    for n in range(HIGH_WATER):
        table.emit("a", n)
    assert flow.holding
    assert await reading == 0
    del reading
    gc.collect()
    assert not flow.holding
    assert not table.has("a")


async def test_a_closed_stream_can_be_read_to_its_end(table):
    stream = table.stream("a")
    table.emit("a", 1)
    stream.close()
    table.emit("a", 2)
    assert [event async for event in stream] == [1]


def test_named_is_what_is_asked_for_by_name(table):
    def heard(_event):
        return None

    def asked():
        return {name for name in ("a", "b", "c") if name in table.named}

    everything = table.stream()
    assert asked() == set()
    table.on("a", heard)
    assert asked() == {"a"}
    stream = table.stream("b", "c")
    table.once("b", heard)
    assert asked() == {"a", "b", "c"}
    table.emit("b", 1)
    assert asked() == {"a", "b", "c"}
    stream.close()
    assert asked() == {"a"}
    table.off("a", heard)
    assert asked() == set()
    table.on("c", heard)
    del everything
    gc.collect()
    assert asked() == {"c"}
    again = table.stream("a")
    table.end_streams()
    assert asked() == {"c"}
    del again
