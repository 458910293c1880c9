"""What the Realtime transports have in common: connecting, and the commands."""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

from ..audio.base import AudioSink, AudioSource
from ..carriers.base import CarrierClosed, CarrierFactory, CarrierRequest
from ..errors import ConnectError, ConnectionLost, NotConnectedError, UserError, VoxwireError
from ..protocol import commands, wire
from ..protocol.actions import Action
from ..protocol.codec import Codec, default_codec
from ..protocol.config import coerce_config, input_format
from ..protocol.engine import EngineOptions, RealtimeEngine
from ..protocol.items import RealtimeItem
from ..protocol.transport_events import (
    ConnectionStatus,
    ErrorEvent,
    FunctionCall,
    McpApprovalRequest,
)
from ..protocol.usage import Usage
from .base import ApiKey, ConfigLike, MessageLike
from .link import Link, being_cancelled, how_it_ended
from .shell import EngineShell

__all__ = ["OpenAIRealtimeBase"]

logger = logging.getLogger("voxwire")


def counting_ids() -> Callable[[str], str]:
    """Identifiers that are unique in a conversation: a random stem and a counter."""
    stem, count = secrets.token_hex(4), 0

    def new(prefix: str) -> str:
        nonlocal count
        count += 1
        return f"{prefix}_{stem}_{count}"

    return new


class OpenAIRealtimeBase(EngineShell):
    """An engine on a carrier. Subclasses say which carrier, and where to connect.

    Args:
        carrier: makes a carrier for each connection.
        api_key: a key, or a function or coroutine function that gives one.
        model: the model's name, part of the default address.
        audio_input: where the user's audio comes from; without it, call `send_audio`.
        audio_output: where the agent's audio goes, beside the `audio` event.
        options: limits of the engine.
        max_message_bytes: a larger message closes the connection.
        codec: what parses JSON and base64; None takes `default_codec()`.
    """

    def __init__(
        self,
        *,
        carrier: CarrierFactory,
        api_key: ApiKey | None = None,
        model: str = "gpt-realtime",
        audio_input: AudioSource | None = None,
        audio_output: AudioSink | None = None,
        options: EngineOptions | None = None,
        max_message_bytes: int = wire.DEFAULT_MAX_BYTES,
        codec: Codec | None = None,
    ) -> None:
        engine = RealtimeEngine(ids=counting_ids(), options=options, codec=codec or default_codec())
        super().__init__(engine, audio_output, max_message_bytes)
        self.model = model
        self._new_carrier = carrier
        self._api_key = api_key
        self._source = audio_input
        self._attempt: asyncio.Task[None] | None = None
        self._muted = False

    # -- what it is -----------------------------------------------------------------------

    @property
    def status(self) -> ConnectionStatus:
        """Where the connection is."""
        return self._engine.status

    @property
    def muted(self) -> bool | None:
        """Whether input audio is replaced by silence."""
        return self._muted

    @property
    def history(self) -> Sequence[RealtimeItem]:
        """The conversation so far, oldest first; still there after the connection ended."""
        return self._engine.history.snapshot()

    @property
    def usage(self) -> Usage:
        """Tokens used since this object was made."""
        return self._engine.usage

    @property
    def session_config(self) -> Mapping[str, Any]:
        """The configuration in force at the service, as it last said."""
        return self._engine.session

    @property
    def speaking(self) -> bool:
        """Whether the agent is being heard right now, or what it said is still being held back."""
        return self._engine.playback.playing or self.holds_audio

    def will_speak(self, response_id: str) -> bool:
        """Whether a response has words to be heard of which the service has not begun to play any."""
        engine = self._engine
        waited_for = engine.plane is not None and engine.plane.awaits(response_id)
        return waited_for and not engine.playback.is_discarded(response_id)

    @property
    def heard_ms(self) -> float:
        """Output audio heard since the connection opened, ms."""
        self._ask_sink()
        return self._engine.playback.heard_ms(self._now())

    @property
    def unheard_ms(self) -> float:
        """Output audio that was received and has not been heard yet, ms."""
        self._ask_sink()
        return self._engine.playback.remaining_ms(self._now())

    @property
    def dropped_ms(self) -> float:
        """Output audio dropped since this object was made, because its reply had been interrupted, ms."""
        return self._engine.dropped_ms

    # -- connecting -----------------------------------------------------------------------

    @abstractmethod
    def _request(
        self, key: str | None, *, url: str | None, call_id: str | None, model: str
    ) -> CarrierRequest:
        """Say where to connect, and how."""

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        """Connect, and return once the configuration is in force.

        Args:
            api_key, model, url: instead of those given to the constructor.
            call_id: attach to this call of the service instead of starting a session.
            initial_session_config: sent first; audio flows only after the service took it over.

        Raises:
            UserError: if it is connected or connecting already, or a setting is wrong.
            AuthenticationError, ProviderError: the service refused.
            ConnectTimeout, ConnectError: no connection, or `close()` was called meanwhile.
            Any exception of the key function. After a failure, `connect` may be called again.
        """
        if self._attempt is not None:
            raise UserError("the transport is connecting already")
        session = coerce_config(initial_session_config).to_wire()
        self._perform(self._engine.connect(session, self._now()))
        if self._engine.connection != "opening":
            raise ConnectError("the connection was closed before it was opened")
        key = api_key if api_key is not None else self._api_key
        epoch = self._engine.epoch
        attempt = self._attempt = asyncio.get_running_loop().create_task(
            self._connect(key, model or self.model, url, call_id)
        )
        try:
            await attempt
        except asyncio.CancelledError:
            if self._engine.epoch == epoch:
                self._end(None)  # cancelled before it had begun
            if being_cancelled():
                raise
            raise ConnectError("the connection was closed before it was ready") from None
        finally:
            if self._attempt is attempt:
                self._attempt = None

    async def _connect(
        self, api_key: ApiKey | None, model: str, url: str | None, call_id: str | None
    ) -> None:
        epoch = self._engine.epoch
        link: Link | None = None
        try:
            key = await _resolve(api_key)
            request = self._request(key, url=url, call_id=call_id, model=model)
            link = self._link = self._new_link()
            await link.carrier.open(request, link)
            self._perform(self._engine.opened(self._now()))
            warning = await link.ready
            if warning:
                logger.warning("%s", warning)
            await self._start_audio(link)
            if link is not self._link:
                raise ConnectError(how_it_ended(link.how))
        except BaseException as error:
            if self._engine.epoch == epoch:
                # A listener of "disconnected" may connect again at once.
                self._attempt = None
                self._end(link, error=error if isinstance(error, VoxwireError) else None)
            if link is not None:
                link.cut()
                await asyncio.shield(link.carrier.close())
                await link.finish()
            raise
        self._connected_to(model, url)

    def _connected_to(self, model: str, url: str | None) -> None:  # noqa: ARG002 - for those with addresses
        """Remember what `connect` was given, now that it has worked."""
        self.model = model

    def _new_link(self) -> Link:
        return Link(self._new_carrier(), self._received, self._closed)

    async def _start_audio(self, link: Link) -> None:
        for who in tuple(self._laggards.values()):
            link.hold(who)  # who has not caught up with the last connection
        await self._open_sink(link)
        if self._sink is not None:
            self._sink_began_at = self._asked(self._sink.heard_ms, None)
        if self._source is not None:
            link.start(self._pump(link, self._source))

    async def _pump(self, link: Link, source: AudioSource) -> None:
        """Send the source's audio for as long as the connection lasts."""
        frames = source.frames(input_format(self._engine.session))
        try:
            async for frame in frames:
                if link is not self._link:
                    break
                await self.send_audio(frame)
        except ConnectionLost:
            pass  # told by the carrier
        except Exception as error:  # noqa: BLE001 - a broken microphone must not end the call
            self._emit(ErrorEvent(error))
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()

    async def close(self) -> None:
        """End the connection, or the attempt to make one; idempotent."""
        link = self._link
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        self._end(link)
        if link is not None:
            await link.carrier.close()
            await link.finish()

    def _end(
        self, link: Link | None, how: CarrierClosed | None = None, error: VoxwireError | None = None
    ) -> None:
        """The connection is over: stop everything that belongs to it, then tell."""
        if link is not self._link or self._engine.connection == "disconnected":
            return
        self._link = None
        if link is not None:
            how = how or link.how
            link.cut()
        self._ask_sink()
        code, reason = (how.code, how.reason) if how else (None, "")
        self._perform(self._engine.disconnected(self._now(), code=code, reason=reason, error=error))
        self._sink_began_at = self._sink_format = None
        self.listeners.end_streams()

    def _closed(self, link: Link, how: CarrierClosed) -> None:
        if not link.ready.done():
            link.ready.set_exception(ConnectError(f"{how_it_ended(how)}, before the session was ready"))
            return  # connect() cleans up
        lost = None
        if not how.clean or how.code not in (1000, None):
            lost = ConnectionLost(how_it_ended(how), code=how.code, reason=how.reason)
        self._end(link, how, lost)

    # -- what the user asks for -----------------------------------------------------------------

    async def _do(self, actions: Sequence[Action]) -> None:
        self._perform(actions)
        if self._link is not None:
            await self._link.carrier.drain()

    async def send_event(self, event: Mapping[str, Any]) -> None:
        """Send a wire event as it is; a `response.create` waits for its turn."""
        wire.encode(event)  # an event that cannot be sent must not pass through the engine
        await self._do(self._engine.send_event(event, self._now()))

    async def request_response(self, response: Mapping[str, Any] | None = None) -> None:
        """Ask for a response; several of these without overrides become one."""
        await self._do(self._engine.request_response(response, self._now()))

    async def send_message(
        self,
        message: MessageLike,
        other_event_data: Mapping[str, Any] | None = None,
        *,
        trigger_response: bool = True,
    ) -> None:
        """Add a message of the user; `other_event_data` goes into the event beside the item."""
        await self._do(
            self._engine.send_message(
                message, other_event_data, self._now(), trigger_response=trigger_response
            )
        )

    async def add_image(
        self, image: str, *, detail: str | None = None, trigger_response: bool = True
    ) -> None:
        """Add a picture (data URL or http(s) address) as a message of the user."""
        message = commands.image_message(image, detail)
        await self.send_message(message, trigger_response=trigger_response)

    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Append audio in the session's input format.

        Dropped without an error while there is no connection: live audio has no value later.

        Args:
            pcm: samples; 20 ms a piece is usual.
            commit: end the user's turn here (for sessions without turn detection).
        """
        link = self._link
        if link is None or self._engine.connection != "connected":
            return
        if self._muted:
            pcm = self._silence(len(pcm))
        if pcm:
            text = wire.encode_audio_append(pcm, self._engine.codec)
            link.carrier.send(text)
            if "sent" in self.listeners.named:
                self.listeners.emit("sent", wire.decode(text))
        if commit:
            self._send_now({"type": "input_audio_buffer.commit", "event_id": self._engine.ids("event")})
        await link.carrier.drain()

    def _silence(self, size: int) -> bytes:
        sample = input_format(self._engine.session).silence
        return sample * (size // len(sample))

    async def update_session_config(self, config: ConfigLike) -> None:
        """Change the configuration; only what differs is sent."""
        await self._do(self._engine.update_session(coerce_config(config).to_wire()))

    async def mute(self, muted: bool) -> None:
        """Replace input audio by silence, or let it through again. May be called before `connect`."""
        self._muted = bool(muted)

    async def interrupt(self) -> None:
        """Stop the current reply: generation and playback, spoken, text-only or not yet begun."""
        if self._link is None:
            raise NotConnectedError(f"there is nothing to interrupt, the transport is {self.status}")
        self._ask_sink()
        await self._do(self._engine.interrupt(self._now()))

    async def send_function_call_output(
        self, call: FunctionCall, output: str, *, start_response: bool = True
    ) -> None:
        """Answer a tool call; the model goes on once all calls of its response are answered."""
        await self._do(
            self._engine.send_function_call_output(call, output, self._now(), start_response=start_response)
        )

    async def reset_history(self, old: Sequence[RealtimeItem], new: Sequence[RealtimeItem]) -> None:
        """Make the service's conversation `new` where it is `old`."""
        await self._do(self._engine.reset_history(old, new))

    async def send_mcp_response(
        self, request: McpApprovalRequest, approved: bool, reason: str | None = None
    ) -> None:
        """Answer the service's question whether it may call an MCP tool."""
        await self._do(self._engine.send_mcp_response(request, approved, reason))


async def _resolve(api_key: ApiKey | None) -> str | None:
    if api_key is None or isinstance(api_key, str):
        return api_key
    key = api_key()
    if inspect.isawaitable(key):
        key = await key
    if not key:
        raise UserError("the api_key function gave an empty key")
    return str(key)
