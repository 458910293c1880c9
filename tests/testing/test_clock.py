from __future__ import annotations

import asyncio
import socket
import time

import pytest

from voxwire.testing.clock import VirtualTimeLoop, run_virtual


def test_hours_pass_at_once():
    async def scenario() -> float:
        await asyncio.sleep(3 * 3600)
        return asyncio.get_running_loop().time()

    began = time.monotonic()
    assert run_virtual(scenario()) == pytest.approx(3 * 3600)
    assert time.monotonic() - began < 2


def test_timers_fire_in_order_and_on_time():
    seen: list[tuple[str, float]] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        for name, delay in (("c", 0.3), ("a", 0.1), ("b", 0.2)):
            loop.call_later(delay, lambda name=name: seen.append((name, loop.time())))
        await asyncio.sleep(0.25)
        assert [name for name, _ in seen] == ["a", "b"]
        await asyncio.sleep(0.1)

    run_virtual(scenario(), start=1000.0)
    assert [name for name, _ in seen] == ["a", "b", "c"]
    assert [when for _, when in seen] == pytest.approx([1000.1, 1000.2, 1000.3])


def test_work_takes_no_time():
    async def scenario() -> float:
        for _ in range(1000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == 0


def test_timeouts_work():
    async def scenario() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == pytest.approx(60)


def test_a_thread_is_waited_for_when_no_timer_is_pending():
    async def scenario() -> str:
        return await asyncio.to_thread(lambda: "done")

    assert run_virtual(scenario()) == "done"


def test_sockets_that_are_ready_are_served_first():
    async def scenario() -> bytes:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            await loop.sock_sendall(left, b"ping")
            async with asyncio.timeout(1):
                data = await loop.sock_recv(right, 10)
            # Fill the pipe until the loop has to watch for writing as well as for reading.
            sending = asyncio.create_task(loop.sock_sendall(left, bytes(4_000_000)))
            received = 0
            while received < 4_000_000:
                received += len(await loop.sock_recv(right, 1 << 20))
            await sending
            return data

    assert run_virtual(scenario()) == b"ping"


def test_a_stall_makes_timers_late():
    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        fired: list[float] = []
        loop.call_later(0.1, lambda: fired.append(loop.time()))
        loop.jump(5)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return fired

    assert run_virtual(scenario()) == [5]


def test_a_deadlock_is_an_error():
    async def scenario() -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError, match="nothing can happen any more"):
        run_virtual(scenario(), patience=0.01)


def test_reader_and_writer_callbacks_on_one_socket():
    async def scenario() -> int:
        loop = asyncio.get_running_loop()
        left, right = socket.socketpair()
        seen = asyncio.Event()
        with left, right:
            loop.add_reader(left, seen.set)
            loop.add_writer(left, lambda: loop.remove_writer(left))
            right.send(b"x")
            await seen.wait()
            loop.remove_reader(left)
            return len(left.recv(10))

    assert run_virtual(scenario()) == 1
