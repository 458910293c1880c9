"""The transports of `examples/own_transport`, where the guide's checks do not look."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from voxwire import (
    ConnectError,
    FunctionCallItem,
    MessageItem,
    NotConnectedError,
    RealtimeAgent,
    RealtimeSession,
    UserError,
    tool,
)
from voxwire.carriers.base import CarrierRequest
from voxwire.testing import RecordingReceiver

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_transport"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


StreamCarrier = load("stream_carrier").StreamCarrier
PipelineTransport = load("pipeline_transport").PipelineTransport


# -- the carrier ------------------------------------------------------------------------------


@asynccontextmanager
async def far_end(
    **limits: Any,
) -> AsyncGenerator[tuple[Any, RecordingReceiver, Any, RecordingReceiver], None]:
    """A carrier that is open, and the one that accepted it, with their receivers."""
    arrived: asyncio.Queue[Any] = asyncio.Queue()

    def arrive() -> Any:
        arrived.put_nowait(carrier := StreamCarrier())
        return carrier

    server = await asyncio.get_running_loop().create_server(arrive, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    near, here, there = StreamCarrier(), RecordingReceiver(), RecordingReceiver()
    await near.open(CarrierRequest(f"ws://127.0.0.1:{port}", close_timeout=1, **limits), here)
    far = await arrived.get()
    await far.open(CarrierRequest("accepted", close_timeout=1), there)
    yield near, here, far, there
    await near.close()
    await far.close()
    server.close()


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    async with far_end(max_message_bytes=100) as (_near, here, far, there):
        far.send("x" * 100)
        far.send("x" * 101)
        assert (await here.ended()).code == 1009
        assert [len(message) for message in here.messages] == [100]
        assert (await there.ended()).code == 1009


async def test_nobody_answers(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectError, match=str(unused_tcp_port)):
        await StreamCarrier().open(CarrierRequest(f"ws://127.0.0.1:{unused_tcp_port}"), RecordingReceiver())


async def test_a_carrier_is_used_once() -> None:
    async with far_end() as (near, here, _far, _there):
        with pytest.raises(UserError, match="once"):
            await near.open(CarrierRequest("again"), here)


async def test_what_came_before_the_accepting_side_looked_is_not_lost() -> None:
    async with far_end() as (near, _here, _far, there):
        near.send("early")
        await there.until(lambda: there.messages == ["early"])


# -- the transport ----------------------------------------------------------------------------


class Model:
    """Answers as it is told; a future is waited for."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.seen: list[Sequence[Any]] = []

    async def __call__(self, history: Sequence[Any], config: Mapping[str, Any]) -> Any:
        self.seen.append(history)
        answer = self.answers.pop(0)
        if isinstance(answer, asyncio.Future):
            return await answer
        if isinstance(answer, Exception):
            raise answer
        return answer


@tool
async def double(number: int) -> str:
    """Double a number."""
    return str(2 * number)


async def test_the_model_goes_on_when_all_calls_are_answered() -> None:
    model = Model([("double", '{"number": 1}'), ("double", '{"number": 2}')], "2 and 4")
    session = RealtimeSession(RealtimeAgent("Ava", tools=[double]), transport=PipelineTransport(model))
    async with session:
        replies = session.events("agent_end")
        await session.send_message("Double one and two.")
        assert [(await anext(replies)).text for _ in range(2)] == ["", "2 and 4"]
        assert [item.output for item in model.seen[1] if isinstance(item, FunctionCallItem)] == ["2", "4"]
        assert not model.answers


async def test_a_handoff_changes_the_instructions() -> None:
    leo = RealtimeAgent("Leo", instructions="You are Leo.")
    ava = RealtimeAgent("Ava", instructions="You are Ava.", handoffs=[leo])
    model = Model([("transfer_to_Leo", "{}")], "Leo here")
    transport = PipelineTransport(model)
    told: list[str] = []
    transport.on("session_updated", lambda event: told.append(event.session["instructions"]))
    async with RealtimeSession(ava, transport=transport) as session:
        replies = session.events("agent_end")
        await session.send_message("Leo, please.")
        assert [(await anext(replies)).agent.name for _ in range(2)] == ["Ava", "Leo"]
    assert ["Ava" in words for words in told] == [True, False]


async def test_an_interrupted_reply_is_told_as_cancelled() -> None:
    never = asyncio.get_running_loop().create_future()
    transport = PipelineTransport(Model(never, "Yes?"))
    await transport.connect()
    turns = transport.events("turn_started", "turn_done")
    await transport.send_message("Tell me a story.")
    await anext(turns)
    await transport.interrupt()
    assert (await anext(turns)).status == "cancelled"
    await transport.send_message("Stop.")
    await anext(turns)
    assert (await anext(turns)).status == "completed"
    await transport.close()
    assert [item.text for item in transport.history if isinstance(item, MessageItem)] == [
        "Tell me a story.",
        "Stop.",
        "Yes?",
    ]


async def test_wishes_for_a_reply_while_one_is_under_way_become_one() -> None:
    first = asyncio.get_running_loop().create_future()
    transport = PipelineTransport(Model(first, "Both."))
    await transport.connect()
    done = transport.events("turn_done")
    for words in ("One", "Two", "Three"):
        await transport.send_message(words)
        await asyncio.sleep(0)
    first.set_result("Yes")
    assert [(await anext(done)).status for _ in range(2)] == ["completed", "completed"]
    await transport.close()
    assert [event async for event in done] == []


async def test_a_model_that_fails_ends_one_reply_only() -> None:
    transport = PipelineTransport(Model(ValueError("no"), "Now"))
    await transport.connect()
    events = transport.events("error", "turn_done")
    await transport.send_message("Hello")
    assert isinstance((await anext(events)).error, ValueError)
    assert (await anext(events)).status == "failed"
    await transport.send_message("Again")
    assert (await anext(events)).status == "completed"
    await transport.close()


async def test_a_history_is_begun_with() -> None:
    model = Model("As you said.")
    async with RealtimeSession(RealtimeAgent("Ava"), transport=PipelineTransport(model)) as session:
        replies = session.events("agent_end")
        await session.send_message("I like tea.", trigger_response=False)
        await session.update_history(lambda items: items[:1])
        await session.transport.request_response()
        await anext(replies)
    assert [item.text for item in model.seen[0]] == ["I like tea."]


async def test_guardrails_can_cancel_a_reply() -> None:
    never = asyncio.get_running_loop().create_future()
    transport = PipelineTransport(Model(never))
    await transport.connect()
    turns = transport.events("turn_started", "turn_done")
    await transport.send_message("Hello")
    started = await anext(turns)
    await transport.send_event({"type": "response.cancel", "response_id": "another"})
    await transport.send_event({"type": "response.cancel", "response_id": started.response_id})
    assert (await anext(turns)).status == "cancelled"
    await transport.close()


async def test_what_it_cannot_do() -> None:
    transport = PipelineTransport(Model())
    with pytest.raises(NotConnectedError):
        await transport.send_message("Hello")
    await transport.connect()
    for wish in (
        transport.send_event({"type": "session.update"}),
        transport.send_audio(b""),
        transport.mute(True),
        transport.send_mcp_response(None, True),
        transport.request_response({"instructions": "Shout."}),
    ):
        with pytest.raises(UserError, match="PipelineTransport"):
            await wish
    await transport.close()
