"""A transport without a service: calls are written down, events come from the test.

transport = ScriptedRealtimeTransport()
session = RealtimeSession(agent, transport=transport)

async def scenario():
    await transport.expect_call("connect")
    await transport.expect_call("send_message", lambda call: call["message"] == "Hello")
    transport.emit(TextDelta("Hi!", "item_1", "resp_1"))

async def exercise():
    await session.connect(api_key="test")
    await session.send_message("Hello")

await transport.run_scenario(scenario, exercise)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..errors import ConnectionLost, UserError, VoxwireError
from ..listeners import Listeners
from ..protocol.audio_gate import HoldBack
from ..protocol.items import RealtimeItem
from ..protocol.transport_events import (
    ConnectionChange,
    ConnectionStatus,
    ErrorEvent,
    FunctionCall,
    McpApprovalRequest,
    TransportEventBase,
)
from ..transports.base import ApiKey, ConfigLike, MessageLike, RealtimeTransportLayer
from .script import CallMatcher, CallScript, RecordedCall, snapshot

__all__ = ["ConnectionSupersededError", "ScriptedRealtimeTransport", "TransportNotClosedError"]

T = TypeVar("T")


class TransportNotClosedError(AssertionError):
    """The transport should have been closed."""


class ConnectionSupersededError(VoxwireError):
    """A `connect` was overtaken by `close` or `disconnect`."""


class ScriptedRealtimeTransport(RealtimeTransportLayer):
    """Records what a session asks of it, and says what the test tells it to say.

    Attributes:
        items: what `history` shows; the test's to change.
        connecting: a `connect` waits for this event, which is set; clear it to hold one up.
    """

    def __init__(self, *, can_mute: bool = True) -> None:
        self.listeners = Listeners()
        self.script = CallScript()
        self.items: list[RealtimeItem] = []
        self.connecting = asyncio.Event()
        self.connecting.set()
        self._status: ConnectionStatus = "disconnected"
        self._muted: bool | None = False if can_mute else None
        self._overtaken = asyncio.Event()

    # What a test uses.

    @property
    def calls(self) -> tuple[RecordedCall, ...]:
        """All calls so far, as copies."""
        return self.script.calls

    def expect_call(self, method: str, matcher: CallMatcher | None = None) -> asyncio.Future[RecordedCall]:
        """A future of the next call, which must be this one; expectations are met in order.

        A call that was made before and expected by nobody counts. If another one comes, or
        `matcher(call)` is false, both this future and that call raise.
        """
        return self.script.expect(method, matcher)

    def fail_next_call(self, method: str, error: BaseException) -> None:
        """Let the next call of this method raise, after it was recorded."""
        self.script.fail_next(method, error)

    def emit(self, event: TransportEventBase | Mapping[str, Any]) -> None:
        """Tell listeners a transport event, or, as `"*"`, a wire event."""
        if isinstance(event, TransportEventBase):
            self.listeners.emit(event.name, event)
        else:
            self.listeners.emit("*", snapshot(event))

    async def disconnect(self, error: VoxwireError | None = None) -> None:
        """Lose the connection, as if the service had dropped it."""
        if self._status == "disconnected":
            return
        self._supersede()
        lost = error or ConnectionLost("the scripted service dropped the connection", code=1006)
        self._change("disconnected", lost)
        self.emit(ErrorEvent(lost))

    async def run_scenario(
        self, scenario: Callable[[], Awaitable[object]], exercise: Callable[[], Awaitable[T]]
    ) -> T:
        """Run both at once; the first failure of either ends the other.

        Returns:
            What `exercise` returned.

        Raises:
            IncompleteScenarioError: if `exercise` has ended and the scenario waits for a call,
                or if calls were made that it did not expect.
        """
        play = asyncio.ensure_future(scenario())
        work = asyncio.ensure_future(exercise())
        try:
            await asyncio.wait({play, work}, return_when=asyncio.FIRST_COMPLETED)
            if play.done():
                play.result()
            result = await work
            while not play.done():
                if self.script.pending:
                    self.assert_complete()
                self.script.changed.clear()
                waking = asyncio.ensure_future(self.script.changed.wait())
                await asyncio.wait({play, waking}, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
            play.result()
        finally:
            for task in (play, work):
                task.cancel()
            await asyncio.gather(play, work, return_exceptions=True)
        self.assert_complete()
        return result

    def assert_complete(self) -> None:
        """Raise `IncompleteScenarioError` unless everything expected happened, and nothing else."""
        self.script.assert_complete()

    def assert_closed(self) -> None:
        """Raise `TransportNotClosedError` unless the transport is disconnected."""
        if self._status != "disconnected":
            raise TransportNotClosedError(f"the transport is {self._status}, it should have been closed")

    # What a session uses.

    @property
    def status(self) -> ConnectionStatus:
        """Where the connection is."""
        return self._status

    @property
    def muted(self) -> bool | None:
        """What was set last; None if it cannot mute."""
        return self._muted

    @property
    def history(self) -> Sequence[RealtimeItem]:
        """What the test put into `items`."""
        return tuple(self.items)

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        """Connected as soon as `connecting` is set. The key is not kept.

        Raises:
            ConnectionSupersededError: if `close` or `disconnect` came first.
        """
        if self._status != "disconnected":
            raise UserError(f"the transport is {self._status} already; close it first")
        self._supersede()
        self._overtaken = overtaken = asyncio.Event()
        try:
            self._change("connecting")
            self.script.record(
                "connect",
                {
                    "api_key_provided": api_key is not None,
                    "model": model,
                    "url": url,
                    "call_id": call_id,
                    "initial_session_config": initial_session_config,
                },
            )
            await _first(self.connecting, overtaken)
        except BaseException:
            if not overtaken.is_set():
                self._change("disconnected")
            raise
        if overtaken.is_set():
            raise ConnectionSupersededError("connect() was overtaken by close() or disconnect()")
        self._change("connected")

    async def close(self) -> None:
        """Disconnected; only a close that has something to close is recorded."""
        if self._status in ("disconnected", "disconnecting"):
            return
        before = self._status
        self._change("disconnecting")
        try:
            self.script.record("close", {})
        except BaseException:
            # As it was, unless a connect under way has been cut short by this.
            self._supersede()
            self._change("connected" if before == "connected" else "disconnected")
            raise
        self._supersede()
        self._change("disconnected")
        self.listeners.end_streams()

    async def send_event(self, event: Mapping[str, Any]) -> None:
        """Recorded."""
        self.script.record("send_event", {"event": event})

    async def request_response(self, response: Mapping[str, Any] | None = None) -> None:
        """Recorded."""
        self.script.record("request_response", {"response": response})

    async def send_message(
        self,
        message: MessageLike,
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Recorded."""
        self.script.record(
            "send_message",
            {"message": message, "other_event_data": other_event_data, "trigger_response": trigger_response},
        )

    async def add_image(
        self, image: str, *, detail: str | None = None, trigger_response: bool = True
    ) -> None:
        """Recorded."""
        self.script.record(
            "add_image", {"image": image, "detail": detail, "trigger_response": trigger_response}
        )

    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Recorded."""
        self.script.record("send_audio", {"pcm": pcm, "commit": commit})

    async def update_session_config(self, config: ConfigLike) -> None:
        """Recorded."""
        self.script.record("update_session_config", {"config": config})

    async def mute(self, muted: bool) -> None:
        """Recorded, then in force; a `UserError` if it cannot mute."""
        self.script.record("mute", {"muted": muted})
        if self._muted is None:
            raise UserError("this transport cannot mute; stop sending audio instead")
        self._muted = muted

    async def interrupt(self) -> None:
        """Recorded."""
        self.script.record("interrupt", {})

    async def send_function_call_output(
        self, call: FunctionCall, output: str, *, start_response: bool = True
    ) -> None:
        """Recorded."""
        self.script.record(
            "send_function_call_output", {"call": call, "output": output, "start_response": start_response}
        )

    async def reset_history(self, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> None:
        """Recorded."""
        self.script.record("reset_history", {"old": tuple(old), "new": tuple(new)})

    async def send_mcp_response(
        self, request: McpApprovalRequest, approved: bool, reason: str | None = None
    ) -> None:
        """Recorded."""
        self.script.record("send_mcp_response", {"request": request, "approved": approved, "reason": reason})

    def hold_back_audio(self, limits: HoldBack | None) -> None:
        """Recorded; what the test emits is not held."""
        self.script.record("hold_back_audio", {"limits": limits})

    def release_audio(
        self, response_id: str, item_id: str | None = None, characters: int | None = None
    ) -> None:
        """Recorded."""
        self.script.record(
            "release_audio", {"response_id": response_id, "item_id": item_id, "characters": characters}
        )

    def withhold_audio(self, response_id: str) -> None:
        """Recorded."""
        self.script.record("withhold_audio", {"response_id": response_id})

    def _supersede(self) -> None:
        self._overtaken.set()

    def _change(self, status: ConnectionStatus, error: VoxwireError | None = None) -> None:
        if status != self._status:
            self._status = status
            code = error.code if isinstance(error, ConnectionLost) else None
            self.emit(ConnectionChange(status, code=code, error=error))


async def _first(*events: asyncio.Event) -> None:
    """Return when one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
