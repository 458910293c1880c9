"""Local MCP servers, against real ones."""

from __future__ import annotations

import asyncio
import builtins
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from voxwire import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    McpHttpServer,
    McpStdioServer,
    McpToolError,
    MissingExtraError,
    NotConnectedError,
)
from voxwire.errors import ConnectTimeout
from voxwire.mcp.results import result_text, result_value
from voxwire.tools.images import ToolImage


async def text(server: Any, name: str, **arguments: Any) -> str:
    return result_text(await server.call_tool(name, arguments))


async def test_http_tools_are_listed_and_called(http_mcp: Any) -> None:
    async with McpHttpServer(http_mcp.url, {"X-Key": "k"}) as server:
        listed = {tool["name"]: tool for tool in await server.list_tools()}
        assert listed.keys() == {"get_weather", "add", "picture", "slow"}
        assert listed["add"]["inputSchema"]["required"] == ["a", "b"]
        assert listed["get_weather"]["annotations"]["readOnlyHint"] is True
        assert await text(server, "get_weather", city="Oslo") == "It is sunny in Oslo."
        assert await text(server, "add", a=1, b=2) == "3"
        words, image = result_value(await server.call_tool("picture"))
        assert words == "Here it is."
        assert isinstance(image, ToolImage)
        assert image.url.startswith("data:image/png;base64,iVBOR")
    assert all(request["x-key"] == "k" for request in http_mcp.requests)


async def test_a_failing_tool_is_a_result_and_becomes_an_error(http_mcp: Any) -> None:
    async with McpHttpServer(http_mcp.url) as server:
        result = await server.call_tool("add", {"a": "x"})
        assert result["isError"] is True
        with pytest.raises(McpToolError, match="validation error"):
            result_value(result)


async def test_the_filter_and_the_cache(http_mcp: Any) -> None:
    asked: list[str] = []

    def wanted(name: str) -> bool:
        asked.append(name)
        return name == "add"

    async with McpHttpServer(http_mcp.url, tools=wanted) as server:
        assert [tool["name"] for tool in await server.list_tools()] == ["add"]
        number = len(asked)
        await server.list_tools()
        assert len(asked) == number
        server.forget_tools()
        await server.list_tools()
        assert len(asked) == 2 * number
    async with McpHttpServer(http_mcp.url, tools=["slow", "nope"], cache_tools=False) as server:
        for _ in range(2):
            assert [tool["name"] for tool in await server.list_tools()] == ["slow"]


async def test_it_connects_again_after_the_server_was_away(http_mcp: Any) -> None:
    async with McpHttpServer(http_mcp.url, name="weather") as server:
        assert await text(server, "add", a=1, b=2) == "3"
        await http_mcp.stop()
        # It may have been carried out, for all we know, so it is not repeated.
        with pytest.raises(ConnectionLost, match=r"MCP server 'weather': .*not known whether"):
            await server.call_tool("add", {"a": 1, "b": 2})
        with pytest.raises(ConnectError, match="MCP server 'weather' could not be reached"):
            await server.call_tool("add", {"a": 1, "b": 2})
        await http_mcp.start()
        assert await text(server, "add", a=2, b=2) == "4"
        assert len(await server.list_tools()) == 4


async def test_a_call_that_is_given_up_is_cancelled_at_the_server(http_mcp: Any) -> None:
    async with McpHttpServer(http_mcp.url) as server:
        waiting = asyncio.ensure_future(server.call_tool("slow"))
        async with asyncio.timeout(10):
            await http_mcp.slow_running.wait()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await http_mcp.slow_cancelled.wait()
        assert await text(server, "add", a=1, b=1) == "2"


async def test_closing_ends_a_call(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url)
    await server.connect()
    waiting = asyncio.ensure_future(server.call_tool("slow"))
    await http_mcp.slow_running.wait()
    await server.close()
    with pytest.raises(ConnectionLost):
        await waiting


async def test_a_program_on_its_standard_input(program: list[str], tmp_path: Path) -> None:
    server = McpStdioServer(program[0], program[1:], env={"WORD": "hi"}, cwd=tmp_path)
    async with server:
        assert server.connected
        pid, folder, word = (await text(server, "where")).split()
        assert (Path(folder), word) == (tmp_path.resolve(), "hi")
        assert [tool["name"] for tool in await server.list_tools()] == ["where", "die", "odd.name/x"]
    assert not server.connected
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


async def test_a_program_that_dies_is_started_again(program: list[str]) -> None:
    async with McpStdioServer(program[0], program[1:], name="prog") as server:
        first = (await text(server, "where")).split()[0]
        with pytest.raises(ConnectionLost, match="prog"):
            await server.call_tool("die")
        second = (await text(server, "where")).split()[0]
        assert first != second
        # Killed while nobody asks: noticed before the next call is made.
        os.kill(int(second), 9)
        connection = server._connection
        assert connection is not None
        async with asyncio.timeout(10):
            while not (connection._peer is None or connection._peer.lost):
                await asyncio.sleep(0.005)
        assert (await text(server, "where")).split()[0] not in (first, second)
        assert len(await server.list_tools()) == 3


async def test_users_are_counted(http_mcp: Any) -> None:
    server = McpHttpServer(http_mcp.url)
    await server.connect()
    async with server:
        pass
    assert await text(server, "add", a=1, b=1) == "2"
    await server.cleanup()
    await server.close()
    with pytest.raises(NotConnectedError, match="call connect"):
        await server.list_tools()
    await server.connect()
    assert len(await server.list_tools()) == 4
    await server.close()


async def test_what_cannot_be_reached_is_named() -> None:
    with pytest.raises(ConnectError, match="MCP server 'nobody' could not be reached"):
        await McpHttpServer("http://127.0.0.1:9/mcp", name="nobody").connect()
    with pytest.raises(ConnectError, match="MCP server 'no-such-program'"):
        await McpStdioServer("/no/no-such-program").connect()
    silent = McpStdioServer(
        sys.executable, ["-c", "import sys; sys.stdin.read()"], name="silent", connect_timeout=0.2
    )
    with pytest.raises(ConnectTimeout, match=r"'silent' did not answer within 0\.2 s"):
        await silent.connect()


async def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "mcp" and not args[3:] == (1,):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for server in (McpHttpServer("http://127.0.0.1:9/mcp"), McpStdioServer("x")):
        with pytest.raises(MissingExtraError, match=r"voxwire\[mcp\]"):
            await server.connect()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: McpHttpServer("ftp://x"), "must begin with http"),
        (lambda: McpHttpServer("http://x", name=" "), "must not be blank"),
        (lambda: McpHttpServer("http://x", tools="add"), "must be a list of names, got 'add'"),
        (
            lambda: McpHttpServer("http://x", timeout=0),
            "timeout of MCP server 'http://x' must be more than 0 s",
        ),
        (lambda: McpStdioServer("x", connect_timeout=-1), "connect_timeout of MCP server 'x'"),
        (lambda: McpStdioServer("x", "-v"), "args must be a list of strings, got '-v'"),
    ],
)
def test_what_cannot_be_used_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()


def test_no_secret_is_shown() -> None:
    assert (
        repr(McpHttpServer("http://x/mcp?key=k", {"Authorization": "s"})) == "McpHttpServer('http://x/mcp')"
    )
    assert repr(McpStdioServer("/bin/x", env={"K": "s"})) == "McpStdioServer('x')"


async def test_a_list_is_asked_for_again_by_itself(http_mcp: Any) -> None:
    """Listing twice does no harm, so that nobody notices a connection that dropped meanwhile."""
    async with McpHttpServer(http_mcp.url, cache_tools=False) as server:
        connection = server._connection
        assert connection is not None
        asked: list[int] = []

        async def once_broken(peer: Any) -> Any:
            asked.append(connection.openings)
            if len(asked) == 1:
                raise ConnectionLost("dropped")
            return await peer.list_tools()

        assert len(await connection.request(once_broken, repeatable=True)) == 4
        assert asked == [1, 2]
    with pytest.raises(ConnectionLost, match="was closed"):
        await connection.open()


async def test_a_legacy_server_that_forgot_the_session(http_mcp: Any) -> None:
    """What older servers answer (404) after they were started anew counts as a dropped connection."""
    import mcp_types
    from mcp.shared.exceptions import MCPError

    async with McpHttpServer(http_mcp.url) as server:
        connection = server._connection
        assert connection is not None
        assert connection._peer is not None
        for error in (
            MCPError(mcp_types.INVALID_REQUEST, "Session terminated"),
            MCPError(mcp_types.CONNECTION_CLOSED, "Connection closed"),
            OSError("reset"),
        ):

            async def broken(name: str, arguments: Any, error: Exception = error) -> Any:
                raise error

            connection._peer._client = type("Client", (), {"call_tool": staticmethod(broken)})  # type: ignore[attr-defined]
            with pytest.raises(ConnectionLost):
                await server.call_tool("add", {"a": 1, "b": 2})
            assert await text(server, "add", a=1, b=2) == "3"  # connected again
        connection._peer._client = type(  # type: ignore[attr-defined]
            "Client",
            (),
            {"call_tool": staticmethod(lambda name, arguments: _raise(MCPError(-32602, "no such tool")))},
        )
        with pytest.raises(McpToolError, match="no such tool") as caught:
            await server.call_tool("add")
        assert caught.value.code == -32602


async def _raise(error: Exception) -> None:
    raise error
