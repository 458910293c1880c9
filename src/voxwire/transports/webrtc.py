"""The Realtime API over WebRTC: microphone in, loudspeaker out, with nothing to set up."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from ..audio.base import AudioSink, AudioSource
from ..carriers.base import Carrier, CarrierClosed, CarrierFactory, CarrierRequest
from ..carriers.js import on_javascript
from ..errors import ConnectError, UserError, VoxwireError
from ..protocol import wire
from ..protocol.codec import Codec
from ..protocol.config import DEFAULT_MODEL, coerce_config
from ..protocol.engine import EngineOptions
from ..protocol.formats import AudioFormat
from ..rtc.base import IceServer, RtcOptions
from ..rtc.ice import ice_servers as read_ice_servers
from .base import ApiKey, ConfigLike
from .default_audio import DEFAULT, DefaultAudio, EchoCancellation, Given, open_default_audio
from .endpoint import calls_endpoint, calls_url, is_loopback
from .link import Link, being_cancelled
from .media import MediaTransport
from .page import PageDevices, check_page_key, page_devices

__all__ = ["DEFAULT", "OpenAIRealtimeWebRTC"]

MAX_QUEUE_MS: Final = 400.0
"""Input audio that waits to go out at most, ms: what `send_audio` hands over ahead of time, and some. What waits of a
live source is taken out again (`LiveQueue`)."""


class OpenAIRealtimeWebRTC(MediaTransport):
    """The Realtime API over WebRTC: microphone in, loudspeaker out.

    The service plays the audio itself, in real time, and truncates what is interrupted. `audio` tells it all the same
    (24 kHz PCM16, as it is played). It cannot be held back until guardrails have passed.

    Under Pyodide in a web page the browser does it all: its WebRTC, its microphone with echo cancellation, its
    loudspeaker. Sources and sinks of Python's cannot be used there.

    Args:
        base_url: where the call is made; an embedded or compatible server's address may be that of its API
            (`http://127.0.0.1:8089/v1`) or of its WebSocket.
        api_key: a key, or a function or coroutine function that gives one; without it, the environment
            variable OPENAI_API_KEY is used for the default address. An ephemeral key (`ek_...`) brings its session along.
        model: the model's name.
        audio_input: where the user's audio comes from. By default the machine's microphone, opened for the time of
            the connection. None: nowhere, call `send_audio`.
        audio_output: where the agent's audio goes, beside the `audio` event. By default the machine's loudspeaker. Of
            the default devices the events `device_changed` and `audio_dropped` tell (`voxwire.audio.DeviceChanged`).
        media_stream: an aiortc audio track, in place of `audio_input`; it stays yours and is not stopped. In a page,
            a MediaStream.
        audio_element: another name for `audio_output`, as the JavaScript SDK has it. In a page, an audio element of it.
        change_peer_connection: called with the library's own connection before the offer is made, and may return another.
        use_insecure_api_key: allow a standard key in a web page; without meaning elsewhere.
        ice_servers: STUN and TURN servers; none by default.
        echo_cancellation: keep the loudspeaker out of the microphone where both are the defaults.
        headers: sent with the offer; `Authorization` or `api-key` in here replace `api_key`.
        proxy: for the offer; True takes the environment's (`HTTPS_PROXY`, `NO_PROXY`), None uses none.
        open_timeout: for all steps until the data channel is open, s. close_timeout: for closing, s.
        configure_timeout: for `session.created` and the echo of the first configuration, s.
        configure_required: when that passes, fail; False logs a warning and goes on.
        max_message_bytes: a larger message closes the connection.
        rtc_options: ports, addresses and limits of the peer connection; `ice_servers` is added to its own.
        backend: "aiortc" or "wrtc"; None takes what is installed.
        carrier: makes the carrier, in place of the default one.
        options, codec: as for `OpenAIRealtimeWebSocket`.

    Raises:
        UserError: if two names for the same thing are used.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: ApiKey | None = None,
        model: str = DEFAULT_MODEL,
        audio_input: AudioSource | Given | None = DEFAULT,
        audio_output: AudioSink | Given | None = DEFAULT,
        media_stream: Any = None,
        audio_element: AudioSink | None = None,
        change_peer_connection: Callable[[Any], Any | Awaitable[Any]] | None = None,
        use_insecure_api_key: bool = False,
        ice_servers: Sequence[IceServer | Mapping[str, Any] | str] = (),
        echo_cancellation: EchoCancellation = True,
        headers: Mapping[str, str] | None = None,
        proxy: str | bool | None = True,
        open_timeout: float | None = 15.0,
        close_timeout: float | None = 5.0,
        configure_timeout: float = 5.0,
        configure_required: bool = True,
        max_message_bytes: int = wire.DEFAULT_MAX_BYTES,
        rtc_options: RtcOptions | None = None,
        backend: Any = None,
        carrier: CarrierFactory | None = None,
        options: EngineOptions | None = None,
        codec: Codec | None = None,
    ) -> None:
        source = _one_of("audio_input", audio_input, "media_stream", media_stream)
        sink = _one_of("audio_output", audio_output, "audio_element", audio_element)
        self._page: PageDevices | None = None
        if on_javascript():
            self._page = page_devices(
                audio_input=audio_input,
                audio_output=audio_output,
                media_stream=media_stream,
                audio_element=audio_element,
                echo_cancellation=echo_cancellation,
                backend=backend,
                proxy=proxy,
            )
            source = sink = None
        elif media_stream is not None:
            source = _TrackSource(media_stream)
        limits = options or EngineOptions(
            configure_timeout=configure_timeout, configure_required=configure_required
        )
        super().__init__(
            carrier=carrier or self._webrtc,
            api_key=api_key,
            model=model,
            audio_input=None if source is DEFAULT else source,
            audio_output=None if sink is DEFAULT else sink,
            options=replace(limits, media_plane=True),
            max_message_bytes=max_message_bytes,
            codec=codec,
        )
        self.base_url = base_url
        self.use_insecure_api_key = use_insecure_api_key
        self.change_peer_connection = change_peer_connection
        self._defaults = (source is DEFAULT, sink is DEFAULT)
        self._echo_cancellation: EchoCancellation = echo_cancellation
        self._headers = dict(headers or {})
        self._proxy = proxy
        self._timeouts = (open_timeout, close_timeout)
        servers = read_ice_servers(ice_servers)
        own = rtc_options or RtcOptions(max_queue_ms=MAX_QUEUE_MS)
        self._rtc_options = replace(own, ice_servers=own.ice_servers + servers)
        self._backend = backend
        self._first_session: Mapping[str, Any] = {}
        self._loopback = False
        self._shared: _Attempt | None = None
        self._devices = DefaultAudio()
        self._giving_back: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where calls are made."""
        return calls_url(self.base_url)

    # -- connecting -----------------------------------------------------------------------

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        """Connect, and return once the configuration is in force; see the base class for errors.

        Calls that overlap share one attempt, with the arguments of the first. It is given up when the last of those
        who wait for it is cancelled.

        Args:
            api_key, model, url: instead of those given to the constructor.
            call_id: must be None; a call that exists is attached to over WebSocket.
            initial_session_config: describes the session to the service, and is confirmed before this returns.

        Raises:
            DeviceError, MissingExtraError: no microphone or loudspeaker, or nothing to reach them with.
        """
        if self.status == "connected":
            raise UserError("the transport is connected already; close it before connecting again")
        attempt = self._shared
        if attempt is None:
            task = asyncio.get_running_loop().create_task(
                self._connect_once(api_key, model, url, call_id, initial_session_config)
            )
            attempt = self._shared = _Attempt(task)
            task.add_done_callback(self._attempt_over)
        attempt.waiting += 1
        try:
            await asyncio.shield(attempt.task)
        except asyncio.CancelledError:
            if not being_cancelled():
                raise ConnectError("the connection was closed before it was ready") from None
            if attempt.waiting == 1:
                attempt.task.cancel()
                await asyncio.wait([attempt.task])
            raise
        finally:
            attempt.waiting -= 1

    def _attempt_over(self, task: asyncio.Task[None]) -> None:
        if self._shared is not None and self._shared.task is task:
            self._shared = None
        if not task.cancelled():
            task.exception()  # those who wait have it

    async def _connect_once(
        self,
        api_key: ApiKey | None,
        model: str | None,
        url: str | None,
        call_id: str | None,
        initial_session_config: ConfigLike | None,
    ) -> None:
        self._first_session = coerce_config(initial_session_config).to_wire()
        await self._given_back()
        if any(self._defaults):
            await self._open_devices()
        try:
            await super().connect(
                api_key=api_key,
                model=model,
                url=url,
                call_id=call_id,
                initial_session_config=self._first_session,
            )
        except BaseException:
            self._give_back()
            raise

    def _request(
        self, key: str | None, *, url: str | None, call_id: str | None, model: str
    ) -> CarrierRequest:
        if call_id is not None:
            raise UserError(
                f"WebRTC makes a new call and cannot attach to {call_id!r}; "
                "use OpenAIRealtimeWebSocket or OpenAIRealtimeSIP for that"
            )
        address = url or self.base_url
        if key is None and address is None:
            key = os.environ.get("OPENAI_API_KEY")
        check_page_key(key, self._headers, allowed=self.use_insecure_api_key)
        target = calls_endpoint(address, key=key, headers=self._headers)
        self._loopback = is_loopback(target.url)
        # An ephemeral key stands for a session that was described when the key was made.
        ephemeral = bool(key) and str(key).startswith("ek_")
        session = None if ephemeral else {"type": "realtime", "model": model, **self._first_session}
        return CarrierRequest(
            target.url,
            target.headers,
            proxy=self._proxy,
            open_timeout=self._timeouts[0],
            close_timeout=self._timeouts[1],
            max_message_bytes=self._max_bytes,
            session=session,
        )

    def _webrtc(self) -> Carrier:
        if self._page is not None:
            return self._page.carrier(self._rtc_options, self.change_peer_connection)
        from ..carriers.signalling import post_offer
        from ..carriers.webrtc import WebRTCCarrier

        options = self._rtc_options
        return WebRTCCarrier(
            post_offer(),
            options=replace(options, loopback=options.loopback or self._loopback),
            backend=self._backend,
            change_peer_connection=self.change_peer_connection,
        )

    async def close(self) -> None:
        """End the connection, or the attempt to make one; idempotent. What was given to the constructor stays open."""
        attempt, self._shared = self._shared, None
        if attempt is not None and self._attempt is None:
            attempt.task.cancel()  # it has not come to the connection yet
        await super().close()
        self._give_back()
        await self._given_back()

    def _end(
        self, link: Link | None, how: CarrierClosed | None = None, error: VoxwireError | None = None
    ) -> None:
        if link is self._link:
            self._shared = None  # a listener of "disconnected" may connect again at once
        super()._end(link, how, error)
        if link is not None and self._link is None and self._attempt is None:
            self._give_back()

    # -- microphone and loudspeaker -------------------------------------------------------

    async def _open_devices(self) -> None:
        source, sink = self._defaults
        self._devices = await open_default_audio(
            source=source, sink=sink, echo_cancellation=self._echo_cancellation, on_event=self._emit
        )
        if source:
            self._source = self._devices.source
        if sink:
            self._sink = self._devices.sink

    def _give_back(self) -> None:
        """Close the devices that were opened here, in the background."""
        devices, self._devices = self._devices, DefaultAudio()
        if devices.source is not None or devices.sink is not None:
            self._giving_back = asyncio.get_running_loop().create_task(devices.close())

    async def _given_back(self) -> None:
        """Wait until they are closed; who gives up waiting does not stop it."""
        if self._giving_back is not None:
            await asyncio.wait([self._giving_back])


@dataclass(slots=True)
class _Attempt:
    """An attempt to connect, and how many wait for it."""

    task: asyncio.Task[None]
    waiting: int = 0


class _TrackSource:
    """An aiortc track as a source; it is the caller's, so that closing does nothing."""

    def __init__(self, track: Any) -> None:
        self._track = track

    async def frames(self, _format: AudioFormat, /) -> AsyncIterator[bytes]:
        """The track's audio, 24 kHz PCM16 as the media plane takes it."""
        from ..rtc.tracks import pcm_of_track

        pieces = cast("AsyncGenerator[bytes, None]", pcm_of_track(self._track))
        async with aclosing(pieces):
            async for pcm in pieces:
                yield pcm

    async def close(self) -> None:
        """Leave the track alone."""


def _one_of(name: str, value: Any, other_name: str, other: Any) -> Any:
    if other is None:
        return value
    if value is not DEFAULT:
        raise UserError(f"{name} and {other_name} are two names for the same thing; pass one of them")
    return other
