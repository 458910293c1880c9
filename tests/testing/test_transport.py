from __future__ import annotations

import asyncio
import contextlib

import pytest

from voxwire.errors import ConnectionLost, UserError
from voxwire.protocol.items import InputText, McpApprovalRequestItem, MessageItem
from voxwire.protocol.transport_events import (
    ConnectionChange,
    ErrorEvent,
    FunctionCall,
    McpApprovalRequest,
    TextDelta,
)
from voxwire.testing import (
    ConnectionSupersededError,
    IncompleteScenarioError,
    ScriptedRealtimeTransport,
    TransportNotClosedError,
    UnexpectedCallError,
    check_transport,
)
from voxwire.testing.transport_checks import TRANSPORT_CHECKS, refuses_a_second_connect


@pytest.fixture
def transport():
    return ScriptedRealtimeTransport()


@contextlib.asynccontextmanager
async def scripted():
    yield ScriptedRealtimeTransport(), {"api_key": "test"}


@pytest.mark.parametrize("check", TRANSPORT_CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check):
    await check(scripted)


async def test_check_transport_runs_them_all():
    await check_transport(scripted)


async def test_a_check_finds_a_broken_promise():
    class Careless(ScriptedRealtimeTransport):
        async def connect(self, **arguments):
            if self.status == "disconnected":
                await super().connect(**arguments)

    @contextlib.asynccontextmanager
    async def careless():
        yield Careless(), {}

    with pytest.raises(AssertionError, match="second connect"):
        await refuses_a_second_connect(careless)


async def test_every_call_is_recorded_and_no_key_is_kept(transport):
    call = FunctionCall("call_1", "tool", "{}", "item_1")
    request = McpApprovalRequest(McpApprovalRequestItem("item_2", "label", "name"))
    old = [MessageItem("item_0", "user", (InputText("Hi"),))]
    await transport.connect(
        api_key="sk-secret", model="m", url="u", call_id="c", initial_session_config={"a": 1}
    )
    await transport.send_event({"type": "x"})
    await transport.request_response({"a": 1})
    await transport.send_message("Hello", {"b": 2}, trigger_response=False)
    await transport.add_image("data:", detail="low")
    await transport.send_audio(b"pcm", commit=True)
    await transport.update_session_config({"c": 3})
    await transport.mute(True)
    await transport.interrupt()
    await transport.send_function_call_output(call, "out", start_response=False)
    await transport.reset_history(old, [])
    await transport.send_mcp_response(request, True, "why")
    await transport.close()
    assert [(c.method, dict(c.arguments)) for c in transport.calls] == [
        (
            "connect",
            {
                "api_key_provided": True,
                "model": "m",
                "url": "u",
                "call_id": "c",
                "initial_session_config": {"a": 1},
            },
        ),
        ("send_event", {"event": {"type": "x"}}),
        ("request_response", {"response": {"a": 1}}),
        ("send_message", {"message": "Hello", "other_event_data": {"b": 2}, "trigger_response": False}),
        ("add_image", {"image": "data:", "detail": "low", "trigger_response": True}),
        ("send_audio", {"pcm": b"pcm", "commit": True}),
        ("update_session_config", {"config": {"c": 3}}),
        ("mute", {"muted": True}),
        ("interrupt", {}),
        ("send_function_call_output", {"call": call, "output": "out", "start_response": False}),
        ("reset_history", {"old": tuple(old), "new": ()}),
        ("send_mcp_response", {"request": request, "approved": True, "reason": "why"}),
        ("close", {}),
    ]
    assert transport.muted is True


async def test_history_is_what_the_test_says(transport):
    assert transport.history == ()
    item = MessageItem("item_0", "user")
    transport.items.append(item)
    assert transport.history == (item,)


async def test_a_transport_that_cannot_mute_says_so():
    transport = ScriptedRealtimeTransport(can_mute=False)
    assert transport.muted is None
    with pytest.raises(UserError, match="cannot mute"):
        await transport.mute(True)


async def test_emit_reaches_typed_and_raw_listeners(transport):
    heard = []
    transport.on("output_text_delta", heard.append)
    transport.on("*", heard.append)
    delta, raw = TextDelta("Hi", "item", "resp"), {"type": "response.done"}
    transport.emit(delta)
    transport.emit(raw)
    assert heard == [delta, raw]
    assert heard[1] is not raw


async def test_disconnect_tells_change_then_error(transport):
    heard = []
    await transport.disconnect()
    await transport.connect()
    transport.on("connection_change", heard.append)
    transport.on("error", heard.append)
    lost = ConnectionLost("gone", code=4000)
    await transport.disconnect(lost)
    assert heard == [ConnectionChange("disconnected", code=4000, error=lost), ErrorEvent(lost)]
    transport.assert_closed()


@pytest.mark.parametrize("how", ["close", "disconnect"])
async def test_a_connect_can_be_overtaken(transport, how):
    transport.connecting.clear()
    attempt = asyncio.ensure_future(transport.connect())
    await transport.expect_call("connect")
    await getattr(transport, how)()
    with pytest.raises(ConnectionSupersededError):
        await attempt
    assert transport.status == "disconnected"


async def test_a_failed_connect_leaves_it_disconnected(transport):
    transport.fail_next_call("connect", ConnectionLost("no"))
    with pytest.raises(ConnectionLost):
        await transport.connect()
    assert transport.status == "disconnected"
    await transport.connect()
    assert transport.status == "connected"
    with pytest.raises(TransportNotClosedError, match="connected"):
        transport.assert_closed()


async def test_a_failed_close_leaves_it_connected(transport):
    await transport.connect()
    transport.fail_next_call("close", RuntimeError("no"))
    with pytest.raises(RuntimeError):
        await transport.close()
    assert transport.status == "connected"
    await transport.close()


async def test_a_failed_close_while_connecting_leaves_it_disconnected(transport):
    transport.connecting.clear()
    attempt = asyncio.ensure_future(transport.connect())
    await transport.expect_call("connect")
    transport.fail_next_call("close", RuntimeError("no"))
    with pytest.raises(RuntimeError):
        await transport.close()
    with pytest.raises(ConnectionSupersededError):
        await attempt
    assert transport.status == "disconnected"


async def test_a_scenario_and_an_exercise_meet(transport):
    heard = []
    transport.on("output_text_delta", heard.append)

    async def scenario():
        await transport.expect_call("connect")
        await transport.expect_call("send_message", lambda call: call["message"] == "Hello")
        transport.emit(TextDelta("Hi", "item", "resp"))

    async def exercise():
        await transport.connect()
        await transport.send_message("Hello")
        return "result"

    assert await transport.run_scenario(scenario, exercise) == "result"
    assert len(heard) == 1


async def test_a_scenario_may_go_on_after_the_exercise(transport):
    done = []

    async def scenario():
        await transport.expect_call("interrupt")
        await asyncio.sleep(0.01)
        done.append(True)

    assert await transport.run_scenario(scenario, transport.interrupt) is None
    assert done


async def test_a_scenario_may_end_before_the_exercise(transport):
    async def scenario():
        return None

    async def exercise():
        await asyncio.sleep(0.01)
        return 5

    assert await transport.run_scenario(scenario, exercise) == 5


async def test_a_call_that_never_comes_is_an_incomplete_scenario(transport):
    async def scenario():
        await transport.expect_call("interrupt")
        await asyncio.sleep(0.01)
        await transport.expect_call("close")

    with pytest.raises(IncompleteScenarioError) as caught:
        await transport.run_scenario(scenario, transport.interrupt)
    assert caught.value.pending_expectations == ((1, "close"),)


async def test_a_call_nobody_expected_is_an_incomplete_scenario(transport):
    async def scenario(): ...

    with pytest.raises(IncompleteScenarioError) as caught:
        await transport.run_scenario(scenario, transport.interrupt)
    assert caught.value.unconsumed_calls[0].method == "interrupt"


async def test_the_first_failure_ends_both(transport):
    ended = []

    async def scenario():
        await transport.expect_call("close")

    async def exercise():
        await asyncio.sleep(0)
        try:
            await transport.interrupt()
        finally:
            ended.append(True)

    with pytest.raises(UnexpectedCallError):
        await transport.run_scenario(scenario, exercise)

    async def failing():
        raise ValueError("scenario")

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(ValueError, match="scenario"):
        await transport.run_scenario(failing, endless)
    assert ended[0] is True


async def test_cancelling_a_scenario_cancels_both(transport):
    ended = []

    async def endless():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    running = asyncio.ensure_future(transport.run_scenario(endless, endless))
    for _ in range(3):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == [True, True]
