"""Random conversations with tools, approvals, handoffs, interruptions and lost connections, on a real socket.

Whatever happens, in whatever order: every call of a connection that lives is answered once, on that
connection; what was not approved did not run; nothing runs twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxwire import RealtimeAgent, RealtimeSession, RunContext, ToolApprovalRequested, UserError, tool
from voxwire.testing import ScriptedConnection, ScriptedServer, response_events

STEPS = st.one_of(
    st.tuples(
        st.just("call"), st.sampled_from(["quick", "slow", "ask", "fail", "transfer_to_B", "transfer_to_A"])
    ),
    st.tuples(
        st.sampled_from(
            [
                "release",
                "approve",
                "reject",
                "stale",
                "replay",
                "interrupt",
                "speech",
                "message",
                "drop",
                "turn",
            ]
        ),
        st.none(),
    ),
)


class World:
    """A session, the service it talks to, and what was seen of both."""

    def __init__(self, server: ScriptedServer, *, cancel: bool) -> None:
        self.server = server
        self.release = asyncio.Event()
        self.runs: Counter[str] = Counter()
        self.requests: list[ToolApprovalRequested] = []
        self.approved: set[str] = set()
        self.made: dict[str, int] = {}
        """Call id -> connection."""
        self.asks: set[str] = set()
        """The calls that need approval."""
        self.seen: set[str] = set()
        """The calls that have reached the session."""
        self.answers: dict[str, list[tuple[int, str]]] = {}
        self.connection = 0
        self.turns = 0
        self.last: list[dict[str, Any]] = []
        self.creates = 0
        self.session = RealtimeSession(
            self._agents(), transport="websocket", url=server.url, cancel_tools_on_interrupt=cancel
        )
        self.session.on("tool_approval_requested", self.requests.append)
        self.session.on("error", lambda event: None)
        self.session.on("function_call", lambda event: self.seen.add(event.call_id))
        self.service: ScriptedConnection
        self._playing: asyncio.Task[None]

    def _agents(self) -> RealtimeAgent:
        def count(context: RunContext[Any]) -> str:
            assert context.call is not None
            self.runs[context.call.call_id] += 1
            return f"{context.agent.name} has run"

        async def quick(context: RunContext[Any]) -> str:
            return count(context)

        async def ask(context: RunContext[Any]) -> str:
            return count(context)

        async def slow(context: RunContext[Any]) -> str:
            words = count(context)
            await self.release.wait()
            return words

        async def fail(context: RunContext[Any]) -> str:
            raise LookupError(count(context))

        tools = [tool(quick), tool(slow), tool(fail), tool(needs_approval=True)(ask)]
        first, second = (RealtimeAgent(name, tools=list(tools)) for name in "AB")
        first.handoffs.append(second)
        second.handoffs.append(first)
        return first

    # -- the service

    async def connect(self) -> None:
        connecting = asyncio.ensure_future(self.session.connect(api_key="test"))
        self.service = await self.server.accept()
        await self.service.greet()
        await connecting
        self.connection += 1
        self._playing = asyncio.ensure_future(self._play(self.service, self.connection))

    async def _play(self, service: ScriptedConnection, connection: int) -> None:
        """Confirm, answer and write down, as a service does."""
        with contextlib.suppress(Exception):
            while (event := await service._next()) is not None:
                match event["type"]:
                    case "session.update":
                        await service.send({"type": "session.updated", "session": event["session"]})
                    case "response.create":
                        self.creates += 1
                        reply = f"reply_{connection}_{self.creates}"
                        await service.respond(text="Yes.", response_id=reply, item_id=f"item_{reply}")
                    case "conversation.item.create" if event["item"]["type"] == "function_call_output":
                        item = event["item"]
                        self.answers.setdefault(item["call_id"], []).append((connection, item["output"]))
                    case _:
                        pass

    async def _send(self, *events: dict[str, Any]) -> None:
        for event in events:
            await self.service.send(event)

    # -- what may happen

    async def step(self, name: str, what: str | None) -> None:
        await getattr(self, f"_{name}")(*([what] if what is not None else []))
        for _ in range(5):
            await asyncio.sleep(0)

    async def _call(self, name: str) -> None:
        self.turns += 1
        call_id = f"call_{self.turns}"
        self.made[call_id] = self.connection
        if name == "ask":
            self.asks.add(call_id)
        self.last = list(
            response_events(
                response_id=f"r{self.turns}", item_id=f"i{self.turns}", call=(name, "{}"), call_id=call_id
            )
        )
        await self._send(*self.last)
        async with asyncio.timeout(5):
            while call_id not in self.seen:
                await asyncio.sleep(0)

    async def _replay(self) -> None:
        await self._send(*(event for event in self.last if event["type"] == "response.output_item.done"))

    async def _release(self) -> None:
        self.release.set()
        self.release = asyncio.Event()

    async def _approve(self) -> None:
        for request in self.session.pending_approvals[:1]:
            self.approved.add(request.call.call_id)
            await self.session.approve(request)

    async def _reject(self) -> None:
        for request in self.session.pending_approvals[:1]:
            await self.session.reject(request, message="No.")

    async def _stale(self) -> None:
        for request in self.requests:
            if self.made[request.call.call_id] != self.connection:
                try:
                    await self.session.approve(request)
                except UserError:
                    continue
                raise AssertionError(f"{request.call.call_id} was approved on another connection")

    async def _interrupt(self) -> None:
        await self.session.interrupt()

    async def _speech(self) -> None:
        await self._send(
            {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 0},
            {"type": "input_audio_buffer.speech_stopped", "item_id": "u", "audio_end_ms": 9},
        )

    async def _message(self) -> None:
        await self.session.send_message("Hello")

    async def _turn(self) -> None:
        self.turns += 1
        await self._send(*response_events(response_id=f"r{self.turns}", item_id=f"i{self.turns}", text="Hm."))

    async def _drop(self) -> None:
        self.service.drop()
        await asyncio.wait_for(self.session.wait_closed(), 5)
        await asyncio.wait_for(self._playing, 5)
        self.last = []
        await self.connect()

    # -- what must hold

    async def finish(self) -> None:
        """Let everything come to its end; every call of this connection is answered."""
        mine = {call_id for call_id, connection in self.made.items() if connection == self.connection}
        async with asyncio.timeout(10):
            while not mine <= self.answers.keys():
                await self._approve()
                await self._release()
                await asyncio.sleep(0.001)
        await self.session.close()
        await asyncio.wait_for(self._playing, 5)

    def check(self) -> None:
        for call_id, answers in self.answers.items():
            assert len(answers) == 1, f"{call_id} was answered {answers}"
            assert answers[0][0] == self.made[call_id], f"{call_id} was answered on another connection"
        assert all(count == 1 for count in self.runs.values()), self.runs
        asked = [request.call.call_id for request in self.requests]
        assert len(set(asked)) == len(asked)
        assert self.asks >= set(asked)
        assert self.asks & self.runs.keys() <= self.approved
        for request in self.requests:
            answer = self.answers.get(request.call.call_id)
            if answer is not None:
                run = request.call.call_id in self.runs
                assert answer[0][1] == (f"{request.agent.name} has run" if run else "No.")
        handoffs = [json.loads(a[0][1])["assistant"] for a in self.answers.values() if "assistant" in a[0][1]]
        assert set(handoffs) <= {"A", "B"}


async def play(steps: list[tuple[str, str | None]], *, cancel: bool) -> None:
    async with ScriptedServer() as server:
        world = World(server, cancel=cancel)
        await world.connect()
        try:
            for name, what in steps:
                await world.step(name, what)
            await world.finish()
        finally:
            await world.session.close()
            world._playing.cancel()
            await asyncio.gather(world._playing, return_exceptions=True)
        world.check()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEPS, min_size=3, max_size=25), cancel=st.booleans())
def test_whatever_happens_every_call_is_answered_once(
    steps: list[tuple[str, str | None]], cancel: bool
) -> None:
    asyncio.run(play(steps, cancel=cancel))
