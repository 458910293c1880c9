"""`hosted_mcp_tool`: every field reaches the wire; what the policies mean."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from voxwire import ConfigError, HostedMcpTool, RealtimeAgent, UserError, hosted_mcp_tool, tool
from voxwire.mcp import as_hosted_tool
from voxwire.protocol.mcp_policy import is_allowed, needs_approval

FIELDS: dict[str, Any] = {
    "server_url": "https://example.com/mcp",
    "connector_id": "connector_x",
    "authorization": "token",
    "server_description": "Finds things.",
    "allowed_tools": {"tool_names": ["a"], "read_only": True},
    "require_approval": {"never": {"tool_names": ["a"], "read_only": False}, "always": {"tool_names": ["b"]}},
    "headers": {"X": "y"},
    "defer_loading": True,
}


def test_behaviour_13_every_field_reaches_the_wire() -> None:
    made = hosted_mcp_tool("docs", **FIELDS)
    assert made.to_wire() == {"type": "mcp", "server_label": "docs", **FIELDS}
    assert made.server_label == "docs"
    assert repr(made) == "HostedMcpTool('docs')"


def test_behaviour_13_what_is_not_said_is_not_sent() -> None:
    made = hosted_mcp_tool("docs", server_url="https://x/mcp", allowed_tools=("a", "b"))
    assert made.to_wire() == {
        "type": "mcp",
        "server_label": "docs",
        "server_url": "https://x/mcp",
        "allowed_tools": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"server_label": " ", "server_url": "https://x"},
            "server_label of a hosted MCP tool must not be blank",
        ),
        ({"server_label": "s"}, "'s' needs a server_url or a connector_id"),
        ({"server_label": "s", "server_url": ""}, "needs a server_url"),
        (
            {"server_label": "s", "server_url": "u", "allowed_tools": "a"},
            "must be a list of names or a filter",
        ),
        ({"server_label": "s", "server_url": "u", "require_approval": "maybe"}, "'maybe'"),
        ({"server_label": "s", "server_url": "u", "require_approval": {}}, "require_approval"),
    ],
)
def test_what_cannot_be_used_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        hosted_mcp_tool(**fields)


def test_dicts_and_the_objects_of_others_are_taken() -> None:
    config = {"type": "mcp", "server_label": "docs", "server_url": "https://x"}
    theirs = SimpleNamespace(tool_config=config, on_approval_request=None)
    for value in (config, theirs):
        made = as_hosted_tool(value)
        assert isinstance(made, HostedMcpTool)
        assert made.to_wire() == config
    assert as_hosted_tool({"type": "function"}) is None
    assert as_hosted_tool(3) is None
    with pytest.raises(UserError, match="tool_approval_requested"):
        as_hosted_tool(SimpleNamespace(tool_config=config, on_approval_request=lambda request: None))


def test_an_agent_keeps_them_apart() -> None:
    @tool
    def act() -> str:
        return ""

    docs = hosted_mcp_tool("docs", server_url="https://x")
    agent = RealtimeAgent("A", tools=[docs, act])
    assert agent.all_tools() == [act]
    assert agent.all_hosted_tools() == [docs]
    with pytest.raises(UserError, match="two hosted MCP tools have the label 'docs'"):
        RealtimeAgent("A", tools=[docs, hosted_mcp_tool("docs", server_url="https://y")])
    with pytest.raises(UserError, match="hosted MCP tools belong into tools"):
        RealtimeAgent("A", mcp_servers=[docs])
    with pytest.raises(UserError, match=r"3 is no MCP server$"):
        RealtimeAgent("A", mcp_servers=[3])


READ = {"name": "read", "annotations": {"readOnlyHint": True}}
WRITE = {"name": "write"}


@pytest.mark.parametrize(
    ("allowed", "read", "write"),
    [
        (None, True, True),
        (["read"], True, False),
        ([], False, False),
        ({"tool_names": ["write"]}, False, True),
        ({"read_only": True}, True, False),
        ({"read_only": False}, False, True),
        ({"tool_names": ["read", "write"], "read_only": True}, True, False),
        ({}, False, False),
    ],
)
def test_allowed_tools(allowed: Any, read: bool, write: bool) -> None:
    assert (is_allowed(allowed, READ), is_allowed(allowed, WRITE)) == (read, write)


@pytest.mark.parametrize(
    ("policy", "read", "write"),
    [
        (None, True, True),
        ("always", True, True),
        ("never", False, False),
        ({"always": {"tool_names": ["write"]}}, False, True),
        ({"never": {"tool_names": ["read"]}}, False, True),
        ({"never": {"read_only": True}}, False, True),
        ({"always": {"tool_names": ["read"]}, "never": {"tool_names": ["write"]}}, True, False),
        ({"always": {"tool_names": ["x"]}, "never": {"tool_names": ["read"]}}, False, True),
        ({}, True, True),
    ],
)
def test_require_approval(policy: Any, read: bool, write: bool) -> None:
    assert (needs_approval(policy, READ), needs_approval(policy, WRITE)) == (read, write)
