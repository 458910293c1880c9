"""The interface of a transport: what a session needs to run an agent on it.

Implement `RealtimeTransportLayer` to bring another speech-to-speech service or your own
mechanism; emit the events of `voxwire.protocol.transport_events` through `self.listeners`.
To bring another *connection* to the Realtime API, write a `voxwire.carriers.Carrier` instead.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..errors import UserError
from ..listeners import EventStream, Listeners, ListenerT
from ..protocol.audio_gate import HoldBack
from ..protocol.config import SessionConfig
from ..protocol.items import RealtimeItem
from ..protocol.transport_events import ConnectionStatus, FunctionCall, McpApprovalRequest

__all__ = ["ApiKey", "ConfigLike", "MessageLike", "RealtimeTransportLayer"]

ApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A key, or a function or coroutine function that gives one; called once per connect."""
ConfigLike: TypeAlias = SessionConfig | Mapping[str, Any]
"""A session configuration, typed or with the wire's names."""
MessageLike: TypeAlias = str | Mapping[str, Any]
"""A user's text, or a message item of the wire (`{"role": ..., "content": [...]}`)."""


class RealtimeTransportLayer(ABC):
    """A connection to a speech-to-speech service, as a session sees it.

    Listeners are plain or coroutine functions with one argument. `"*"` gets every wire event
    the service sends, as the untouched dict; a wire type (`"response.done"`) gets that
    event typed; `"sent"` gets every wire event that goes out; the other names are those of
    `voxwire.protocol.transport_events`.
    """

    listeners: Listeners

    @property
    @abstractmethod
    def status(self) -> ConnectionStatus:
        """Where the connection is."""

    @property
    @abstractmethod
    def muted(self) -> bool | None:
        """Whether input audio is held back; None if this transport cannot."""

    @property
    def speaking(self) -> bool:
        """Whether the agent is being heard right now; when that ends, `audio_stopped` is emitted."""
        return False

    def will_speak(self, response_id: str) -> bool:  # noqa: ARG002 - the interface's
        """Whether a response has words to be heard of which the service has not begun to play any.

        Only a service that plays by itself (WebRTC, SIP) tells the words first and plays them later.
        """
        return False

    @property
    def call_id(self) -> str | None:
        """What the service calls the call that this is, or that this is attached to; None if it is none."""
        return None

    @property
    def history(self) -> Sequence[RealtimeItem]:
        """The conversation so far, oldest first, if this transport keeps it."""
        return ()

    @abstractmethod
    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        """Connect, and return once the configuration is in force."""

    @abstractmethod
    async def close(self) -> None:
        """End the connection; idempotent."""

    @abstractmethod
    async def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a wire event as it is; a `response.create` waits for its turn."""

    @abstractmethod
    async def request_response(self, response: Mapping[str, Any] | None = None) -> None:
        """Ask for a response; several of these without overrides become one."""

    @abstractmethod
    async def send_message(
        self,
        message: MessageLike,
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Add a message of the user to the conversation."""

    @abstractmethod
    async def add_image(
        self, image: str, *, detail: str | None = None, trigger_response: bool = True
    ) -> None:
        """Add a picture (data URL or address) as a message of the user."""

    @abstractmethod
    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Append audio in the session's input format; `commit` ends the user's turn."""

    @abstractmethod
    async def update_session_config(self, config: ConfigLike) -> None:
        """Change the configuration; only what differs is sent."""

    @abstractmethod
    async def mute(self, muted: bool) -> None:
        """Hold input audio back, or let it through again."""

    @abstractmethod
    async def interrupt(self) -> None:
        """Stop the current reply: generation and playback, heard or not yet begun."""

    @abstractmethod
    async def send_function_call_output(
        self, call: FunctionCall, output: str, *, start_response: bool = True
    ) -> None:
        """Answer a tool call; the model goes on once all calls of its response are answered."""

    @abstractmethod
    async def reset_history(self, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> None:
        """Make the service's conversation `new` where it is `old`."""

    @abstractmethod
    async def send_mcp_response(
        self, request: McpApprovalRequest, approved: bool, reason: str | None = None
    ) -> None:
        """Answer the service's question whether it may call an MCP tool."""

    def hold_back_audio(self, limits: HoldBack | None) -> None:
        """Keep output audio from the sink and from listeners of `audio` until `release_audio`.

        Holds for all connections from now on; None lets audio through again, and all that waits. What is held counts as
        not heard. The wire's own events (`"*"`, `"response.output_audio.delta"`) are not held back.

        Raises:
            UserError: if this transport cannot.
        """
        if limits is not None:
            raise UserError(f"{type(self).__name__} cannot hold audio back; leave hold_back_ms unset")

    def release_audio(  # noqa: B027 - nothing held, nothing to do
        self, response_id: str, item_id: str | None = None, characters: int | None = None
    ) -> None:
        """Let held audio go whose words are among the first `characters` of this item's text.

        Without an item, all of the response, now and later. Does nothing where nothing is held back.
        """

    def withhold_audio(self, response_id: str) -> None:  # noqa: B027 - as above
        """Never play what is held of this response, nor more of it; what is being played goes on."""

    def on(self, name: str, listener: ListenerT) -> ListenerT:
        """Call `listener(event)` for every event of this name; returns the listener."""
        return self.listeners.on(name, listener)

    def once(self, name: str, listener: ListenerT) -> ListenerT:
        """Like `on`, for the next event only."""
        return self.listeners.once(name, listener)

    def off(self, name: str, listener: Callable[[Any], Any]) -> None:
        """Remove a listener."""
        self.listeners.off(name, listener)

    def events(self, *names: str) -> EventStream:
        """Iterate the events of these names, or all but the wire's own, from now on."""
        return self.listeners.stream(*names)

    def __aiter__(self) -> EventStream:
        return self.events()
