"""Tools, handoffs and agents with the shape of those of `openai-agents`, without that package.

The real ones are in `tests/interop/test_agents_objects.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from voxwire import (
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    ToolGuardrailTripped,
    ToolImage,
    UserError,
)
from voxwire.handoffs import as_handoff
from voxwire.protocol.transport_events import FunctionCall
from voxwire.testing import ScriptedRealtimeTransport
from voxwire.tools import InvalidArgumentsError, as_tool, run_tool
from voxwire.tools import foreign_agents as foreign_agents_module
from voxwire.tools.foreign_agents import adapt_agent

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture
def context() -> RunContext[Any]:
    agent = RealtimeAgent("Ours")
    session = RealtimeSession(agent, transport=ScriptedRealtimeTransport(), context={"user": 1})
    return session.context.of_call(FunctionCall("c1", "weather", '{"city": "Oslo"}', "i1", "r1"), agent)


def foreign_tool(result: Any = "sunny", **fields: Any) -> Any:
    async def invoke(tool_context: Any, arguments: str) -> Any:
        value = result(tool_context, arguments) if callable(result) else result
        if isinstance(value, Exception):
            raise value
        return value

    values = {
        "name": "weather",
        "description": "The weather.",
        "params_json_schema": SCHEMA,
        "on_invoke_tool": invoke,
        **fields,
    }
    return SimpleNamespace(**values)


async def test_a_tool(context: RunContext[Any]) -> None:
    seen: list[Any] = []

    def look(tool_context: Any, arguments: str) -> str:
        seen.append((tool_context, arguments))
        return "sunny"

    ours = as_tool(foreign_tool(look))
    assert ours.to_wire() == {
        "type": "function",
        "name": "weather",
        "description": "The weather.",
        "parameters": SCHEMA,
    }
    assert await run_tool(ours, context, '{"city": "Oslo"}') == await run_tool(ours, context, "")
    (tool_context, arguments), (_, nothing) = seen
    assert (arguments, nothing) == ('{"city": "Oslo"}', "{}")
    assert tool_context.context == {"user": 1}
    assert (tool_context.tool_name, tool_context.tool_call_id) == ("weather", "c1")
    assert tool_context.tool_arguments == '{"city": "Oslo"}'
    assert tool_context.agent is context.agent


def test_a_class_is_no_tool() -> None:
    class Tool:
        name, description, params_json_schema, on_invoke_tool = "", "", {}, None

    with pytest.raises(UserError, match="is not a tool"):
        as_tool(Tool)


@pytest.mark.parametrize(
    ("result", "output", "images"),
    [
        ({"type": "text", "text": "fine"}, "fine", ()),
        (SimpleNamespace(type="text", text="fine"), "fine", ()),
        (
            {"type": "image", "image_url": "https://a/b.png", "detail": "low"},
            "(an image, in the message before)",
            (ToolImage("https://a/b.png", detail="low"),),
        ),
        (
            ["see:", SimpleNamespace(type="image", image_url="https://a/b.png", detail=None)],
            "see:\n(an image, in the message before)",
            (ToolImage("https://a/b.png"),),
        ),
        ({"type": "image", "image_url": None, "file_id": "f"}, None, ()),
        ({"type": "text"}, '{"type": "text"}', ()),
        ({"a": 1}, '{"a": 1}', ()),
    ],
)
async def test_results(context: RunContext[Any], result: Any, output: Any, images: Any) -> None:
    found = await run_tool(as_tool(foreign_tool(result)), context, "{}")
    assert found.images == images
    assert output is None or found.output == output


async def test_conditions(context: RunContext[Any]) -> None:
    def enabled(wrapper: Any, agent: Any) -> bool:
        return bool(wrapper.context["user"] == 1 and agent.name == "Ours")

    ours = as_tool(foreign_tool(is_enabled=enabled))
    assert callable(ours.is_enabled)
    assert ours.is_enabled(context, context.agent) is True
    assert as_tool(foreign_tool(is_enabled=False)).is_enabled is False


async def test_approval_rules(context: RunContext[Any]) -> None:
    async def rule(tool_context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        return (tool_context.tool_name, arguments, call_id) == ("weather", {"city": "Oslo"}, "c1")

    ours = as_tool(foreign_tool(needs_approval=rule))
    assert callable(ours.needs_approval)
    assert await ours.needs_approval(context, {"city": "Oslo"}) is True  # type: ignore[misc]
    assert as_tool(foreign_tool(needs_approval=True)).needs_approval is True


async def test_timeouts(context: RunContext[Any]) -> None:
    def slow(tool_context: Any, arguments: str) -> Any:
        return TimeoutError("too slow")

    words = as_tool(
        foreign_tool(slow, timeout_seconds=3.0, timeout_error_function=lambda ctx, error: "Slow!")
    )
    assert words.timeout == 3.0
    assert (await run_tool(words, context, "{}")).output == "Slow!"
    fails = as_tool(foreign_tool(ValueError("odd"), timeout_error_function=lambda ctx, error: "Slow!"))
    assert "odd" in (await run_tool(fails, context, "{}")).output


def guardrail(behavior: dict[str, Any], seen: list[Any]) -> Any:
    async def run(data: Any) -> Any:
        seen.append(data)
        return SimpleNamespace(behavior=behavior, output_info="info")

    return SimpleNamespace(run=run, get_name=lambda: "theirs")


@pytest.mark.parametrize("kind", ["tool_input_guardrails", "tool_output_guardrails"])
@pytest.mark.parametrize(
    ("behavior", "output"),
    [
        ({"type": "allow"}, "sunny"),
        ({"type": "reject_content", "message": "No."}, "No."),
        ({"type": "raise_exception"}, "The tool call was stopped by a guardrail."),
    ],
)
async def test_guardrails(context: RunContext[Any], kind: str, behavior: Any, output: str) -> None:
    seen: list[Any] = []
    result = await run_tool(as_tool(foreign_tool(**{kind: [guardrail(behavior, seen)]})), context, "{}")
    assert result.output == output
    (data,) = seen
    assert data.context.tool_call_id == "c1"
    assert data.agent is context.agent
    if kind == "tool_output_guardrails":
        assert data.output == "sunny"
    if behavior["type"] == "raise_exception":
        assert isinstance(result.error, ToolGuardrailTripped)
        assert (result.error.guardrail, result.error.info) == ("theirs", "info")


def test_a_guardrail_without_a_name() -> None:
    ours = as_tool(foreign_tool(tool_input_guardrails=[SimpleNamespace(run=None)]))
    assert ours.input_guardrails[0].name == "guardrail"


# -- agents and handoffs


def foreign_agent(name: str = "Their Agent", **fields: Any) -> Any:
    values = {
        "name": name,
        "instructions": "Be theirs.",
        "tools": [foreign_tool()],
        "handoffs": [],
        "handoff_description": "For theirs.",
        **fields,
    }
    return SimpleNamespace(**values)


def foreign_handoff(invoke: Callable[..., Any], **fields: Any) -> Any:
    values = {
        "tool_name": "transfer_to_theirs",
        "tool_description": "Go there.",
        "input_json_schema": {},
        "on_invoke_handoff": invoke,
        "agent_name": "Their Agent",
        **fields,
    }
    return SimpleNamespace(**values)


async def test_an_agent_among_the_handoffs(context: RunContext[Any]) -> None:
    theirs = foreign_agent()
    entry = as_handoff(theirs)
    assert entry.to_wire()["name"] == "transfer_to_their_agent"
    assert entry.description == "Handoff to the Their Agent agent to handle the request. For theirs."
    agent = await entry.prepare(context, "{}")
    assert (agent.name, agent.instructions) == ("Their Agent", "Be theirs.")
    assert [tool.name for tool in agent.all_tools()] == ["weather"]
    assert await entry.prepare(context, "") is agent
    assert entry.output_for(agent) == '{"assistant": "Their Agent"}'


async def test_agents_that_hand_over_to_each_other(context: RunContext[Any]) -> None:
    one, two = foreign_agent("One"), foreign_agent("Two")
    one.handoffs, two.handoffs = [two], [one]
    ours = adapt_agent(one)
    (to_two,) = ours.all_handoffs()
    (back,) = (await to_two.prepare(context, "{}")).all_handoffs()
    assert await back.prepare(context, "{}") is ours


async def test_a_handoff(context: RunContext[Any]) -> None:
    seen: list[Any] = []
    theirs = foreign_agent()

    async def invoke(tool_context: Any, arguments: str) -> Any:
        seen.append((tool_context.context, arguments))
        return theirs

    schema = {"type": "object", "properties": {"why": {"type": "string"}}}
    entry = as_handoff(foreign_handoff(invoke, input_json_schema=schema, is_enabled=lambda ctx, agent: False))
    assert entry.to_wire() == {
        "type": "function",
        "name": "transfer_to_theirs",
        "description": "Go there.",
        "parameters": schema,
    }
    assert callable(entry.is_enabled)
    assert entry.is_enabled(context, context.agent) is False
    assert (await entry.prepare(context, '{"why": "x"}')).name == "Their Agent"
    assert seen == [({"user": 1}, '{"why": "x"}')]
    assert as_handoff(foreign_handoff(invoke)).to_wire()["parameters"]["additionalProperties"] is False


async def test_a_handoff_may_give_an_agent_of_ours(context: RunContext[Any]) -> None:
    ours = RealtimeAgent("B")
    assert await as_handoff(foreign_handoff(lambda ctx, arguments: ours)).prepare(context, "{}") is ours


async def test_a_handoff_that_gives_something_else(context: RunContext[Any]) -> None:
    with pytest.raises(UserError, match="handoff 'transfer_to_theirs' gave 5"):
        await as_handoff(foreign_handoff(lambda ctx, arguments: 5)).prepare(context, "{}")


async def test_a_handoff_that_cannot_read_its_input(context: RunContext[Any]) -> None:
    theirs = type("ModelBehaviorError", (Exception,), {})

    def invoke(tool_context: Any, arguments: str) -> Any:
        raise theirs("bad input")

    with pytest.raises(InvalidArgumentsError, match="bad input"):
        await as_handoff(foreign_handoff(invoke)).prepare(context, "{")
    with pytest.raises(ZeroDivisionError):
        await as_handoff(foreign_handoff(lambda ctx, arguments: 1 / 0)).prepare(context, "{}")


async def test_instructions_and_prompts(context: RunContext[Any]) -> None:
    async def instructions(wrapper: Any, agent: Any) -> str:
        return f"{agent.name} for {wrapper.context['user']}"

    theirs = foreign_agent(instructions=instructions, prompt={"id": "p"})
    ours = adapt_agent(theirs)
    assert callable(ours.instructions)
    assert await ours.instructions(context, ours) == "Their Agent for 1"  # type: ignore[misc]
    assert ours.prompt == {"id": "p"}
    assert adapt_agent(foreign_agent(instructions=None)).instructions == ""


def test_only_so_many_agents_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_agents_module, "REMEMBERED", 1)
    monkeypatch.setattr(foreign_agents_module, "_known", type(foreign_agents_module._known)())
    one, two = foreign_agent("One"), foreign_agent("Two")
    first = adapt_agent(one)
    assert adapt_agent(one) is first
    adapt_agent(two)
    assert adapt_agent(one) is not first
