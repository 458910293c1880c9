"""A session on a scripted transport, and the words to drive it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire import FunctionCall, RealtimeAgent, RealtimeSession, TurnDone, TurnStarted, Usage
from voxwire.testing import RecordedCall, ScriptedRealtimeTransport


class Stage:
    """A session, and the service it believes to be connected to."""

    def __init__(self) -> None:
        self.transport = ScriptedRealtimeTransport()
        self.session: RealtimeSession
        self.seen: list[Any] = []
        self._calls = 0

    async def connect(self, agent: RealtimeAgent, *, listen: tuple[str, ...] = (), **options: Any) -> None:
        self.session = RealtimeSession(agent, transport=self.transport, **options)
        for name in listen:
            self.session.on(name, self.seen.append)
        await self.session.connect()

    def start(self, response_id: str = "r1") -> None:
        self.transport.emit(TurnStarted(response_id))

    def done(self, response_id: str = "r1", *output: dict[str, Any], status: str = "completed") -> None:
        self.transport.emit(TurnDone(response_id, status, None, output, Usage()))

    def call(
        self, name: str, arguments: str = "{}", *, response_id: str | None = "r1", call_id: str | None = None
    ) -> str:
        self._calls += 1
        call_id = call_id or f"c{self._calls}"
        self.transport.emit(FunctionCall(call_id, name, arguments, f"i{self._calls}", response_id))
        return call_id

    def sent(self, method: str = "send_function_call_output") -> list[RecordedCall]:
        return [call for call in self.transport.calls if call.method == method]

    def outputs(self) -> dict[str, str]:
        """What each call was answered with; a call answered twice fails the test."""
        found: dict[str, str] = {}
        for call in self.sent():
            assert call["call"].call_id not in found
            found[call["call"].call_id] = call["output"]
        return found

    def names(self) -> list[str]:
        return [event.name for event in self.seen]

    async def until(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                await asyncio.sleep(0)

    async def answered(self, *call_ids: str) -> dict[str, str]:
        await self.until(lambda: self.outputs().keys() >= set(call_ids))
        return self.outputs()

    async def settled(self) -> None:
        """Nothing runs any more: no call, and no step that a finished one has set off."""
        await self.until(lambda: self.session._dispatcher.running == 0)
        for _ in range(3):
            await asyncio.sleep(0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    if hasattr(made, "session"):
        await made.session.close()
