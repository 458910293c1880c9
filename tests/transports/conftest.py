from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire.testing.server import ScriptedConnection, ScriptedServer
from voxwire.transports.websocket import OpenAIRealtimeWebSocket


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Bench:
    """A scripted service and clients of it."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.clients: list[OpenAIRealtimeWebSocket] = []
        self.until = until

    def client(self, **options: Any) -> OpenAIRealtimeWebSocket:
        options = {"url": self.server.url, "api_key": "sk-test", "proxy": None, **options}
        client = OpenAIRealtimeWebSocket(**options)
        self.clients.append(client)
        return client

    async def pair(
        self, session: dict[str, Any] | None = None, **options: Any
    ) -> tuple[OpenAIRealtimeWebSocket, ScriptedConnection]:
        client = self.client(**options)
        return client, await self.connect(client, session)

    async def connect(
        self, client: OpenAIRealtimeWebSocket, session: dict[str, Any] | None = None
    ) -> ScriptedConnection:
        config = {"instructions": "be brief"}
        connecting = asyncio.create_task(client.connect(initial_session_config=config))
        service = await self.server.accept()
        await service.greet(session)
        await connecting
        return service


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """No task and no socket may be left when a test is over."""
    before = asyncio.all_tasks()
    async with ScriptedServer() as server:
        bench = Bench(server)
        yield bench
        for client in bench.clients:
            await client.close()
    known = before | {asyncio.current_task()}
    with contextlib.suppress(TimeoutError):
        await until(lambda: not asyncio.all_tasks() - known, 2)
    assert not asyncio.all_tasks() - known
    bench.clients.clear()
    gc.collect()  # a socket that was not closed warns now, and a warning is an error
