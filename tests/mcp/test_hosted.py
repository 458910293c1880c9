"""Hosted MCP over a real socket: session, embedded server and a real MCP server behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets

from voxwire import RealtimeAgent, RealtimeSession, UserError, hosted_mcp_tool
from voxwire.server import EmbeddedServer
from voxwire.server.limits import Limits
from voxwire.server.mcp import AllowList


async def until(condition: Any) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.005)


class Talk:
    """A session at an embedded server, and what it has heard."""

    def __init__(self, server: EmbeddedServer, agent: RealtimeAgent, **options: Any) -> None:
        self.session = RealtimeSession(
            agent, transport="websocket", url=server.url, model="gpt-realtime", **options
        )
        self.heard: list[Any] = []
        self.wire: list[dict[str, Any]] = []
        for name in ("mcp_tools_changed", "tool_approval_requested", "mcp_tool_call_completed", "agent_end"):
            self.session.on(name, self.heard.append)
        self.session.on("error", self.heard.append)
        self.session.transport.on("*", self.wire.append)

    def of(self, name: str) -> list[Any]:
        return [event for event in self.heard if event.name == name]

    def types(self, *of: str) -> list[str]:
        return [event["type"] for event in self.wire if not of or event["type"].startswith(of)]

    def said(self, words: str) -> bool:
        return any(words in event.text for event in self.of("agent_end"))


@contextlib.asynccontextmanager
async def talk(
    http_mcp: Any, *, limits: Limits | None = None, label: str = "weather", **options: Any
) -> AsyncIterator[Talk]:
    session_options = options.pop("session", {})
    tool = hosted_mcp_tool(label, **{"server_url": http_mcp.url, "require_approval": "never", **options})
    agent = RealtimeAgent("Helper", instructions="You are a helper.", tools=[tool])
    settings = {"limits": limits} if limits is not None else {}
    async with EmbeddedServer(
        synthesizer="tone",
        transcriber="none",
        vad="energy",
        responder="rules",
        mcp_servers=[http_mcp.url],
        **settings,
    ) as server:
        made = Talk(server, agent, **session_options)
        await made.session.connect(api_key="any")
        yield made
        await made.session.close()


async def test_listed_called_and_spoken_about(http_mcp: Any) -> None:
    async with talk(
        http_mcp, authorization="secret", headers={"X-Team": "blue"}, allowed_tools=["get_weather"]
    ) as made:
        await until(lambda: made.of("mcp_tools_changed"))
        (changed,) = made.of("mcp_tools_changed")
        assert [tool["name"] for tool in changed.tools] == ["get_weather"]
        assert made.session.available_mcp_tools == changed.tools
        assert changed.tools[0]["input_schema"]["required"] == ["city"]
        await made.session.send_message("What is the weather in Oslo?")
        await until(lambda: made.said("sunny in Oslo"))
        (completed,) = made.of("mcp_tool_call_completed")
        assert (completed.item.name, completed.item.output) == ("get_weather", "It is sunny in Oslo.")
        assert completed.item.server_label == "weather"
        assert not made.of("error")
        # The call's own response, and one that follows it.
        assert len(made.of("agent_end")) == 2
        assert made.types("response.mcp_call") == [
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
        ]
        assert made.types("mcp_list_tools") == ["mcp_list_tools.in_progress", "mcp_list_tools.completed"]
    assert http_mcp.calls == ["get_weather Oslo"]
    assert {request.get("authorization") for request in http_mcp.requests} == {"Bearer secret"}
    assert {request.get("x-team") for request in http_mcp.requests} == {"blue"}


async def test_without_an_automatic_response(http_mcp: Any) -> None:
    async with talk(http_mcp, session={"automatically_trigger_response_for_mcp_tool_calls": False}) as made:
        await until(lambda: made.of("mcp_tools_changed"))
        await made.session.send_message("What is the weather in Oslo?")
        await until(lambda: made.of("mcp_tool_call_completed") and made.of("agent_end"))
        await made.session.transport.send_event({"type": "conversation.item.retrieve", "item_id": "none"})
        await until(lambda: made.of("error"))  # all that was sent before has been answered
        assert len(made.of("agent_end")) == 1
        await made.session.transport.request_response()
        await until(lambda: made.said("sunny in Oslo"))


async def test_behaviour_34_133_approved_for_good(http_mcp: Any) -> None:
    async with talk(http_mcp, require_approval={"never": {"tool_names": ["add"]}}) as made:
        await until(lambda: made.of("mcp_tools_changed"))
        await made.session.send_message("What is the weather in Oslo?")
        await until(lambda: made.of("tool_approval_requested"))
        (request,) = made.of("tool_approval_requested")
        assert (request.kind, request.server_label, request.tool_name) == ("mcp", "weather", "get_weather")
        assert request.arguments == {"city": "Oslo"}
        assert http_mcp.calls == []
        assert made.session.pending_mcp_approvals == (request.item,)
        sent: list[Any] = []
        made.session.transport.on("sent", sent.append)
        await made.session.approve(request, always=True)
        assert sent[0]["previous_item_id"] == request.item.item_id
        assert sent[0]["item"] == {
            "type": "mcp_approval_response",
            "approval_request_id": request.item.item_id,
            "approve": True,
        }
        await until(lambda: made.said("sunny in Oslo"))
        assert made.of("mcp_tool_call_completed")[0].item.approval_request_id == request.item.item_id
        await made.session.approve(request)  # decided already
        await made.session.send_message("What is the weather in Rome?")
        await until(lambda: made.said("sunny in Rome"))
        assert len(made.of("tool_approval_requested")) == 1
    assert http_mcp.calls == ["get_weather Oslo", "get_weather Rome"]
    with pytest.raises(UserError, match="connection that has ended"):
        await made.session.approve(request)


async def test_rejected(http_mcp: Any) -> None:
    async with talk(http_mcp, require_approval="always") as made:
        await until(lambda: made.of("mcp_tools_changed"))
        await made.session.send_message("What is the weather in Oslo?")
        await until(lambda: made.of("tool_approval_requested"))
        await made.session.reject(made.of("tool_approval_requested")[0], message="Not today")
        await until(lambda: made.said("Not today"))
    assert http_mcp.calls == []


async def test_a_server_that_is_not_on_the_list_is_never_contacted(http_mcp: Any) -> None:
    elsewhere = http_mcp.url.replace("/mcp", "/other")
    async with talk(http_mcp, server_url=elsewhere) as made:
        await until(lambda: made.of("error"))
        (error,) = made.of("error")
        assert error.error.code == "mcp_list_tools_failed"
        assert f"'{elsewhere}' is not among the URLs that this server may contact" in str(error.error)
        assert made.types("mcp_list_tools") == ["mcp_list_tools.in_progress", "mcp_list_tools.failed"]
        assert not made.of("mcp_tools_changed")
    assert http_mcp.requests == []


async def test_a_connector_is_refused(http_mcp: Any) -> None:
    async with talk(http_mcp, server_url=None, connector_id="connector_x") as made:
        await until(lambda: made.of("error"))
        assert "Connectors exist only at the service" in str(made.of("error")[0].error)


async def test_redirects_are_not_followed(http_mcp: Any) -> None:
    listed = http_mcp.url.replace("/mcp", "/elsewhere")
    agent = RealtimeAgent("Helper", tools=[hosted_mcp_tool("w", server_url=listed)])
    async with EmbeddedServer(
        synthesizer="tone", transcriber="none", vad="energy", mcp_servers=listed
    ) as server:
        made = Talk(server, agent)
        await made.session.connect(api_key="any")
        await until(lambda: made.of("error"))
        await made.session.close()
    assert "could not be listed" in str(made.of("error")[0].error)
    assert http_mcp.calls == []
    assert len(http_mcp.requests) >= 1


@contextlib.asynccontextmanager
async def wire(http_mcp: Any, script: str, **limits: Any) -> AsyncIterator[Any]:
    """A bare client of a server whose responder follows a script."""
    from voxwire.server.speech.responder_script import ScriptResponder

    async with (
        EmbeddedServer(
            synthesizer="tone",
            transcriber="none",
            vad="energy",
            responder=ScriptResponder(text=script),
            mcp_servers=[http_mcp.url],
            limits=Limits(**limits),
        ) as server,
        websockets.connect(
            f"{server.url}?model=gpt-realtime", additional_headers={"Authorization": "Bearer x"}
        ) as socket,
    ):
        tool = {
            "type": "mcp",
            "server_label": "w",
            "server_url": http_mcp.url,
            "require_approval": "never",
        }
        await socket.send(
            json.dumps({"type": "session.update", "session": {"type": "realtime", "tools": [tool]}})
        )
        await arrives(socket, "mcp_list_tools.completed")
        await socket.send(
            json.dumps({"type": "response.create", "response": {"output_modalities": ["text"]}})
        )
        yield socket


async def arrives(socket: Any, type: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            event: dict[str, Any] = json.loads(await socket.recv())
            if event["type"] == type:
                return event


def one_call(name: str, arguments: str = "{}") -> str:
    return f"turns: [{{tool_call: {{name: {name}, arguments: {arguments}}}}}]"


@pytest.mark.parametrize(
    ("script", "limits", "error"),
    [
        (one_call("add", "'[1]'"), {}, "The arguments are not a JSON object."),
        (one_call("add", "'{'"), {}, "Expecting property name"),
        (one_call("add", "{a: x, b: 1}"), {}, "validation error"),
        (one_call("slow"), {"mcp_call_seconds": 0.2}, "The tool did not answer within 0.2 s."),
    ],
)
async def test_calls_that_fail(http_mcp: Any, script: str, limits: Any, error: str) -> None:
    async with wire(http_mcp, script, **limits) as socket:
        item = (await arrives(socket, "response.output_item.done"))["item"]
        assert item["error"]["type"] == "tool_execution_error"
        assert error in item["error"]["message"]
        assert (await arrives(socket, "response.done"))["response"]["status"] == "completed"


async def test_a_server_that_has_gone(http_mcp: Any) -> None:
    script = "turns: [{do: [{delay: 0.3}, {tool_call: {name: add, arguments: {a: 1, b: 2}}}]}]"
    async with wire(http_mcp, script) as socket:
        await http_mcp.stop()
        item = (await arrives(socket, "response.output_item.done"))["item"]
        assert item["error"]["type"] == "http_error"


async def test_a_long_result_is_cut(http_mcp: Any) -> None:
    script = one_call("get_weather", "{city: " + "x" * 100 + "}")
    async with wire(http_mcp, script, mcp_output_characters=20) as socket:
        item = (await arrives(socket, "response.output_item.done"))["item"]
        assert item["output"] == "It is sunny in xxxxx\n[cut off after 20 of 116 characters]"


async def test_a_cancelled_response_cancels_the_call_at_the_mcp_server(http_mcp: Any) -> None:
    async with wire(http_mcp, one_call("slow")) as socket:
        await asyncio.wait_for(http_mcp.slow_running.wait(), 10)
        await socket.send(json.dumps({"type": "response.cancel"}))
        await asyncio.wait_for(http_mcp.slow_cancelled.wait(), 10)
        done = await arrives(socket, "response.done")
        assert done["response"]["output"][0]["error"]["message"] == "The call was cancelled."


async def test_the_end_of_a_session_ends_its_calls(http_mcp: Any) -> None:
    async with wire(http_mcp, one_call("slow")):
        await asyncio.wait_for(http_mcp.slow_running.wait(), 10)
    await asyncio.wait_for(http_mcp.slow_cancelled.wait(), 10)


async def test_a_listing_that_takes_too_long() -> None:
    ended = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    silent = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}/mcp"
    agent = RealtimeAgent("Helper", tools=[hosted_mcp_tool("w", server_url=url)])
    async with EmbeddedServer(
        synthesizer="tone",
        transcriber="none",
        vad="energy",
        mcp_servers=url,
        limits=Limits(mcp_list_seconds=0.2),
    ) as server:
        made = Talk(server, agent)
        await made.session.connect(api_key="any")
        await until(lambda: made.of("error"))
        await made.session.close()
    await asyncio.wait_for(ended.wait(), 10)
    silent.close()
    await silent.wait_closed()
    assert "0.2 s" in str(made.of("error")[0].error)


@pytest.mark.parametrize(
    ("listed", "asked", "found"),
    [
        ("https://example.com/mcp", "https://example.com/mcp", True),
        ("https://example.com/mcp", "https://EXAMPLE.com:443/mcp/", True),
        ("https://example.com/mcp", "http://example.com/mcp", False),
        ("https://example.com/mcp", "https://example.com/mcp/../admin", False),
        ("https://example.com/mcp", "https://example.com/mcp?x=1", False),
        ("https://example.com/mcp", "https://example.com.evil.net/mcp", False),
        ("https://example.com/mcp", "https://a@example.com/mcp", False),
        ("https://example.com/mcp", "https://example.com:99999/mcp", False),
        ("https://example.com/mcp", "file:///mcp", False),
        ("https://example.com/mcp", 3, False),
    ],
)
def test_the_list_of_servers(listed: str, asked: Any, found: bool) -> None:
    assert AllowList([listed]).find(asked) == (listed if found else None)
