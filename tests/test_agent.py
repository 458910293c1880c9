from __future__ import annotations

from typing import Any

import pytest

from voxwire import Handoff, RealtimeAgent, UserError, handoff, tool


@tool
def act() -> None:
    """Act."""


def test_defaults() -> None:
    agent = RealtimeAgent("Greeter")
    assert (agent.name, agent.instructions, agent.prompt, agent.voice) == ("Greeter", "", None, None)
    assert (agent.tools, agent.handoffs, agent.mcp_servers) == ([], [], [])
    assert repr(agent) == "RealtimeAgent('Greeter')"


@pytest.mark.parametrize("name", ["", "  \n", None, 5])
def test_a_name_is_needed(name: Any) -> None:
    with pytest.raises(UserError, match="an agent needs a name that is not blank"):
        RealtimeAgent(name)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"instructions": 5}, "instructions of agent 'A' must be a string or a function, got int"),
        ({"tools": act}, "tools of agent 'A' must be a list"),
        ({"tools": [print]}, "tools of agent 'A': .* decorate the function with @tool"),
        ({"tools": ["act"]}, "tools of agent 'A': 'act' is not a tool"),
        ({"handoffs": ["B"]}, "handoffs of agent 'A': 'B' is neither an agent nor a handoff"),
        ({"mcp_servers": "server"}, "mcp_servers of agent 'A' must be a list, got 'server'"),
    ],
)
def test_values_that_cannot_be_used(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        RealtimeAgent("A", **settings)


def test_tools_and_handoffs() -> None:
    tools = [act]
    other = RealtimeAgent("Other")
    agent = RealtimeAgent("A", tools=tools, handoffs=[other, handoff(other, tool_name="again")])
    tools.clear()
    assert agent.all_tools() == [act]
    assert [entry.tool_name for entry in agent.all_handoffs()] == ["transfer_to_Other", "again"]
    assert all(isinstance(entry, Handoff) and entry.agent is other for entry in agent.all_handoffs())


def test_two_agents_may_hand_over_to_each_other() -> None:
    one = RealtimeAgent("One")
    two = RealtimeAgent("Two", handoffs=[one])
    one.handoffs.append(two)
    assert one.all_handoffs()[0].agent is two
    assert one != two
    assert len({one, two}) == 2  # compared as what they are, not by what they hold


def test_attributes_stay() -> None:
    agent = RealtimeAgent("A")
    with pytest.raises(AttributeError):
        agent.name = "B"  # type: ignore[misc]


def test_what_is_added_later_is_checked_when_it_is_used() -> None:
    agent = RealtimeAgent("A")
    agent.tools.append("not a tool")
    with pytest.raises(UserError, match="tools of agent 'A': 'not a tool' is not a tool"):
        agent.all_tools()
