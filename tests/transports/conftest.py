from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire.carriers.base import CarrierClosed, CarrierRequest
from voxwire.carriers.memory_media import MemoryMediaCarrier, memory_media_pair
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


class MediaService:
    """A scripted service at the far ends of in-process calls; the client's `carrier=` is `connect`.

    It greets, confirms every configuration, and writes down what it gets: `events`, and `heard` of the last call.
    """

    def __init__(self, *, greets: bool = True, **options: Any) -> None:
        self.greets = greets
        self.options = options
        self.calls: list[MemoryMediaCarrier] = []
        self.clients: list[MemoryMediaCarrier] = []
        self.events: list[dict[str, Any]] = []
        self.at: list[float] = []
        self.heard = bytearray()
        self.how: CarrierClosed | None = None
        self.sessions: dict[str, Any] = {}

    def connect(self) -> MemoryMediaCarrier:
        near, far = memory_media_pair(**self.options)
        self.clients.append(near)
        self.calls.append(far)
        self._task = asyncio.get_running_loop().create_task(self._answer(far))
        return near

    async def _answer(self, far: MemoryMediaCarrier) -> None:
        self.heard.clear()
        await far.open(CarrierRequest("memory:"), self)
        if self.greets:
            self.send("session.created", session={"type": "realtime"})

    def message(self, data: str | bytes, /) -> None:
        event = json.loads(data)
        self.events.append(event)
        self.at.append(asyncio.get_running_loop().time())
        if event["type"] == "session.update" and self.greets:
            self.send("session.updated", session={**event["session"], **self.sessions})

    def media(self, pcm: bytes, /) -> None:
        self.heard += pcm

    def media_state(self, state: str, reason: str, /) -> None:
        pass

    def closed(self, how: CarrierClosed, /) -> None:
        self.how = how

    def send(self, type: str, **fields: Any) -> None:
        self.calls[-1].send(json.dumps({"type": type, "event_id": "e", **fields}))

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events if event["type"] != "session.update"]

    async def say(self, response_id: str, item_id: str, pcm: bytes) -> None:
        """A reply from its creation to its last sample, the events in the order in which a service sends them."""
        ids = {"response_id": response_id, "item_id": item_id, "content_index": 0}
        self.send("response.created", response={"id": response_id, "conversation_id": "conv"})
        item = {"id": item_id, "type": "message", "role": "assistant", "content": []}
        self.send("response.output_item.added", response_id=response_id, item=item)
        self.send("response.content_part.added", **ids, part={"type": "audio"})
        self.send("response.output_audio_transcript.delta", **ids, delta="one two three four")
        self.send("output_audio_buffer.started", response_id=response_id)
        self.send("response.output_audio.done", **ids)
        self.send("response.done", response={"id": response_id, "status": "completed", "output": []})
        for start in range(0, len(pcm), 4800):
            while self.calls[-1].media_queued_ms() > 200:
                await asyncio.sleep(0.02)
            self.calls[-1].send_media(pcm[start : start + 4800])
        while self.calls[-1].media_queued_ms():
            await asyncio.sleep(0.02)
        self.send("output_audio_buffer.stopped", response_id=response_id)


@pytest.fixture
def media_service() -> type[MediaService]:
    return MediaService


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
