"""Tool calls and handoffs. Numbers are those of the JavaScript SDK's behaviours."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from voxwire import (
    AudioInterrupted,
    ConnectionLost,
    ModelBehaviorError,
    RealtimeAgent,
    RunContext,
    SessionUpdated,
    UserSpeechStarted,
    handoff,
    tool,
)
from voxwire.session import dispatch
from voxwire.session.dispatch import INTERRUPTED, SECOND_HANDOFF, TOO_MANY


class Gate:
    """A tool that waits until it is let go."""

    def __init__(self, name: str = "wait", **settings: Any) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.left: list[str] = []
        self.tool = tool(name=name, **settings)(self.run)

    async def run(self, word: str = "done") -> str:
        self.entered.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.left.append("cancelled")
            raise
        self.left.append("returned")
        return word


@tool
async def echo(context: RunContext[Any], word: str = "") -> str:
    return f"{context.agent.name}:{context.call.call_id if context.call else None}:{word}"


async def test_a_tool_is_called_and_answered(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=[echo]), listen=("agent_tool_start", "agent_tool_end"))
    stage.start()
    call = stage.call("echo", '{"word": "hi"}')
    assert await stage.answered(call) == {"c1": "A:c1:hi"}
    await stage.settled()
    start, end = stage.seen
    assert stage.names() == ["agent_tool_start", "agent_tool_end"]
    assert (start.agent, start.tool, start.call.call_id) == (stage.session.current_agent, echo, "c1")
    assert (end.result, end.error) == ("A:c1:hi", None)
    assert end.context.call.call_id == "c1"
    assert stage.sent()[0]["start_response"] is True


async def test_calls_of_one_response_run_at_once(stage: Any) -> None:
    one, two = Gate("one"), Gate("two")
    await stage.connect(RealtimeAgent("A", tools=[one.tool, two.tool]))
    stage.start()
    stage.call("one")
    stage.call("two")
    await one.entered.wait()
    await two.entered.wait()
    two.open.set()
    assert await stage.answered("c2") == {"c2": "done"}
    one.open.set()
    assert (await stage.answered("c1"))["c1"] == "done"


async def test_a_call_id_runs_once(stage: Any) -> None:
    """127, 128: however often it is announced."""
    runs: list[str] = []

    @tool
    def act() -> None:
        runs.append("run")

    await stage.connect(RealtimeAgent("A", tools=[act]))
    stage.start()
    stage.call("act", call_id="same")
    stage.call("act", '{"other": 1}', call_id="same")
    await stage.answered("same")
    stage.call("act", call_id="same")
    await stage.settled()
    assert runs == ["run"]
    assert stage.outputs() == {"same": "null"}


async def test_an_unknown_tool_is_answered(stage: Any) -> None:
    """118: without asking for a response."""
    await stage.connect(RealtimeAgent("A"), listen=("error",))
    stage.start()
    stage.call("nothing")
    assert await stage.answered("c1") == {"c1": "Tool nothing not found"}
    assert stage.sent()[0]["start_response"] is False
    assert isinstance(stage.seen[0].error, ModelBehaviorError)


async def test_broken_arguments_are_answered(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=[echo]), listen=("error", "agent_tool_end"))
    stage.start()
    stage.call("echo", "{word:")
    output = (await stage.answered("c1"))["c1"]
    assert output.startswith("An error occurred while parsing tool arguments.")
    await stage.settled()
    assert stage.names() == ["error", "agent_tool_end"]
    assert stage.seen[1].error is stage.seen[0].error


async def test_a_tool_that_raises_is_answered(stage: Any) -> None:
    @tool
    def act() -> None:
        raise KeyError("lost")

    await stage.connect(RealtimeAgent("A", tools=[act]), listen=("error",))
    stage.start()
    stage.call("act")
    assert "lost" in (await stage.answered("c1"))["c1"]
    assert isinstance(stage.seen[0].error, KeyError)


async def test_the_sessions_timeout(stage: Any) -> None:
    """119."""
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]), tool_timeout=0.02)
    stage.start()
    stage.call("wait")
    assert await stage.answered("c1") == {"c1": "Tool 'wait' timed out after 0.02 s."}
    assert gate.left == ["cancelled"]


async def test_a_tool_that_was_switched_off_meanwhile(stage: Any) -> None:
    offered = {"on": True}
    act = tool(name="act", is_enabled=lambda context, agent: offered["on"])(lambda: "ran")
    broken = tool(name="broken", is_enabled=lambda context, agent: offered["on"] or offered["lost"])(
        lambda: "ran"
    )
    other = handoff(RealtimeAgent("B"), is_enabled=lambda context, agent: offered["on"])
    await stage.connect(RealtimeAgent("A", tools=[act, broken], handoffs=[other]))
    stage.start()
    offered["on"] = False
    for name in ("act", "broken", "transfer_to_B"):
        stage.call(name)
    assert await stage.answered("c1", "c2", "c3") == {
        "c1": "Tool act not found",
        "c2": "The tool failed.",
        "c3": "Tool transfer_to_B not found",
    }
    assert stage.session.current_agent.name == "A"


async def test_too_many_calls_at_once(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]), listen=("error",))
    stage.start()
    for _ in range(65):
        stage.call("wait")
    assert await stage.answered("c65") == {"c65": TOO_MANY}
    assert isinstance(stage.seen[0].error, ModelBehaviorError)
    gate.open.set()
    assert len(await stage.answered(*(f"c{n}" for n in range(1, 65)))) == 65


# -- handoffs


async def test_a_handoff(stage: Any) -> None:
    """The service is told of the new agent first, then of the result."""
    other = RealtimeAgent("B", instructions="I am B.")
    first = RealtimeAgent("A", instructions="I am A.", tools=[echo], handoffs=[other], voice="marin")
    await stage.connect(first, listen=("agent_handoff", "agent_tool_start"))
    stage.start()
    stage.call("transfer_to_B")
    assert await stage.answered("c1") == {"c1": '{"assistant": "B"}'}
    assert [call.method for call in stage.transport.calls] == [
        "connect",
        "update_session_config",
        "send_function_call_output",
    ]
    update = stage.sent("update_session_config")[0]["config"]
    assert update == {"instructions": "I am B.", "tools": []}
    assert stage.session.current_agent is other
    assert stage.session.initial_agent is first
    (event,) = stage.seen
    assert (event.from_agent, event.to_agent, event.context.agent) == (first, other, other)


async def test_calls_belong_to_the_agent_that_made_them(stage: Any) -> None:
    """116: also those announced after the handoff, and those of a tool both agents have."""
    other = RealtimeAgent("B", tools=[echo])
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[echo, gate.tool], handoffs=[other]))
    stage.start("r1")
    stage.call("wait", '{"word": "late"}')
    await gate.entered.wait()
    stage.call("transfer_to_B")
    await stage.answered("c2")
    stage.call("echo", '{"word": "sibling"}', response_id="r1")
    stage.transport.emit(SessionUpdated({}))
    stage.start("r2")
    stage.call("echo", '{"word": "next"}', response_id="r2")
    stage.call("wait", response_id="r2")
    stage.done("r1")
    gate.open.set()
    outputs = await stage.answered("c1", "c3", "c4", "c5")
    assert outputs["c1"] == "late"
    assert outputs["c3"] == "A:c3:sibling"
    assert outputs["c4"] == "B:c4:next"
    assert outputs["c5"] == "Tool wait not found"


async def test_a_response_may_begin_while_the_handoff_is_on_its_way(stage: Any) -> None:
    """It is the old agent's, so it calls the old agent's tools; the one after it does not."""
    other = RealtimeAgent("B", tools=[echo])
    gate = Gate()
    gate.open.set()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool, echo], handoffs=[other]))
    stage.start("r1")
    stage.call("transfer_to_B")
    await stage.answered("c1")
    stage.start("r2")
    stage.call("wait", response_id="r2")
    stage.call("echo", response_id="r2")
    stage.call("nothing", response_id="r2")
    stage.call("transfer_to_B", response_id="r2")
    stage.start("r3")
    stage.call("wait", response_id="r3")
    assert await stage.answered("c2", "c3", "c4", "c5", "c6") == {
        "c1": '{"assistant": "B"}',
        "c2": "done",
        "c3": "B:c3:",
        "c4": "Tool nothing not found",
        "c5": '{"assistant": "B"}',
        "c6": "Tool wait not found",
    }
    assert stage.session.current_agent is other


async def test_a_call_of_a_response_that_began_unseen_is_the_current_agents(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=[echo]))
    stage.call("echo", response_id=None)
    stage.call("echo", response_id="before")
    assert await stage.answered("c1", "c2") == {"c1": "A:c1:", "c2": "A:c2:"}


async def test_the_first_of_several_handoffs_wins(stage: Any) -> None:
    agents = [RealtimeAgent("B"), RealtimeAgent("C")]
    await stage.connect(RealtimeAgent("A", handoffs=list(agents)))
    stage.start()
    stage.call("transfer_to_C")
    stage.call("transfer_to_B")
    assert await stage.answered("c1", "c2") == {"c1": '{"assistant": "C"}', "c2": SECOND_HANDOFF}
    assert stage.session.current_agent is agents[1]


@dataclass
class Reason:
    reason: str


async def test_a_handoff_that_fails_leaves_the_agent(stage: Any) -> None:
    def refuse(context: RunContext[Any], value: Reason) -> None:
        raise PermissionError("not you")

    target = RealtimeAgent("B")
    entry = handoff(target, on_handoff=refuse, input_type=Reason)
    await stage.connect(RealtimeAgent("A", handoffs=[entry]), listen=("error", "agent_handoff"))
    for number, arguments in enumerate(("{}", '{"reason": "x"}')):
        stage.start(f"r{number}")
        stage.call("transfer_to_B", arguments, response_id=f"r{number}")
    outputs = await stage.answered("c1", "c2")
    assert outputs["c1"].startswith("An error occurred while parsing tool arguments.")
    assert outputs["c2"] == "The handoff to B failed."
    assert stage.names() == ["error", "error"]
    assert stage.session.current_agent.name == "A"
    assert not stage.sent("update_session_config")


async def test_a_handoff_to_an_agent_that_cannot_be_used(stage: Any) -> None:
    target = RealtimeAgent("B", tools=[echo, tool(name="echo")(lambda: None)])
    await stage.connect(RealtimeAgent("A", handoffs=[target]), listen=("error",))
    stage.start()
    stage.call("transfer_to_B")
    assert await stage.answered("c1") == {"c1": "The handoff to B failed."}
    assert "Duplicate" in str(stage.seen[0].error)
    assert stage.session.current_agent.name == "A"


# -- interruption


@pytest.mark.parametrize("event", [AudioInterrupted(()), UserSpeechStarted("i", 0), None])
async def test_tools_are_stopped_by_an_interruption_if_asked_for(stage: Any, event: Any) -> None:
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]), cancel_tools_on_interrupt=True)
    stage.start()
    stage.call("wait")
    await gate.entered.wait()
    if event is None:
        await stage.session.interrupt()
    else:
        stage.transport.emit(event)
        stage.transport.emit(event)
    assert await stage.answered("c1") == {"c1": INTERRUPTED}
    assert stage.sent()[0]["start_response"] is False
    assert gate.left == ["cancelled"]
    await stage.settled()


async def test_tools_go_on_by_default(stage: Any) -> None:
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]))
    stage.start()
    stage.call("wait")
    await gate.entered.wait()
    stage.transport.emit(AudioInterrupted(()))
    stage.transport.emit(UserSpeechStarted("i", 0))
    gate.open.set()
    assert await stage.answered("c1") == {"c1": "done"}


async def test_speech_that_does_not_interrupt_stops_no_tool(stage: Any) -> None:
    gate = Gate()
    config = {"audio": {"input": {"turn_detection": {"type": "server_vad", "interrupt_response": False}}}}
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]), cancel_tools_on_interrupt=True, config=config)
    stage.start()
    stage.call("wait")
    await gate.entered.wait()
    stage.transport.emit(UserSpeechStarted("i", 0))
    gate.open.set()
    assert await stage.answered("c1") == {"c1": "done"}


async def test_a_tool_may_have_a_result_in_spite_of_the_interruption(stage: Any) -> None:
    entered = asyncio.Event()

    @tool
    async def act() -> str:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "what I had"
        return ""

    await stage.connect(RealtimeAgent("A", tools=[act]), cancel_tools_on_interrupt=True)
    stage.start()
    stage.call("act")
    await entered.wait()
    stage.transport.emit(AudioInterrupted(()))
    assert await stage.answered("c1") == {"c1": "what I had"}


# -- the end of the connection


async def test_close_cancels_tools_and_sends_nothing(stage: Any) -> None:
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]), listen=("agent_tool_end", "error"))
    stage.start()
    stage.call("wait")
    await gate.entered.wait()
    await stage.session.close()
    assert gate.left == ["cancelled"]
    assert stage.outputs() == {}
    assert stage.seen == []


async def test_a_dropped_connection_cancels_tools(stage: Any) -> None:
    gate = Gate()
    await stage.connect(RealtimeAgent("A", tools=[gate.tool]), listen=("agent_tool_end",))
    stage.start()
    stage.call("wait")
    await gate.entered.wait()
    await stage.transport.disconnect()
    await stage.settled()
    assert gate.left == ["cancelled"]
    assert stage.outputs() == {}
    assert stage.seen == []


async def test_results_of_an_earlier_connection_are_dropped(stage: Any) -> None:
    """130: also of a tool that cannot be cancelled."""
    entered, finish = asyncio.Event(), asyncio.Event()

    @tool
    async def stubborn() -> str:
        entered.set()
        while not finish.is_set():
            try:
                await finish.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    await stage.connect(RealtimeAgent("A", tools=[stubborn]), listen=("agent_tool_end", "error"))
    stage.start()
    stage.call("stubborn", call_id="same")
    await entered.wait()
    await stage.transport.disconnect()
    stage.seen.clear()
    await stage.session.connect()
    finish.set()
    await stage.settled()
    assert stage.outputs() == {}
    stage.start()
    stage.call("stubborn", call_id="same")  # another connection, another call
    assert await stage.answered("same") == {"same": "late"}


async def test_close_does_not_wait_for_ever(
    stage: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dispatch, "CLOSE_GRACE", 0.01)
    entered, finish = asyncio.Event(), asyncio.Event()

    @tool
    async def stubborn() -> None:
        entered.set()
        while not finish.is_set():
            try:
                await finish.wait()
            except asyncio.CancelledError:
                continue

    await stage.connect(RealtimeAgent("A", tools=[stubborn]))
    stage.start()
    stage.call("stubborn")
    await entered.wait()
    with caplog.at_level(logging.WARNING, "voxwire"):
        await stage.session.close()
    assert "1 tools still run" in caplog.text
    finish.set()
    await stage.settled()


async def test_a_tool_may_close_its_session(stage: Any) -> None:
    left = asyncio.Event()

    @tool
    async def hang_up(context: RunContext[Any]) -> str:
        await context.session.close()
        left.set()
        return "bye"

    await stage.connect(RealtimeAgent("A", tools=[hang_up]))
    stage.start()
    stage.call("hang_up")
    await asyncio.wait_for(left.wait(), 5)
    await stage.settled()
    stage.transport.assert_closed()
    assert stage.outputs() == {}


async def test_a_handoff_is_dropped_with_its_connection(stage: Any) -> None:
    """130."""
    entered, finish = asyncio.Event(), asyncio.Event()

    async def slow(context: RunContext[Any], agent: RealtimeAgent) -> str:
        entered.set()
        try:
            await finish.wait()
        except asyncio.CancelledError:
            await finish.wait()
        return "late"

    await stage.connect(RealtimeAgent("A", handoffs=[RealtimeAgent("B", slow)]), listen=("error",))
    stage.start()
    stage.call("transfer_to_B")
    await entered.wait()
    await stage.transport.disconnect()
    await stage.session.connect()
    stage.seen.clear()
    finish.set()
    await stage.settled()
    assert stage.session.current_agent.name == "A"
    assert not stage.sent("update_session_config")
    assert stage.seen == []


async def test_an_answer_that_cannot_be_sent_is_an_error(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=[echo]), listen=("error", "agent_tool_end"))
    stage.transport.fail_next_call("send_function_call_output", ConnectionLost("gone"))
    stage.start()
    stage.call("echo")
    await stage.settled()
    assert stage.names() == ["error"]
    assert isinstance(stage.seen[0].error, ConnectionLost)


async def test_errors_nobody_listens_to_are_logged_without_words(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @tool
    def act() -> None:
        raise ValueError("secret")

    await stage.connect(RealtimeAgent("A", tools=[act]))
    stage.start()
    with caplog.at_level(logging.DEBUG, "voxwire"):
        stage.call("act")
        await stage.answered("c1")
    assert "unheard error: ValueError" in caplog.text
    assert "secret" not in caplog.text
