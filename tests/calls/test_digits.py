"""Digits keyed in on the phone; hours pass in milliseconds."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.calls import Digits, collect_digits
from voxwire.calls.digits import DigitCollector
from voxwire.errors import UserError
from voxwire.protocol.transport_events import DtmfReceived
from voxwire.testing import ScriptedRealtimeTransport, run_virtual


def keyed(presses: str, *, gap: float = 1.0, **options: Any) -> tuple[Digits, float]:
    """Press these keys, `gap` seconds between them; the result, and how long it took."""

    async def run() -> tuple[Digits, float]:
        clock = asyncio.get_running_loop().time
        began = clock()
        transport = ScriptedRealtimeTransport()

        async def press() -> None:
            for key in presses:
                await asyncio.sleep(gap)
                if key == "!":
                    transport.listeners.end_streams()
                else:
                    transport.emit(DtmfReceived(key))

        pressing = asyncio.create_task(press())
        try:
            return await collect_digits(transport, **{"count": 4, **options}), clock() - began
        finally:
            pressing.cancel()

    return run_virtual(run())


@pytest.mark.parametrize(
    ("presses", "options", "digits", "ended", "seconds"),
    [
        ("12345", {}, "1234", "count", 4),
        ("12#45", {}, "12", "terminator", 3),
        ("12*45", {"terminator": "*#"}, "12", "terminator", 3),
        ("1#2#3", {"terminator": ""}, "1#2#", "count", 4),
        ("#", {}, "", "terminator", 1),
        ("", {}, "", "timeout", 10),
        ("", {"timeout": 3}, "", "timeout", 3),
        ("12", {}, "12", "timeout", 6),
        ("12", {"digit_timeout": 0.5, "timeout": 5}, "1", "timeout", 1.5),
        ("12!", {}, "12", "closed", 3),
        ("a?b1", {"count": 3}, "AB1", "count", 4),
    ],
)
def test_keys(presses: str, options: dict[str, Any], digits: str, ended: Any, seconds: float) -> None:
    result, took = keyed(presses, **options)
    assert result == Digits(digits, ended)
    assert str(result) == digits
    assert took == pytest.approx(seconds, abs=0.01)


def test_slow_keys_have_their_own_time() -> None:
    assert keyed("1234", gap=3.9)[0] == Digits("1234", "count")
    assert keyed("1234", gap=4.1)[0] == Digits("1", "timeout")


def test_keys_pressed_before_do_not_count() -> None:
    async def run() -> Digits:
        transport = ScriptedRealtimeTransport()
        transport.emit(DtmfReceived("9"))
        collecting = asyncio.create_task(collect_digits(transport, 1))
        await asyncio.sleep(0)
        transport.emit(DtmfReceived("1"))
        return await collecting

    assert run_virtual(run()) == Digits("1", "count")


def test_cancelling_leaves_no_listener() -> None:
    async def run() -> None:
        transport = ScriptedRealtimeTransport()
        collecting = asyncio.create_task(collect_digits(transport, 1))
        await asyncio.sleep(0)
        assert transport.listeners.has("dtmf")
        collecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await collecting
        assert not transport.listeners.has("dtmf")

    run_virtual(run())


@pytest.mark.parametrize(
    "options",
    [
        {"count": 0}, {"count": 1001}, {"count": 2.0}, {"count": True}, {"terminator": "x"},
        {"timeout": 0}, {"digit_timeout": -1},
    ],
)  # fmt: skip
def test_values_that_cannot_be_used(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(options))):
        keyed("", **options)


@given(
    st.integers(1, 8),
    st.sets(st.sampled_from("*#"), max_size=2),
    st.lists(st.tuples(st.sampled_from("0123456789*#ABCDx"), st.floats(0, 8))),
)
def test_whatever_is_pressed(count: int, terminator: set[str], presses: list[tuple[str, float]]) -> None:
    end = "".join(terminator)
    collector = DigitCollector(count, terminator=end, timeout=5, digit_timeout=4, now=0.0)
    now = 0.0
    for key, gap in presses:
        now += gap
        if collector.result is None and now > collector.deadline:
            collector.end("timeout")
        before = collector.result
        collector.press(key, now)
        if before is not None:
            assert collector.result is before
    result = collector.result
    if result is not None:
        assert len(result.digits) <= count
        assert not set(result.digits) & terminator
        assert (result.ended == "count") == (len(result.digits) == count)


def test_with_a_session() -> None:
    from voxwire import RealtimeAgent, RealtimeSession

    async def run() -> Digits:
        transport = ScriptedRealtimeTransport()
        async with RealtimeSession(RealtimeAgent("A"), transport=transport) as session:
            collecting = asyncio.create_task(collect_digits(session, 4))
            await asyncio.sleep(0)
            transport.emit(DtmfReceived("7"))
            await asyncio.sleep(0)
            await transport.disconnect()
            return await collecting

    assert run_virtual(run()) == Digits("7", "closed")
