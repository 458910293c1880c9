"""Hosted MCP tools: what is available, when the model goes on."""

from __future__ import annotations

from typing import Any

import pytest

from voxwire import McpCallItem, McpToolCallCompleted, McpToolsListed, RealtimeAgent, hosted_mcp_tool
from voxwire.session.hosted_mcp import FollowUps, ListedTools

ADD = {"name": "add"}
ERASE = {"name": "erase"}


def server(label: str, **fields: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": label, "server_url": "https://x", **fields}


def names(tools: ListedTools) -> list[str]:
    return [tool["name"] for tool in tools.available]


def test_tools_are_available_while_their_server_is_configured() -> None:
    tools = ListedTools()
    assert not tools.listed("a", [ADD, ERASE])  # nobody is configured with it
    assert tools.configured([server("a"), {"type": "function", "name": "f"}])
    assert names(tools) == ["add", "erase"]
    assert not tools.listed("a", [ERASE, ADD])  # the same in another order
    assert tools.configured([server("a", allowed_tools=["add"])])
    assert names(tools) == ["add"]
    assert not tools.configured([server("a", allowed_tools={"tool_names": ["add"]})])
    # Of two with one name, the first server's counts.
    assert not tools.listed("b", [{"name": "add", "description": "other"}, {"odd": 1}])
    assert not tools.configured([server("a", allowed_tools=["add"]), server("b")])
    assert tools.available == (ADD,)
    assert tools.configured([])
    assert names(tools) == []


def test_no_more_labels_than_reasonable_are_remembered() -> None:
    tools = ListedTools()
    tools.configured([server("0")])
    for number in range(300):
        tools.listed(str(number), [ADD])
    assert names(tools) == []


def call(item_id: str) -> dict[str, Any]:
    return {"id": item_id, "type": "mcp_call"}


def test_calls_that_end_before_their_response() -> None:
    follow = FollowUps()
    follow.started("r")
    assert not follow.call_ended("a")
    assert not follow.call_ended("b")
    assert follow.done("r", "completed", [call("a"), {"type": "message"}, call("b")])


def test_calls_that_end_after_their_response() -> None:
    follow = FollowUps()
    follow.started("r")
    assert not follow.call_ended("a")
    assert not follow.done("r", "completed", [call("a"), call("b"), call("c")])
    assert not follow.call_ended("c")
    assert follow.call_ended("b")
    assert follow.call_ended("d")  # one that was approved


def test_an_approved_call_beside_another_response() -> None:
    follow = FollowUps()
    follow.started("r")
    follow.started("out of band")
    assert not follow.call_ended("a")
    assert not follow.done("out of band", "completed", [])
    assert follow.done("r", "completed", [{"type": "message"}])
    assert not follow.done("r", "completed", [])


def test_after_an_interruption_nobody_goes_on() -> None:
    follow = FollowUps()
    follow.started("r")
    follow.call_ended("a")
    assert not follow.done("r", "cancelled", [call("a")])
    follow.started("s")
    assert not follow.done("s", "completed", [])


def test_follow_ups_are_bounded_and_forgotten() -> None:
    follow = FollowUps()
    for number in range(300):
        follow.started("r")
        follow.done(f"r{number}", "completed", [call(f"{number}")])
        follow.call_ended(f"x{number}")
    assert len(follow.awaited) == 256
    assert len(follow.ended) == 256
    follow.reset()
    assert follow == FollowUps()


def completed(item_id: str) -> McpToolCallCompleted:
    return McpToolCallCompleted(McpCallItem(item_id, "a", "add", "{}", "3"))


async def test_one_response_after_all_calls_of_a_response(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A"), listen=("mcp_tool_call_completed",))
    stage.start("r1")
    stage.transport.emit(completed("a"))
    stage.transport.emit(completed("b"))
    stage.done("r1", call("a"), call("b"))
    await stage.until(lambda: stage.sent("request_response"))
    await stage.settled()
    assert len(stage.sent("request_response")) == 1
    assert stage.names() == ["mcp_tool_call_completed"] * 2


async def test_no_response_where_none_is_wanted(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A"), automatically_trigger_response_for_mcp_tool_calls=False)
    stage.transport.emit(completed("a"))
    await stage.settled()
    assert stage.sent("request_response") == []


async def test_a_request_that_fails_is_reported(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A"), listen=("error",))
    stage.transport.fail_next_call("request_response", OSError("gone"))
    stage.transport.emit(completed("a"))
    await stage.until(lambda: stage.seen)
    assert str(stage.seen[0].error) == "gone"


async def test_a_request_does_not_outlive_the_connection(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A"))
    stage.transport.emit(completed("a"))
    await stage.session.close()
    await stage.settled()
    assert stage.sent("request_response") == []


async def test_available_tools_follow_the_agent(stage: Any) -> None:
    other = RealtimeAgent("B")
    first = RealtimeAgent("A", tools=[hosted_mcp_tool("a", server_url="https://x", allowed_tools=["add"])])
    await stage.connect(first, listen=("mcp_tools_changed", "agent_handoff"))
    connect = stage.transport.calls[0]["initial_session_config"]
    assert connect["tools"] == [
        {"type": "mcp", "server_label": "a", "server_url": "https://x", "allowed_tools": ["add"]}
    ]
    stage.transport.emit(McpToolsListed("a", (ADD, ERASE)))
    stage.transport.emit(McpToolsListed("a", (ADD,)))
    assert stage.session.available_mcp_tools == (ADD,)
    await stage.session.update_agent(other)
    assert stage.session.available_mcp_tools == ()
    await stage.session.update_agent(first)
    await stage.session.close()
    await stage.session.connect()
    told = [event.tools for event in stage.seen if event.name == "mcp_tools_changed"]
    assert told == [(ADD,), (), (ADD,), ()]


async def test_tools_of_the_configuration_count_as_well(stage: Any) -> None:
    await stage.connect(RealtimeAgent("A"), config={"tools": [server("a")]})
    stage.transport.emit(McpToolsListed("a", (ADD,)))
    assert stage.session.available_mcp_tools == (ADD,)


@pytest.mark.parametrize("tools", [[], [hosted_mcp_tool("a", connector_id="c")]])
async def test_behaviour_31_a_listener_that_raises(stage: Any, tools: Any, caplog: Any) -> None:
    await stage.connect(RealtimeAgent("A", tools=tools))

    def broken(event: object) -> None:
        raise ValueError("secret")

    stage.session.on("mcp_tools_listed", broken)
    stage.transport.emit(McpToolsListed("a", (ADD,)))
    assert stage.session.available_mcp_tools == ((ADD,) if tools else ())
    assert "ValueError" in caplog.text
