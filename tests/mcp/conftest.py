"""Real MCP servers: one over streamable HTTP in this process, one as a program on its standard input."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from mcp.server.mcpserver import Image, MCPServer
from mcp_types import ToolAnnotations

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

PROGRAM = """
import os, sys
from mcp.server.mcpserver import MCPServer
server = MCPServer("program", log_level="CRITICAL")

@server.tool()
def where() -> str:
    "Say which process this is and where."
    return f"{os.getpid()} {os.getcwd()} {os.environ.get('WORD', '')}"

@server.tool()
def die() -> str:
    "End without a word."
    os._exit(3)

@server.tool(name="odd.name/x")
def odd() -> str:
    "A tool whose name the service would refuse."
    return "odd"

server.run()
"""


def make_mcp_server(state: HttpMcpServer) -> MCPServer:
    server = MCPServer("test", log_level="CRITICAL")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def get_weather(city: str) -> str:
        """Get the weather for a city."""
        state.calls.append(f"get_weather {city}")
        return f"It is sunny in {city}."

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        state.calls.append(f"add {a} {b}")
        return a + b

    @server.tool(structured_output=False)
    def picture() -> list[Any]:
        """Take a picture."""
        return ["Here it is.", Image(data=PIXEL, format="png")]

    @server.tool()
    async def slow() -> str:
        """Take a long time."""
        state.calls.append("slow")
        state.slow_running.set()
        try:
            await state.finish.wait()
        except asyncio.CancelledError:
            state.slow_cancelled.set()
            raise
        return "done at last"

    return server


class HttpMcpServer:
    """An MCP server on a port of its own; it can be stopped and started again on the same port."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.requests: list[dict[str, str]] = []
        self.finish = asyncio.Event()
        self.slow_running = asyncio.Event()
        self.slow_cancelled = asyncio.Event()
        self.port = 0
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def start(self) -> None:
        app = make_mcp_server(self).streamable_http_app()

        async def watched(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.requests.append({key.decode(): value.decode() for key, value in scope["headers"]})
                if scope["path"].startswith("/elsewhere"):
                    target = f"{self.url}".encode()
                    await send(
                        {"type": "http.response.start", "status": 307, "headers": [(b"location", target)]}
                    )
                    await send({"type": "http.response.body", "body": b""})
                    return
            await app(scope, receive, send)

        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            watched, log_config=None, lifespan="on", timeout_graceful_shutdown=1, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        self._task = asyncio.create_task(self._server.serve(sockets=[listening]))
        async with asyncio.timeout(10):
            while not self._server.started:
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self.finish.set()
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
        self._server = self._task = None


@pytest.fixture
async def http_mcp() -> AsyncIterator[HttpMcpServer]:
    server = HttpMcpServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def program(tmp_path: Path) -> list[str]:
    """Command and arguments of a stdio server."""
    path = tmp_path / "server.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return [sys.executable, str(path)]
