from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from voxwire import RealtimeAgent, RealtimeSession, RunContext, UserError, handoff
from voxwire.testing import ScriptedRealtimeTransport
from voxwire.tools import InvalidArgumentsError


@dataclass
class Reason:
    reason: str


TUTOR = RealtimeAgent("Math Tutor", handoff_description="For sums.")


@pytest.fixture
def context() -> RunContext[Any]:
    return RealtimeSession(RealtimeAgent("A"), transport=ScriptedRealtimeTransport()).context


def test_defaults() -> None:
    entry = handoff(TUTOR)
    assert entry.to_wire() == {
        "type": "function",
        "name": "transfer_to_Math_Tutor",
        "description": "Handoff to the Math Tutor agent to handle the request. For sums.",
        "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    }
    assert entry.output_for(TUTOR) == '{"assistant": "Math Tutor"}'


@pytest.mark.parametrize(
    ("name", "tool_name"),
    [("Ünï-1", "transfer_to__n__1"), ("数学", "transfer_to___"), ("a.b", "transfer_to_a_b")],
)
def test_names_for_the_wire(name: str, tool_name: str) -> None:
    entry = handoff(RealtimeAgent(name))
    assert entry.tool_name == tool_name
    assert entry.description == f"Handoff to the {name} agent to handle the request."


def test_settings() -> None:
    entry = handoff(TUTOR, tool_name="sums", description="Any sum.", is_enabled=False)
    assert (entry.tool_name, entry.description, entry.is_enabled) == ("sums", "Any sum.", False)


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (("Math",), {}, "a handoff needs a RealtimeAgent, got 'Math'"),
        ((TUTOR,), {"tool_name": "no spaces"}, "the tool name of the handoff to 'Math Tutor' must be"),
        ((RealtimeAgent("x" * 60),), {}, "must be 1 to 64 letters"),
        ((TUTOR,), {"on_handoff": 5}, "on_handoff must be a function, got 5"),
        ((TUTOR,), {"input_type": int}, "is no JSON object"),
    ],
)
def test_values_that_cannot_be_used(arguments: Any, settings: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        handoff(*arguments, **settings)


async def test_on_handoff(context: RunContext[Any]) -> None:
    seen: list[Any] = []

    async def later(context: RunContext[Any], value: Reason) -> None:
        seen.append((context.agent.name, value))

    await handoff(TUTOR, on_handoff=seen.append).prepare(context, "not looked at")
    await handoff(TUTOR, on_handoff=later, input_type=Reason).prepare(context, '{"reason": "sums"}')
    assert seen == [context, ("A", Reason("sums"))]
    await handoff(TUTOR).prepare(context, "")


async def test_input_is_read_also_when_nobody_wants_it(context: RunContext[Any]) -> None:
    entry = handoff(TUTOR, input_type=Reason)
    assert entry.to_wire()["parameters"]["required"] == ["reason"]
    await entry.prepare(context, '{"reason": "x"}')
    with pytest.raises(InvalidArgumentsError, match="reason"):
        await entry.prepare(context, "{}")
