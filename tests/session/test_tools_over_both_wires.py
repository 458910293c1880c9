"""Approvals, guardrails, progress and results of tools on both real transports, against the embedded server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import pytest

from voxwire import (
    AgentEnd,
    InputImage,
    MessageItem,
    OpenAIRealtimeWebRTC,
    OpenAIRealtimeWebSocket,
    RealtimeAgent,
    RealtimeSession,
    RunContext,
    ToolApprovalRequested,
    ToolGuardrailResult,
    ToolImage,
    ToolInputGuardrail,
    background_result,
    tool,
)
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Call:
    """A session at work, and what went over its wire."""

    def __init__(self, session: RealtimeSession) -> None:
        self.session = session
        self.sent: list[dict[str, Any]] = []
        self.wire: list[dict[str, Any]] = []
        self.ends: list[AgentEnd] = []
        self.errors: list[Exception] = []
        self._changed = asyncio.Event()
        session.transport.on("sent", self._note(self.sent))
        session.transport.on("*", self._note(self.wire))
        session.on("agent_end", self._note(self.ends))
        session.on("error", lambda event: self.errors.append(event.error))

    def _note(self, log: list[Any]) -> Callable[[Any], None]:
        def note(event: Any) -> None:
            log.append(event)
            self._changed.set()

        return note

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def said(self, count: int = 1) -> list[str]:
        """The first `count` things that were said."""
        await self.until(lambda: len(self.texts()) >= count)
        return self.texts()

    def texts(self) -> list[str]:
        return [end.text for end in self.ends if end.text]

    def outputs(self) -> list[str]:
        items = [event["item"] for event in self.sent if event["type"] == "conversation.item.create"]
        return [item["output"] for item in items if item["type"] == "function_call_output"]

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.sent]


Calling: TypeAlias = Callable[..., AbstractAsyncContextManager[Call]]


@pytest.fixture(params=["websocket", pytest.param("webrtc", marks=pytest.mark.needs_module("aiortc"))])
def calling(request: pytest.FixtureRequest) -> Calling:
    """`async with calling(SCRIPT, AGENT, ...) as call`: a session with a server that follows the script."""

    @asynccontextmanager
    async def begin(script: str, agent: RealtimeAgent, **options: Any) -> AsyncIterator[Call]:
        responder = ScriptResponder(text=script)
        async with EmbeddedServer(
            responder=responder, synthesizer="tone", transcriber="none", vad="energy"
        ) as server:
            transport: Any = OpenAIRealtimeWebSocket(url=server.url, api_key=server.api_key)
            if request.param == "webrtc":
                transport = OpenAIRealtimeWebRTC(
                    base_url=server.http_url, api_key=server.api_key, audio_input=None, audio_output=None
                )
            session = RealtimeSession(agent, transport=transport, **options)
            call = Call(session)
            async with session:
                yield call

    return begin


async def test_approvals(calling: Calling) -> None:
    script = """
    turns:
      - do:
          - tool_call: {name: delete, arguments: {user: 1}}
          - tool_call: {name: delete, arguments: {user: 2}}
      - say: One is gone.
    """
    deleted: list[int] = []

    @tool(needs_approval=lambda context, arguments: True)
    def delete(user: int) -> str:
        deleted.append(user)
        return "deleted"

    requests: list[ToolApprovalRequested] = []
    async with calling(script, RealtimeAgent("A", tools=[delete])) as call:
        call.session.on("tool_approval_requested", call._note(requests))
        await call.session.send_message("Delete both.")
        await call.until(lambda: len(requests) == 2 and call.ends)
        assert deleted == []
        assert call.kinds().count("response.create") == 1
        await call.session.reject(requests[1], message="Not that one.")
        await call.session.approve(requests[0])
        assert await call.said() == ["One is gone."]
        assert sorted(call.outputs()) == ["Not that one.", "deleted"]
        assert deleted == [1]
        assert call.kinds().count("response.create") == 2  # one for both answers
        assert call.errors == []


async def test_guardrails_images_and_background_results(calling: Calling) -> None:
    script = """
    turns:
      - tool_call: {name: look, arguments: {at: diary}}
      - tool_call: {name: look, arguments: {at: sky}}
      - tool_call: {name: note, arguments: {}}
      - say: Never reached.
    """

    def private(arguments: Any, context: RunContext[Any]) -> ToolGuardrailResult | None:
        return ToolGuardrailResult.reject("That is private.") if arguments["at"] == "diary" else None

    @tool(input_guardrails=[ToolInputGuardrail("privacy", private)])
    def look(at: str) -> list[Any]:
        return [f"The {at}:", ToolImage(PIXEL)]

    noted = asyncio.Event()

    @tool
    def note() -> Any:
        return background_result("noted")

    async with calling(script, RealtimeAgent("A", tools=[look, note])) as call:
        call.session.on("agent_tool_end", lambda event: noted.set() if event.tool is note else None)
        await call.session.send_message("Look.")
        async with asyncio.timeout(10):
            await noted.wait()
        await call.until(lambda: len(call.ends) == 3)
        assert call.outputs() == ["That is private.", "The sky:\n(an image, in the message before)", "noted"]
        assert call.kinds().count("response.create") == 3  # none for what was noted
        pictures = [
            item
            for item in call.session.history
            if isinstance(item, MessageItem) and any(isinstance(part, InputImage) for part in item.content)
        ]
        assert len(pictures) == 1
        assert call.errors == []


async def test_a_word_while_a_tool_is_slow(calling: Calling) -> None:
    """It is one response, and the answer's comes after it."""
    script = """
    turns:
      - tool_call: {name: search, arguments: {}}
      - say: One moment please.
      - say: Here it is.
    """
    finish = asyncio.Event()

    @tool(progress="One moment please.", progress_after=0.05)
    async def search() -> str:
        await finish.wait()
        return "found"

    async with calling(script, RealtimeAgent("A", tools=[search])) as call:
        await call.session.send_message("Search.")
        assert await call.said() == ["One moment please."]
        finish.set()
        assert await call.said(2) == ["One moment please.", "Here it is."]
        assert call.outputs() == ["found"]
        creates = [event.get("response") for event in call.sent if event["type"] == "response.create"]
        assert [bool(create) for create in creates] == [False, True, False]
        assert creates[1]["tool_choice"] == "none"
        assert call.errors == []


async def test_an_answer_that_comes_while_the_word_is_being_said(calling: Calling) -> None:
    script = """
    turns:
      - tool_call: {name: search, arguments: {}}
      - say: One moment please, this will take a little while.
      - say: Here it is.
    """
    finish = asyncio.Event()

    @tool(progress="One moment please.", progress_after=0.0)
    async def search() -> str:
        await finish.wait()
        return "found"

    async with calling(script, RealtimeAgent("A", tools=[search])) as call:
        call.session.on(
            "turn_started", lambda event: finish.set() if call.kinds().count("response.create") == 2 else None
        )
        await call.session.send_message("Search.")
        assert await call.said(2) == ["One moment please, this will take a little while.", "Here it is."]
        assert call.errors == []


async def test_tools_that_are_switched_on_and_chosen(calling: Calling) -> None:
    script = """
    turns:
      - tool_call: {name: log_in, arguments: {}}
      - tool_call: {name: balance, arguments: {}}
      - say: Five.
    """
    state = {"in": False}

    @tool
    def log_in() -> str:
        state["in"] = True
        return "ok"

    @tool(is_enabled=lambda context, agent: state["in"])
    def balance() -> int:
        return 5

    agent = RealtimeAgent("A", tools=[log_in, balance], tool_choice="auto")
    async with calling(script, agent) as call:
        await call.session.send_message("How much?")
        assert await call.said() == ["Five."]
        assert call.outputs() == ["ok", "5"]
        updates = [event["session"] for event in call.sent if event["type"] == "session.update"]
        assert [len(update["tools"]) for update in updates] == [1, 2]
        assert updates[0]["tool_choice"] == "auto"
        assert list(updates[1]) == ["type", "tools"]
        order = [kind for kind in call.kinds() if kind != "input_audio_buffer.append"]
        after = order[order.index("session.update", 1) :]
        assert after[:3] == ["session.update", "conversation.item.create", "response.create"]
        assert call.errors == []
