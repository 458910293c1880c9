"""Local MCP servers in a session: decisions on a scripted transport, and a whole talk over a WebSocket."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Self

import pytest

from voxwire import (
    ConnectError,
    ConnectionLost,
    FunctionCall,
    McpHttpServer,
    McpStdioServer,
    RealtimeAgent,
    RealtimeSession,
    UserError,
    handoff,
    tool,
)
from voxwire.server import EmbeddedServer
from voxwire.session.local_mcp import LocalMcp
from voxwire.testing import ScriptedRealtimeTransport


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class Talk:
    """A session on a scripted transport."""

    def __init__(self, agent: RealtimeAgent, **options: Any) -> None:
        self.transport = ScriptedRealtimeTransport()
        self.session = RealtimeSession(agent, transport=self.transport, **options)
        self.errors: list[Exception] = []
        self.session.on("error", lambda event: self.errors.append(event.error))

    async def __aenter__(self) -> Self:
        await self.session.connect()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.session.close()

    def tools(self) -> list[str]:
        calls = [call for call in self.transport.calls if call.method in ("connect", "update_session_config")]
        last = calls[-1]
        config = last["initial_session_config"] if last.method == "connect" else last["config"]
        return [entry["name"] for entry in config["tools"]]

    async def call(self, name: str, call_id: str = "c1", **arguments: Any) -> str:
        self.transport.emit(FunctionCall(call_id, name, json.dumps(arguments), "i1", "r1"))
        outputs = "send_function_call_output"
        await until(
            lambda: any(
                call.method == outputs and call["call"].call_id == call_id for call in self.transport.calls
            )
        )
        return str(
            next(
                call["output"]
                for call in self.transport.calls
                if call.method == outputs and call["call"].call_id == call_id
            )
        )


@tool
def own() -> str:
    """A tool of the agent's."""
    return ""


async def test_listed_called_and_closed(http_mcp: Any, program: list[str]) -> None:
    weather = McpHttpServer(http_mcp.url, tools=["get_weather", "add"], prefix="w_")
    files = McpStdioServer(program[0], program[1:])
    agent = RealtimeAgent("A", tools=[own], mcp_servers=[weather, files], handoffs=[RealtimeAgent("B")])
    async with Talk(agent) as talk:
        # Servers first, in their order, then the agent's tools, then handoffs.
        assert talk.tools() == [
            "w_get_weather",
            "w_add",
            "where",
            "die",
            "odd_name_x",
            "own",
            "transfer_to_B",
        ]
        assert await talk.call("w_get_weather", city="Oslo") == "It is sunny in Oslo."
        assert await talk.call("odd_name_x", "c2") == "odd"
        answer = await talk.call("w_add", "c3", a="x", b=1)
        assert answer.startswith("An error occurred while running the tool. Please try again. Error: ")
        assert weather.connected
    assert not weather.connected
    assert not files.connected
    assert isinstance(talk.errors[0], Exception)


async def test_a_picture_reaches_the_model(http_mcp: Any) -> None:
    async with Talk(RealtimeAgent("A", mcp_servers=[McpHttpServer(http_mcp.url)])) as talk:
        assert "Here it is." in await talk.call("picture")
        message = next(call["message"] for call in talk.transport.calls if call.method == "send_message")
        assert message["content"][1]["image_url"].startswith("data:image/png;base64,")


async def test_a_timeout_is_the_servers_own(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url, timeout=0.1)
    async with Talk(RealtimeAgent("A", mcp_servers=[server])) as talk:
        assert await talk.call("slow") == "Tool 'slow' timed out after 0.1 s."
        await asyncio.wait_for(http_mcp.slow_cancelled.wait(), 10)


async def test_a_dead_server_answers_with_words_and_comes_back(http_mcp: Any) -> None:
    async with Talk(RealtimeAgent("A", mcp_servers=[McpHttpServer(http_mcp.url, name="w")])) as talk:
        await http_mcp.stop()
        assert "MCP server 'w'" in await talk.call("add", a=1, b=2)
        await http_mcp.start()
        assert await talk.call("add", "c2", a=1, b=2) == "3"


async def test_approval(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url, needs_approval=lambda context, arguments: arguments["a"] > 9)
    async with Talk(RealtimeAgent("A", mcp_servers=[server])) as talk:
        asked: list[Any] = []
        talk.session.on("tool_approval_requested", asked.append)
        assert await talk.call("add", a=1, b=2) == "3"
        answering = asyncio.ensure_future(talk.call("add", "c2", a=10, b=2))
        await until(lambda: asked)
        await talk.session.reject(asked[0], message="Too big.")
        assert await answering == "Too big."
        assert http_mcp.calls == ["add 1 2"]


async def test_a_clash_of_names_names_both(http_mcp: Any) -> None:
    @tool(name="add")
    def mine() -> str:
        """Mine."""
        return ""

    one, two = (McpHttpServer(http_mcp.url, name=name) for name in ("one", "two"))
    agent = RealtimeAgent("A", tools=[mine], mcp_servers=[one])
    words = r"Duplicate Realtime tool name\(s\) found: 'add' \(MCP tool of 'one' and function tool\)"
    with pytest.raises(UserError, match=words):
        await Talk(agent).session.connect()
    both = Talk(RealtimeAgent("A", mcp_servers=[one, two]))
    with pytest.raises(UserError, match="MCP tool of 'one' and MCP tool of 'two'"):
        await both.session.connect()
    await both.session.close()
    assert not one.connected
    assert not two.connected
    same = [McpHttpServer(http_mcp.url, name="same") for _ in range(2)]
    with pytest.raises(UserError, match=r"MCP tool of 'same' and MCP tool of 'same \(2\)'"):
        await Talk(RealtimeAgent("A", mcp_servers=same)).session.connect()


async def test_one_that_is_not_required_keeps_nobody_out(http_mcp: Any) -> None:
    away = McpHttpServer("http://127.0.0.1:9/mcp", name="away", required=False)
    agent = RealtimeAgent("A", mcp_servers=[away, McpHttpServer(http_mcp.url, tools=["add"])])
    async with Talk(agent) as talk:
        assert talk.tools() == ["add"]
        assert isinstance(talk.errors[0], ConnectError)
        assert "'away'" in str(talk.errors[0])
    away.required = True
    failing = Talk(agent)
    with pytest.raises(ConnectError, match="'away'"):
        await failing.session.connect()
    assert failing.transport.calls == ()
    await failing.session.close()


async def test_an_agent_brings_its_servers(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url, tools=["add"])
    second = RealtimeAgent("B", mcp_servers=[server])
    async with Talk(RealtimeAgent("A", handoffs=[handoff(second)])) as talk:
        assert not server.connected
        assert await talk.call("transfer_to_B") == '{"assistant": "B"}'
        assert talk.tools() == ["add"]
        assert talk.session.current_agent is second
        # The end of the connection, whoever ends it, is the end of the servers.
        await talk.transport.disconnect()
        await until(lambda: not server.connected)
        await talk.session.connect()
        await talk.session.update_agent(second)
        assert await talk.call("add", "c2", a=1, b=1) == "2"


async def test_closing_while_servers_are_being_connected(http_mcp: Any) -> None:
    silent = McpStdioServer(sys.executable, ["-c", "import sys; sys.stdin.read()"], name="silent")
    quick = McpHttpServer(http_mcp.url)
    made = Talk(RealtimeAgent("A", mcp_servers=[quick, silent]))
    connecting = asyncio.ensure_future(made.session.connect())
    await until(lambda: quick.connected)
    await made.session.close()
    with pytest.raises(ConnectionLost, match="was closed"):
        await connecting
    assert not quick.connected
    assert not silent.connected
    assert made.transport.calls == ()


async def test_a_connect_that_is_cancelled_leaves_nothing_open(http_mcp: Any) -> None:
    silent = McpStdioServer(sys.executable, ["-c", "import sys; sys.stdin.read()"], name="silent")
    quick = McpHttpServer(http_mcp.url)
    made = Talk(RealtimeAgent("A", mcp_servers=[quick, silent]))
    connecting = asyncio.ensure_future(made.session.connect())
    await until(lambda: quick.connected)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await made.session.close()
    assert not quick.connected


async def test_a_connect_that_fails_leaves_nothing_open(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url)
    made = Talk(RealtimeAgent("A", mcp_servers=[server]))
    made.transport.fail_next_call("connect", ConnectError("no line"))
    with pytest.raises(ConnectError, match="no line"):
        await made.session.connect()
    assert not server.connected


async def test_computing_a_configuration_leaves_nothing_open(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url, tools=["add"])
    agent = RealtimeAgent("A", mcp_servers=[server])
    config = await RealtimeSession.compute_initial_session_config(agent)
    assert [entry["name"] for entry in config["tools"]] == ["add"]
    assert not server.connected


async def test_a_server_of_the_users_stays_open(http_mcp: Any) -> None:
    async with McpHttpServer(http_mcp.url) as server:
        async with Talk(RealtimeAgent("A", mcp_servers=[server])):
            pass
        assert server.connected
        assert len(await server.list_tools()) == 4


class TheirServer:
    """The shape of a server of openai-agents; insists on one task for connecting and cleaning up."""

    name = "theirs"

    def __init__(self, policy: Any = False) -> None:
        self.session: object = None
        self.tasks: list[Any] = []
        self.steps: list[str] = []
        self._needs_approval_policy = policy

    async def connect(self) -> None:
        self.tasks.append(asyncio.current_task())
        self.session = object()
        self.steps.append("connect")

    async def cleanup(self) -> None:
        self.tasks.append(asyncio.current_task())
        self.session = None
        self.steps.append("cleanup")

    async def list_tools(self, run_context: Any = None, agent: Any = None) -> list[Any]:
        from mcp_types import Tool

        return [Tool(name="their", description="Theirs.", input_schema={"type": "object"})]

    async def call_tool(self, tool_name: str, arguments: dict[str, Any] | None) -> Any:
        from mcp_types import CallToolResult, TextContent

        return CallToolResult(content=[TextContent(type="text", text=f"{tool_name} {arguments}")])


async def test_servers_of_others_by_shape() -> None:
    server = TheirServer()
    async with Talk(RealtimeAgent("A", mcp_servers=[server])) as talk:
        assert await talk.call("their", x=1) == "their {'x': 1}"
    assert server.steps == ["connect", "cleanup"]
    assert server.tasks[0] is server.tasks[1]
    await server.connect()
    async with Talk(RealtimeAgent("A", mcp_servers=[server])):
        pass
    assert server.steps[2:] == ["connect"]  # it was connected before, and stays so


async def test_their_approval_policy_holds() -> None:
    async def policy(context: Any, agent: Any, entry: Any) -> bool:
        return bool(entry.name == "their" and agent.name == "A")

    for given in (True, {"their": True}, policy):
        async with Talk(RealtimeAgent("A", mcp_servers=[TheirServer(given)])) as talk:
            asked: list[Any] = []
            talk.session.on("tool_approval_requested", asked.append)
            answering = asyncio.ensure_future(talk.call("their"))
            await until(lambda asked=asked: asked)
            await talk.session.approve(asked[0])
            assert await answering == "their {}"


@pytest.mark.parametrize(
    ("listed", "words"),
    [([3], "3 is no MCP tool"), ([{"name": ""}], "MCP server 'theirs': a tool's name")],
)
async def test_tools_that_are_none(listed: Any, words: str) -> None:
    server = TheirServer()

    async def list_tools() -> Any:
        return listed

    server.list_tools = list_tools  # type: ignore[method-assign]
    local = LocalMcp(lambda error: None)
    with pytest.raises(UserError, match=words):
        await local.tools(RealtimeAgent("A", mcp_servers=[server]))
    local.stop()
    await local.wait_stopped()


async def test_a_talk_over_a_websocket(http_mcp: Any) -> None:
    """The rules responder calls the tool because of what the user says, and speaks its result."""
    agent = RealtimeAgent("Helper", mcp_servers=[McpHttpServer(http_mcp.url, tools=["get_weather"])])
    async with EmbeddedServer(synthesizer="tone", transcriber="none", vad="energy") as server:
        session = RealtimeSession(agent, transport="websocket", url=server.url, model="gpt-realtime")
        ends: list[str] = []
        session.on("agent_end", lambda event: ends.append(event.text))
        await session.connect(api_key="any")
        await session.send_message("What is the weather in Oslo?")
        await until(lambda: any("sunny in Oslo" in text for text in ends))
        await session.close()
    assert http_mcp.calls == ["get_weather Oslo"]
