"""Approvals of tools. Numbers are those of the JavaScript SDK's behaviours."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from voxwire import (
    FunctionCall,
    ModelBehaviorError,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    ToolApprovalRequested,
    ToolErrorFormatterArgs,
    ToolGuardrailResult,
    ToolInputGuardrail,
    UserError,
    UserSpeechStarted,
    tool,
)
from voxwire.session import approvals
from voxwire.session.approvals import APPROVAL, NOBODY_DECIDED, NOT_APPROVED, ApprovalBook, Decision
from voxwire.testing import ScriptedRealtimeTransport
from voxwire.tools import FunctionTool

RUNS: list[str] = []


@tool(needs_approval=True)
def delete_account(context: RunContext[Any], user_id: str = "1") -> str:
    RUNS.append(user_id)
    return f"{context.agent.name} deleted {user_id}"


@pytest.fixture(autouse=True)
def no_runs() -> None:
    RUNS.clear()


def asking(**settings: Any) -> FunctionTool[..., Any]:
    """A tool called `act` that counts its runs."""

    async def act(word: str = "") -> str:
        RUNS.append(word)
        return f"did {word}"

    return tool(**{"needs_approval": True, **settings})(act)


async def asked(stage: Any, agent: RealtimeAgent | None = None, **options: Any) -> None:
    await stage.connect(
        agent or RealtimeAgent("A", tools=[delete_account]),
        listen=("tool_approval_requested", "agent_tool_start", "agent_tool_end", "error"),
        **options,
    )
    stage.start()


async def request_of(stage: Any, count: int = 1) -> ToolApprovalRequested:
    """The `count`th request."""
    await stage.until(lambda: stage.names().count("tool_approval_requested") == count)
    found = [event for event in stage.seen if isinstance(event, ToolApprovalRequested)]
    return found[-1]


async def test_an_approved_tool_runs(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account", '{"user_id": "7"}')
    request = await request_of(stage)
    assert (request.agent, request.tool, request.call.call_id) == (
        stage.session.current_agent,
        delete_account,
        "c1",
    )
    assert request.arguments == {"user_id": "7"}
    assert request.context.call == request.call
    assert stage.session.pending_approvals == (request,)
    assert RUNS == []
    assert stage.outputs() == {}
    await stage.session.approve(request)
    assert await stage.answered("c1") == {"c1": "A deleted 7"}
    await stage.settled()
    assert stage.names() == ["tool_approval_requested", "agent_tool_start", "agent_tool_end"]
    assert stage.session.pending_approvals == ()


async def test_a_rejected_tool_does_not_run(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account")
    await stage.session.reject(await request_of(stage))
    assert await stage.answered("c1") == {"c1": NOT_APPROVED}
    await stage.settled()
    assert stage.sent()[0]["start_response"] is True
    assert RUNS == []
    assert stage.names() == ["tool_approval_requested", "agent_tool_start", "agent_tool_end"]
    assert (stage.seen[-1].result, stage.seen[-1].error) == (NOT_APPROVED, None)


@pytest.mark.parametrize("kind", ["plain", "coroutine", "method"])
async def test_behaviour_129_approving_inside_the_listener(stage: Any, kind: str) -> None:
    session = RealtimeSession(RealtimeAgent("A", tools=[delete_account]), transport=stage.transport)
    stage.session = session
    tasks: list[asyncio.Task[None]] = []

    def plain(request: ToolApprovalRequested) -> None:
        tasks.append(asyncio.ensure_future(session.approve(request)))  # type: ignore[arg-type]

    async def coroutine(request: ToolApprovalRequested) -> None:
        await session.approve(request)

    listeners = {"plain": plain, "coroutine": coroutine, "method": session.approve}
    session.on("tool_approval_requested", listeners[kind])
    await session.connect()
    stage.start()
    stage.call("delete_account")
    assert await stage.answered("c1") == {"c1": "A deleted 1"}


async def test_the_first_decision_holds(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account")
    request = await request_of(stage)
    await stage.session.approve(request)
    await stage.session.reject(request, message="no")
    await stage.session.approve(request)
    assert await stage.answered("c1") == {"c1": "A deleted 1"}
    await stage.session.reject(request)
    await stage.settled()
    assert RUNS == ["1"]


async def test_a_waiting_call_is_not_stopped_by_an_interruption(stage: Any) -> None:
    await asked(stage, cancel_tools_on_interrupt=True)
    stage.call("delete_account")
    request = await request_of(stage)
    stage.transport.emit(UserSpeechStarted("i", 0))
    await stage.session.approve(request)
    assert await stage.answered("c1") == {"c1": "A deleted 1"}


async def test_behaviour_117_a_waiting_call_survives_a_handoff(stage: Any) -> None:
    other = RealtimeAgent("B")
    await asked(stage, RealtimeAgent("A", tools=[delete_account], handoffs=[other]))
    stage.call("delete_account")
    request = await request_of(stage)
    stage.call("transfer_to_B")
    await stage.answered("c2")
    assert stage.session.current_agent is other
    await stage.session.approve(request)
    assert (await stage.answered("c1"))["c1"] == "A deleted 1"


async def test_asking_in_an_event_loop(stage: Any) -> None:
    """`async for` counts as listening."""
    stage.session = RealtimeSession(RealtimeAgent("A", tools=[delete_account]), transport=stage.transport)
    await stage.session.connect()
    stream = stage.session.events()
    stage.start()
    stage.call("delete_account")
    async with asyncio.timeout(5):
        async for event in stream:
            if isinstance(event, ToolApprovalRequested):
                await stage.session.approve(event)
                break
    assert await stage.answered("c1") == {"c1": "A deleted 1"}


async def test_a_question_nobody_hears_is_logged(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    await stage.connect(RealtimeAgent("A", tools=[delete_account]))
    stage.start()
    stage.call("delete_account", '{"user_id": "secret"}')
    await stage.until(lambda: stage.session.pending_approvals)
    assert "'delete_account' waits for approval and nobody listens" in caplog.text
    assert "secret" not in caplog.text
    await stage.session.approve(stage.session.pending_approvals[0])
    await stage.answered("c1")


# -- for good


async def test_always(stage: Any) -> None:
    """126: per agent and tool, with the rejecter's words."""
    await asked(stage, RealtimeAgent("A", tools=[delete_account, asking()]))
    stage.call("delete_account")
    await stage.session.reject(await request_of(stage), always=True, message="Never.")
    stage.call("delete_account")
    assert (await stage.answered("c1", "c2"))["c2"] == "Never."
    stage.call("act", '{"word": "x"}')
    await stage.session.approve(await request_of(stage, 2), always=True)
    stage.call("act", '{"word": "y"}')
    assert (await stage.answered("c3", "c4"))["c4"] == "did y"
    assert stage.names().count("tool_approval_requested") == 2


async def test_behaviour_127_what_was_decided_for_one_agent_does_not_hold_for_another(stage: Any) -> None:
    other = RealtimeAgent("B", tools=[delete_account])
    await asked(stage, RealtimeAgent("A", tools=[delete_account], handoffs=[other]))
    stage.call("delete_account")
    await stage.session.approve(await request_of(stage), always=True)
    stage.call("transfer_to_B")
    await stage.answered("c1", "c2")
    stage.start("r2")
    stage.call("delete_account", response_id="r2")
    await stage.session.approve(await request_of(stage, 2))
    assert (await stage.answered("c3"))["c3"] == "B deleted 1"


async def test_always_ends_with_the_connection(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account")
    await stage.session.approve(await request_of(stage), always=True)
    await stage.answered("c1")
    await stage.transport.disconnect()
    await stage.session.connect()
    stage.start()
    stage.call("delete_account")
    await stage.session.approve(await request_of(stage, 2))
    await stage.answered("c2")


async def test_always_approve_does_not_ask_the_policy_again(stage: Any) -> None:
    questions: list[Mapping[str, Any]] = []

    def policy(context: RunContext[Any], arguments: Mapping[str, Any]) -> bool:
        questions.append(arguments)
        return True

    await asked(stage, RealtimeAgent("A", tools=[asking(needs_approval=policy)]))
    stage.call("act", '{"word": "x"}')
    await stage.session.approve(await request_of(stage), always=True)
    stage.call("act", '{"word": "y"}')
    await stage.answered("c1", "c2")
    assert questions == [{"word": "x"}]


# -- rules


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_rule_decides_by_the_arguments(stage: Any, is_async: bool) -> None:
    def rule(context: RunContext[Any], arguments: Mapping[str, Any]) -> bool:
        assert context.call is not None
        return bool(arguments.get("word") == "risky")

    async def async_rule(context: RunContext[Any], arguments: Mapping[str, Any]) -> bool:
        return rule(context, arguments)

    act = asking(needs_approval=async_rule if is_async else rule)
    await asked(stage, RealtimeAgent("A", tools=[act]))
    stage.call("act", '{"word": "safe"}')
    assert await stage.answered("c1") == {"c1": "did safe"}
    stage.call("act", '{"word": "risky"}')
    await stage.session.reject(await request_of(stage), message="")
    assert (await stage.answered("c2"))["c2"] == ""


async def test_a_rule_that_raises_lets_nothing_pass(stage: Any) -> None:
    def rule(context: RunContext[Any], arguments: Mapping[str, Any]) -> bool:
        raise RuntimeError("no idea")

    await asked(stage, RealtimeAgent("A", tools=[asking(needs_approval=rule)]))
    stage.call("act")
    assert await stage.answered("c1") == {"c1": "The tool failed."}
    assert RUNS == []
    assert stage.names() == ["error"]


@pytest.mark.parametrize("arguments", ["{word:", "[1]", "null", "5"])
async def test_behaviour_122_a_rule_is_not_asked_about_what_it_cannot_read(
    stage: Any, arguments: str
) -> None:
    """A person is; if approved, the model hears that it cannot be read, once."""

    def rule(context: RunContext[Any], arguments: Mapping[str, Any]) -> bool:
        raise AssertionError("not to be called")

    await asked(stage, RealtimeAgent("A", tools=[asking(needs_approval=rule)]))
    stage.call("act", arguments)
    request = await request_of(stage)
    assert request.arguments is None
    await stage.session.approve(request)
    output = (await stage.answered("c1"))["c1"]
    assert output.startswith("An error occurred while parsing tool arguments.")
    stage.call("act", arguments)
    await stage.session.reject(await request_of(stage, 2))
    assert (await stage.answered("c2"))["c2"] == NOT_APPROVED
    assert RUNS == []


async def test_a_fixed_rule_bothers_nobody_with_broken_arguments(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account", "{user")
    assert (await stage.answered("c1"))["c1"].startswith("An error occurred while parsing tool arguments.")
    assert stage.names() == ["error"]
    assert isinstance(stage.seen[0].error, ModelBehaviorError)


async def test_behaviour_123_a_fixed_rule_and_json_that_is_no_object(stage: Any) -> None:
    """A tool that reads its arguments itself gets them."""

    async def invoke(context: RunContext[Any], arguments: str) -> str:
        return f"got {arguments}"

    act = FunctionTool(name="act", parameters={"type": "object"}, invoke=invoke, needs_approval=True)
    await asked(stage, RealtimeAgent("A", tools=[act]))
    stage.call("act", "[1]")
    await stage.session.approve(await request_of(stage))
    assert await stage.answered("c1") == {"c1": "got [1]"}


async def test_a_tool_that_needs_none_is_not_asked_about(stage: Any) -> None:
    await asked(stage, RealtimeAgent("A", tools=[asking(needs_approval=False)]))
    stage.call("act", '{"word": "x"}')
    assert await stage.answered("c1") == {"c1": "did x"}


async def test_a_tool_switched_off_while_a_person_thinks(stage: Any) -> None:
    offered = {"on": True}
    act = asking(is_enabled=lambda context, agent: offered["on"])
    await asked(stage, RealtimeAgent("A", tools=[act]))
    stage.call("act")
    request = await request_of(stage)
    offered["on"] = False
    await stage.session.approve(request)
    assert await stage.answered("c1") == {"c1": "Tool act not found"}
    assert RUNS == []


# -- what the model is told of a rejection


@pytest.mark.parametrize(
    ("formatted", "message", "told"),
    [
        ("Formatted.", "Mine.", "Mine."),
        ("Formatted.", "", ""),
        ("Formatted.", None, "Formatted."),
        ("", None, ""),
        (None, None, NOT_APPROVED),
        (5, None, NOT_APPROVED),
        (ValueError("secret"), None, NOT_APPROVED),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_behaviour_126_rejection_texts(
    stage: Any,
    caplog: pytest.LogCaptureFixture,
    formatted: Any,
    message: str | None,
    told: str,
    is_async: bool,
) -> None:
    seen: list[ToolErrorFormatterArgs] = []

    def formatter(args: ToolErrorFormatterArgs) -> Any:
        seen.append(args)
        if isinstance(formatted, Exception):
            raise formatted
        return formatted

    async def async_formatter(args: ToolErrorFormatterArgs) -> Any:
        return formatter(args)

    await asked(stage, tool_error_formatter=async_formatter if is_async else formatter)
    stage.call("delete_account")
    await stage.session.reject(await request_of(stage), message=message)
    assert await stage.answered("c1") == {"c1": told}
    if message is None:
        (args,) = seen
        assert (args.kind, args.tool_type, args.tool_name) == (
            "approval_rejected",
            "function",
            "delete_account",
        )
        assert (args.call_id, args.default_message) == ("c1", NOT_APPROVED)
        assert args.run_context.call is not None
    else:
        assert seen == []
    assert "secret" not in caplog.text
    assert ("tool_error_formatter" in caplog.text) == isinstance(formatted, (int, Exception))


async def test_nobody_decides_in_time(stage: Any) -> None:
    await asked(stage, approval_timeout=0.01)
    stage.call("delete_account")
    request = await request_of(stage)
    assert await stage.answered("c1") == {"c1": NOBODY_DECIDED}
    await stage.session.approve(request)  # too late, and no harm
    await stage.settled()
    assert RUNS == []


# -- guardrails before approval


async def test_behaviour_125_guardrails_before_a_person_is_asked(stage: Any) -> None:
    looks: list[Any] = []

    def check(arguments: Mapping[str, Any], context: RunContext[Any]) -> ToolGuardrailResult | None:
        looks.append(arguments["word"])
        return ToolGuardrailResult.reject("Not that.") if arguments["word"] == "bad" else None

    act = asking(input_guardrails=[ToolInputGuardrail("words", check)])
    await asked(stage, RealtimeAgent("A", tools=[act]), pre_approval_input_guardrails=True)
    stage.call("act", '{"word": "bad"}')
    assert await stage.answered("c1") == {"c1": "Not that."}
    assert stage.sent()[0]["start_response"] is True
    assert stage.names() == []
    stage.call("act", '{"word": "good"}')
    await stage.session.approve(await request_of(stage))
    assert (await stage.answered("c2"))["c2"] == "did good"
    assert looks == ["bad", "good", "good"]


async def test_without_the_option_a_person_is_asked_first(stage: Any) -> None:
    check = ToolInputGuardrail("no", lambda arguments, context: ToolGuardrailResult.reject("Not that."))
    await asked(stage, RealtimeAgent("A", tools=[asking(input_guardrails=[check])]))
    stage.call("act", '{"word": "bad"}')
    await stage.session.approve(await request_of(stage))
    assert await stage.answered("c1") == {"c1": "Not that."}
    assert RUNS == []


async def test_a_guardrail_before_approval_and_arguments_it_cannot_read(stage: Any) -> None:
    check = ToolInputGuardrail("never asked", lambda arguments, context: ToolGuardrailResult.stop())
    act = asking(input_guardrails=[check], needs_approval=lambda context, arguments: False)
    await asked(stage, RealtimeAgent("A", tools=[act]), pre_approval_input_guardrails=True)
    stage.call("act", "{word")
    await stage.session.approve(await request_of(stage))
    assert (await stage.answered("c1"))["c1"].startswith("An error occurred while parsing")


# -- what is not accepted


async def test_behaviour_131_a_request_of_an_earlier_connection(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account", call_id="same")
    old = await request_of(stage)
    await stage.transport.disconnect()
    with pytest.raises(UserError, match="connection that has ended"):
        await stage.session.approve(old)
    await stage.session.connect()
    stage.start()
    stage.call("delete_account", call_id="same")
    new = await request_of(stage, 2)
    for decide in (stage.session.approve, stage.session.reject):
        with pytest.raises(UserError, match=r"approval of call 'same'.*connection that has ended"):
            await decide(old)
    assert stage.session.pending_approvals == (new,)
    await stage.session.approve(new)
    assert await stage.answered("same") == {"same": "A deleted 1"}
    await stage.session.close()
    with pytest.raises(UserError, match="connection that has ended"):
        await stage.session.reject(new)


async def test_a_changed_request_is_refused(stage: Any) -> None:
    """131: nobody agrees to something else than what will be done."""
    await asked(stage, RealtimeAgent("A", tools=[delete_account, asking()]))
    stage.call("delete_account", '{"user_id": "7"}')
    request = await request_of(stage)
    changed = [
        {"arguments": {"user_id": "8"}},
        {"call": dataclasses.replace(request.call, arguments='{"user_id": "8"}')},
        {"call": dataclasses.replace(request.call, call_id="c9")},
        {"agent": RealtimeAgent("A", tools=[delete_account])},
        {"tool": asking()},
        {"context": RealtimeSession(RealtimeAgent("A"), transport=ScriptedRealtimeTransport()).context},
    ]
    for change in changed:
        with pytest.raises(UserError, match="approval of call"):
            await stage.session.approve(dataclasses.replace(request, **change))
    with pytest.raises(TypeError):
        request.arguments["user_id"] = "8"  # type: ignore[index]
    await stage.session.approve(dataclasses.replace(request))  # a copy will do
    assert await stage.answered("c1") == {"c1": "A deleted 7"}


async def test_close_ends_waiting_calls(stage: Any) -> None:
    await asked(stage)
    stage.call("delete_account")
    await request_of(stage)
    await stage.session.close()
    await stage.settled()
    assert stage.session.pending_approvals == ()
    assert stage.outputs() == {}
    assert stage.names() == ["tool_approval_requested"]


async def test_a_listener_that_closes_the_session(stage: Any) -> None:
    """130: the question is dropped, whoever is being asked."""
    await asked(stage)
    stage.session.on("tool_approval_requested", lambda event: stage.session._end())
    stage.call("delete_account")
    await stage.settled()
    assert RUNS == []
    assert stage.outputs() == {}


async def test_behaviour_130_a_listener_of_the_start_closes_the_session(stage: Any) -> None:
    await asked(stage, RealtimeAgent("A", tools=[asking(needs_approval=False)]))
    stage.session.on("agent_tool_start", lambda event: stage.session._end())
    stage.call("act")
    await stage.settled()
    assert RUNS == []
    assert stage.outputs() == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"approval_timeout": 0}, "approval_timeout must be more than 0 s or None, got 0"),
        ({"tool_timeout": -1}, "tool_timeout must be more than 0 s or None, got -1"),
        ({"tool_error_formatter": "no"}, "tool_error_formatter must be a function, got 'no'"),
        ({"pre_approval_input_guardrails": 1}, "pre_approval_input_guardrails must be True or False, got 1"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        RealtimeSession(RealtimeAgent("A"), transport=ScriptedRealtimeTransport(), **options)


# -- the book


async def requests(count: int) -> list[ToolApprovalRequested]:
    """Questions of one session, made without one being asked."""
    agent = RealtimeAgent("A", tools=[delete_account])
    context = RealtimeSession(agent, transport=ScriptedRealtimeTransport()).context
    calls = [FunctionCall(f"c{n}", "delete_account", "{}", f"i{n}", "r") for n in range(count)]
    return [
        ToolApprovalRequested(context.of_call(call, agent), agent, delete_account, call, {}, 1)
        for call in calls
    ]


async def test_whatever_is_decided_in_whatever_order_the_first_holds() -> None:
    (request,) = await requests(1)
    events = ("approve", "reject", "timed out")
    for order in itertools.product(events, repeat=3):
        book = ApprovalBook(1)
        book.add(request)
        decided = [book.decide(request, event, Decision(event == "approve")) for event in order]
        assert decided == [True, False, False]
        assert book.decision("c0") == Decision(order[0] == "approve")
        assert book.open() == ()


async def test_decided_questions_are_forgotten_open_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approvals, "REMEMBERED", 2)
    first, second, third, fourth = await requests(4)
    book = ApprovalBook(1)
    for request in (first, second, third):
        book.add(request)
    assert book.open() == (first, second, third)
    book.decide(second, "reject", Decision(False))
    book.add(fourth)
    assert book.open() == (first, third, fourth)
    assert book.decision("c1") is None
    with pytest.raises(UserError, match="this session has not asked for it"):
        book.decide(second, "approve", Decision(True))


async def test_only_a_call_is_asked_about() -> None:
    session = RealtimeSession(RealtimeAgent("A"), transport=ScriptedRealtimeTransport())
    with pytest.raises(UserError, match="only a tool call"):
        await session._dispatcher.approvals.ask(session.context, delete_account)
    assert APPROVAL.states == ("asked", "approved", "rejected")
