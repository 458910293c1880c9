"""Runs beside openai-agents: one of its MCP servers in a session of ours. Prints what came of it as JSON."""

from __future__ import annotations

import asyncio
import json
import sys

from agents.mcp import MCPServerStdio

from voxwire import FunctionCall, RealtimeAgent, RealtimeSession
from voxwire.testing import ScriptedRealtimeTransport

PROGRAM = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("double", log_level="CRITICAL")

@server.tool()
def double(number: int) -> int:
    "Double a number."
    return 2 * number

@server.tool()
def erase() -> str:
    "Erase everything."
    return "erased"

server.run()
"""


async def main() -> None:
    server = MCPServerStdio(
        params={"command": sys.executable, "args": ["-c", PROGRAM]},
        client_session_timeout_seconds=30,
        require_approval={"always": {"tool_names": ["erase"]}},
    )
    transport = ScriptedRealtimeTransport()
    session = RealtimeSession(RealtimeAgent("A", mcp_servers=[server]), transport=transport)
    asked: list[str] = []

    async def refuse(request):
        asked.append(request.tool.name)
        await session.reject(request, message="No.")

    session.on("tool_approval_requested", refuse)
    async with session:
        tools = transport.calls[0]["initial_session_config"]["tools"]
        transport.emit(FunctionCall("c1", "double", '{"number": 21}', "i1", "r"))
        transport.emit(FunctionCall("c2", "erase", "{}", "i2", "r"))
        outputs: dict[str, str] = {}
        async with asyncio.timeout(30):
            while len(outputs) < 2:
                await asyncio.sleep(0.01)
                outputs = {
                    call["call"].tool_name: call["output"]
                    for call in transport.calls
                    if call.method == "send_function_call_output"
                }
    result = {
        "tools": [entry["name"] for entry in tools],
        "outputs": outputs,
        "asked": asked,
        "closed": server.session is None,
    }
    sys.stdout.write(json.dumps(result) + "\n")


asyncio.run(main())
