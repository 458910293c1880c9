"""Results, guardrails and conditions of tools in a session. Numbers are those of the JavaScript SDK's behaviours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import pytest

from voxwire import (
    FunctionTool,
    ModelBehaviorError,
    RealtimeAgent,
    RunContext,
    SessionUpdated,
    ToolGuardrailResult,
    ToolGuardrailTripped,
    ToolImage,
    ToolInputGuardrail,
    ToolOutputGuardrail,
    UserError,
    background_result,
    handoff,
    tool,
)

RUNS: list[str] = []


@pytest.fixture(autouse=True)
def no_runs() -> None:
    RUNS.clear()


@tool
async def act(word: str = "") -> str:
    RUNS.append(word)
    return f"did {word}"


async def called(stage: Any, tool: Any, arguments: str = "{}", **options: Any) -> str:
    """What a call of this tool is answered with."""
    await stage.connect(
        RealtimeAgent("A", tools=[tool]), listen=("error", "agent_tool_start", "agent_tool_end"), **options
    )
    stage.start()
    call = stage.call(tool.name, arguments)
    output: str = (await stage.answered(call))[call]
    await stage.settled()
    return output


# -- results


async def test_behaviour_132_a_background_result_asks_for_no_response(stage: Any) -> None:
    note = tool(name="note")(lambda: background_result({"saved": True}))
    assert await called(stage, note) == '{"saved": true}'
    assert stage.sent()[0]["start_response"] is False


async def test_images_come_in_a_message_before_the_output(stage: Any) -> None:
    images = [ToolImage(b"\x89PNG", detail="low"), ToolImage("https://example.com/2.jpg")]
    look = tool(name="look")(lambda: ["Two of them:", *images])
    assert await called(stage, look) == "Two of them:\n(2 images, in the message before)"
    assert [call.method for call in stage.transport.calls[1:]] == [
        "send_message",
        "send_function_call_output",
    ]
    (message,) = stage.sent("send_message")
    assert message["trigger_response"] is False
    assert message["message"] == {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Returned by the tool look:"},
            {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "low"},
            {"type": "input_image", "image_url": "https://example.com/2.jpg"},
        ],
    }
    assert stage.sent()[0]["start_response"] is True


async def test_behaviour_121_a_hostile_exception_is_not_looked_at(
    stage: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Hostile(Exception):
        def __str__(self) -> str:
            raise AssertionError("looked at")

        __repr__ = __str__

    @tool
    def fail() -> None:
        raise Hostile

    with caplog.at_level(logging.DEBUG, "voxwire"):
        await stage.connect(RealtimeAgent("A", tools=[fail]))
        stage.start()
        stage.call("fail")
        assert await stage.answered("c1") == {"c1": "The tool failed."}
    assert "unheard error: Hostile" in caplog.text


# -- replay


async def test_behaviour_127_an_id_that_comes_again_with_other_arguments(stage: Any) -> None:
    lenient = tool(name="act", strict=False)(act.function)
    await stage.connect(RealtimeAgent("A", tools=[lenient]), listen=("error",))
    stage.start()
    stage.call("act", '{"word": "one", "x": 1.0}', call_id="same")
    await stage.answered("same")
    stage.call("act", '{"x":1,"word":"one"}', call_id="same")  # the same, in other words
    await stage.settled()
    assert stage.seen == []
    stage.call("act", '{"word": "two"}', call_id="same")
    stage.call("other", '{"word": "one", "x": 1.0}', call_id="same")
    stage.call("act", "{word", call_id="same")
    await stage.settled()
    assert [type(event.error) for event in stage.seen] == 3 * [ModelBehaviorError]
    assert "came again, but not the same" in str(stage.seen[0].error)
    assert len(stage.outputs()) == 1
    assert RUNS == ["one"]


async def test_behaviour_128_an_id_is_taken_before_anything_is_awaited(stage: Any) -> None:
    asked, decide = asyncio.Event(), asyncio.Event()

    async def enabled(context: RunContext[Any], agent: RealtimeAgent) -> bool:
        if context.call is not None:
            asked.set()
            await decide.wait()
        return True

    slow = tool(name="slow", is_enabled=enabled)(lambda: RUNS.append("run"))
    await stage.connect(RealtimeAgent("A", tools=[slow]))
    stage.start()
    stage.call("slow", call_id="same")
    await asked.wait()
    stage.call("slow", call_id="same")
    decide.set()
    await stage.answered("same")
    await stage.settled()
    assert RUNS == ["run"]


# -- guardrails


def judging(verdict: Any) -> tuple[list[Any], Any]:
    seen: list[Any] = []

    def check(value: Any, context: RunContext[Any]) -> Any:
        assert context.call is not None
        seen.append(value)
        if isinstance(verdict, Exception):
            raise verdict
        return verdict

    return seen, check


def guarded(**guardrails: Any) -> Any:
    return tool(name="act", **guardrails)(act.function)


@pytest.mark.parametrize("verdict", [None, ToolGuardrailResult.allow("fine")])
async def test_guardrails_that_allow(stage: Any, verdict: Any) -> None:
    inputs, check_input = judging(verdict)
    outputs, check_output = judging(verdict)
    guarded_tool = guarded(
        input_guardrails=[ToolInputGuardrail("in", check_input)],
        output_guardrails=[ToolOutputGuardrail("out", check_output)],
    )
    assert await called(stage, guarded_tool, '{"word": "x"}') == "did x"
    assert inputs == [{"word": "x"}]
    assert outputs == ["did x"]


async def test_behaviour_120_an_input_guardrail_rejects(stage: Any) -> None:
    """The tool, the guardrails after it and those of the output are skipped; the model goes on."""
    later, check_later = judging(None)
    outputs, check_output = judging(None)
    rejects = ToolInputGuardrail("no", judging(ToolGuardrailResult.reject("Not that."))[1])
    guarded_tool = guarded(
        input_guardrails=[rejects, ToolInputGuardrail("later", check_later)],
        output_guardrails=[ToolOutputGuardrail("out", check_output)],
    )
    assert await called(stage, guarded_tool) == "Not that."
    assert (RUNS, later, outputs) == ([], [], [])
    assert stage.sent()[0]["start_response"] is True
    assert stage.names() == ["agent_tool_start", "agent_tool_end"]


@pytest.mark.parametrize("kind", ["input", "output"])
async def test_behaviour_120_a_guardrail_stops(stage: Any, kind: str) -> None:
    """An error, and, other than there, an output that asks for no response: a call is always answered."""
    guardrail: Any = ToolInputGuardrail if kind == "input" else ToolOutputGuardrail
    stops = guardrail("alarm", judging(ToolGuardrailResult.stop({"why": 1}))[1])
    assert await called(stage, guarded(**{f"{kind}_guardrails": [stops]})) == (
        "The tool call was stopped by a guardrail."
    )
    assert stage.sent()[0]["start_response"] is False
    error = next(event.error for event in stage.seen if event.name == "error")
    assert isinstance(error, ToolGuardrailTripped)
    assert (error.guardrail, error.tool_name, error.info) == ("alarm", "act", {"why": 1})
    assert ([] if kind == "input" else [""]) == RUNS


async def test_behaviour_120_output_guardrails_replace(stage: Any) -> None:
    """Each sees what the tool returned; the first to object has its way."""
    first, check_first = judging(ToolGuardrailResult.reject("Hidden."))
    second, check_second = judging(ToolGuardrailResult.reject("Second."))
    guardrails = [ToolOutputGuardrail("1", check_first), ToolOutputGuardrail("2", check_second)]
    assert await called(stage, guarded(output_guardrails=guardrails), '{"word": "x"}') == "Hidden."
    assert first == second == ["did x"]


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("verdict", [ValueError("secret"), "yes"])
async def test_a_guardrail_that_fails_lets_nothing_pass(stage: Any, kind: str, verdict: Any) -> None:
    guardrail: Any = ToolInputGuardrail if kind == "input" else ToolOutputGuardrail
    fails = guardrail("broken", judging(verdict)[1])
    assert await called(stage, guarded(**{f"{kind}_guardrails": [fails]})) == "The tool failed."
    error = next(event.error for event in stage.seen if event.name == "error")
    assert isinstance(error, ValueError if isinstance(verdict, ValueError) else UserError)
    assert ([] if kind == "input" else [""]) == RUNS


async def test_arguments_that_no_guardrail_can_read_do_not_pass(stage: Any) -> None:
    seen, check = judging(None)

    async def invoke(context: RunContext[Any], arguments: str) -> str:
        raise AssertionError("not to be called")

    lenient = FunctionTool(
        name="act",
        parameters={"type": "object"},
        invoke=invoke,
        input_guardrails=[ToolInputGuardrail("in", check)],
    )
    assert (await called(stage, lenient, "[1]")).startswith("An error occurred while parsing")
    assert seen == []


async def test_coroutine_guardrails(stage: Any) -> None:
    async def check(arguments: Mapping[str, Any], context: RunContext[Any]) -> ToolGuardrailResult:
        return ToolGuardrailResult.reject()

    output = await called(stage, guarded(input_guardrails=[ToolInputGuardrail("in", check)]))
    assert output == "The tool was not run, or its result was withheld, by a guardrail."


@pytest.mark.parametrize("value", ["no", [5], [ToolOutputGuardrail("o", lambda output, context: None)]])
def test_guardrails_are_checked(value: Any) -> None:
    with pytest.raises(UserError, match="among the guardrails of tool 'act' is no ToolInputGuardrail"):
        guarded(input_guardrails=value)


# -- what is enabled


def names(update: Mapping[str, Any]) -> list[str]:
    return [entry["name"] for entry in update["tools"]]


async def test_what_a_tool_switches_on_is_known_before_the_model_goes_on(stage: Any) -> None:
    logged_in = {"yes": False}

    @tool
    async def log_in() -> str:
        logged_in["yes"] = True
        return "ok"

    balance = tool(name="balance", is_enabled=lambda context, agent: logged_in["yes"])(lambda: "5")
    agent = RealtimeAgent("A", tools=[log_in, balance], handoffs=[])
    await stage.connect(agent)
    assert names(stage.sent("connect")[0]["initial_session_config"]) == ["log_in"]
    stage.start()
    stage.call("log_in")
    await stage.answered("c1")
    assert [call.method for call in stage.transport.calls[1:]] == [
        "update_session_config",
        "send_function_call_output",
    ]
    update = stage.sent("update_session_config")[0]["config"]
    assert list(update) == ["tools"]
    assert names(update) == ["log_in", "balance"]
    stage.done()
    stage.transport.emit(SessionUpdated({}))
    stage.start("r2")
    stage.call("balance", response_id="r2")
    assert (await stage.answered("c2"))["c2"] == "5"
    assert len(stage.sent("update_session_config")) == 1


async def test_what_is_enabled_is_looked_at_after_every_response(stage: Any) -> None:
    offered = {"on": True}
    other = handoff(RealtimeAgent("B"), is_enabled=lambda context, agent: offered["on"])
    await stage.connect(RealtimeAgent("A", handoffs=[other]))
    stage.start()
    offered["on"] = False
    stage.done()
    await stage.until(lambda: stage.sent("update_session_config"))
    assert stage.sent("update_session_config")[0]["config"] == {"tools": []}
    stage.start("r2")
    stage.done("r2")
    await stage.session.refresh_tools()
    assert len(stage.sent("update_session_config")) == 1


async def test_a_condition_that_fails_is_told_and_the_call_answered(stage: Any) -> None:
    broken = {"yes": False}

    def enabled(context: RunContext[Any], agent: RealtimeAgent) -> bool:
        if broken["yes"]:
            raise LookupError("no idea")
        return True

    other = tool(name="other", is_enabled=enabled)(lambda: None)
    await stage.connect(RealtimeAgent("A", tools=[act, other]), listen=("error",))
    stage.start()
    broken["yes"] = True
    stage.call("act")
    assert await stage.answered("c1") == {"c1": "did "}
    assert isinstance(stage.seen[0].error, LookupError)
    with pytest.raises(LookupError):
        await stage.session.refresh_tools()


async def test_a_refresh_is_dropped_with_its_connection(stage: Any) -> None:
    asked, decide = asyncio.Event(), asyncio.Event()

    async def enabled(context: RunContext[Any], agent: RealtimeAgent) -> bool:
        if not first:
            asked.set()
            await decide.wait()
        return bool(first)

    first = [True]
    await stage.connect(RealtimeAgent("A", tools=[tool(name="x", is_enabled=enabled)(lambda: None)]))
    first.clear()
    stage.start()
    stage.done()
    await asked.wait()
    asked.clear()
    looking = asyncio.ensure_future(stage.session.refresh_tools())
    stage.done()  # one look at a time
    await stage.transport.disconnect()
    decide.set()
    await looking
    await stage.session.refresh_tools()
    await stage.settled()
    assert not stage.sent("update_session_config")


@pytest.mark.parametrize("who", ["user", "condition"])
async def test_no_condition_is_looked_at_after_close(stage: Any, who: str) -> None:
    asked, log = asyncio.Event(), []

    async def enabled(context: RunContext[Any], agent: RealtimeAgent) -> bool:
        if stage.session.transport.status != "connected":
            return True
        asked.set()
        try:
            if who == "condition":
                await stage.session.close()
                log.append("closed")
            else:
                await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # it cleans up
            log.append("left")
        return True

    await stage.connect(RealtimeAgent("A", tools=[tool(name="x", is_enabled=enabled)(lambda: None)]))
    stage.start()
    stage.done()
    await asked.wait()
    if who == "user":
        await stage.session.close()
        assert log == ["left"]
    else:
        await stage.until(lambda: "left" in log)
        assert log == ["closed", "left"], "it is not made to cancel itself"


# -- tool choice


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        ("required", "required"),
        ("none", "none"),
        ("act", {"type": "function", "name": "act"}),
        ("transfer_to_B", {"type": "function", "name": "transfer_to_B"}),
        ("missing", "auto"),
        ({"type": "mcp", "server_label": "s"}, {"type": "mcp", "server_label": "s"}),
    ],
)
async def test_an_agents_tool_choice(stage: Any, choice: Any, wire: Any) -> None:
    agent = RealtimeAgent("A", tools=[act], handoffs=[RealtimeAgent("B")], tool_choice=choice)
    await stage.connect(agent, config={"tool_choice": "none"})
    assert stage.sent("connect")[0]["initial_session_config"]["tool_choice"] == wire


async def test_a_tool_choice_ends_with_its_agent(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=[act], tool_choice="act"))
    await stage.session.update_agent(RealtimeAgent("B"))
    assert stage.sent("update_session_config")[0]["config"] == {"tools": [], "tool_choice": "auto"}


async def test_a_sessions_tool_choice_holds_for_agents_without(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A", tool_choice="required"), config={"tool_choice": "none"})
    await stage.session.update_agent(RealtimeAgent("B"))
    assert stage.sent("update_session_config")[0]["config"] == {"tool_choice": "none"}


async def test_the_choice_of_a_tool_that_is_switched_off(stage: Any) -> None:
    offered = {"on": True}
    shown = tool(name="act", is_enabled=lambda context, agent: offered["on"])(lambda: None)
    await stage.connect(RealtimeAgent("A", tools=[shown], tool_choice="act"))
    offered["on"] = False
    await stage.session.refresh_tools()
    assert stage.sent("update_session_config")[0]["config"] == {"tools": [], "tool_choice": "auto"}


@pytest.mark.parametrize("choice", ["", 5, ["act"]])
def test_a_tool_choice_is_checked(choice: Any) -> None:
    with pytest.raises(UserError, match="tool_choice of agent 'A' must be"):
        RealtimeAgent("A", tool_choice=choice)
