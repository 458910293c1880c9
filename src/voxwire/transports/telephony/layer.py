"""A phone call's media stream on one side, the Realtime API over WebSocket on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypedDict, Unpack

from ...audio.base import AudioSink
from ...audio.sinks import TeeSink
from ...carriers.base import CarrierClosed, CarrierFactory
from ...errors import ConnectError, ConnectTimeout, VoxwireError
from ...protocol.call_events import CallStarted, CallStopped, TelephonyMessage
from ...protocol.codec import Codec
from ...protocol.config import FormatLike, input_format
from ...protocol.engine import EngineOptions
from ...protocol.formats import AudioFormat, parse_format
from ...protocol.transport_events import (
    AudioDone,
    ErrorEvent,
    TransportEventBase,
    UserSpeechStarted,
    UserSpeechStopped,
)
from ..base import ApiKey, ConfigLike
from ..link import Link
from ..websocket import OpenAIRealtimeWebSocket
from .formats import model_format, suited
from .incoming import IncomingAudio
from .line import PhoneLine
from .outgoing import OutgoingAudio
from .protocol import MediaStreamProtocol, dumped
from .sockets import SocketLike, phone_socket

__all__ = ["LineOptions", "ModelOptions", "TelephonyTransportLayer"]


class ModelOptions(TypedDict, total=False):
    """Options of the model's side: those of `OpenAIRealtimeWebSocket`."""

    url: str | None
    api_key: ApiKey | None
    model: str
    headers: Mapping[str, str] | None
    use_insecure_api_key: bool
    connect: CarrierFactory | None
    proxy: str | bool | None
    open_timeout: float | None
    close_timeout: float | None
    configure_timeout: float
    configure_required: bool
    ping_interval: float | None
    ping_timeout: float | None
    max_message_bytes: int
    options: EngineOptions | None
    codec: Codec | None


class LineOptions(ModelOptions, total=False):
    """Options of the phone's side, and of the model's; see `TelephonyTransportLayer`."""

    model_format: FormatLike | None
    hang_up: bool
    inactivity_timeout_ms: float | None
    lead_ms: float
    max_waiting_ms: float
    audio_output: AudioSink | None


class TelephonyTransportLayer(OpenAIRealtimeWebSocket):
    """A phone call as a transport: give it to a session, and the agent is on the phone.

    The caller is the audio input, the provider's media stream the output. What was heard is known from its marks, so an
    interrupted reply is cut where the caller stopped hearing it. When the call ends, the connection to the model
    is closed, and the other way round.

    `"*"` also gets every message of the provider, as `{"type": "<provider>_message", "message": {...}}`. Its
    events beside those of every transport: `start` (`CallStarted`), `dtmf` (`DtmfReceived`), `mark`
    (`MarkReturned`, for marks of your own), `stop` (`CallStopped`, once), and for messages that none of these
    stands for `<provider>_message` (`TelephonyMessage`).

    Args:
        websocket: the provider's connection: a Starlette or FastAPI `WebSocket`, a server connection of `websockets`, or
            coroutine functions `(receive, send)`. Messages are read from `started()` or `connect()` on.
        protocol: the provider's messages.
        model_format: what the model is asked to take and give in place of the default of 24 kHz PCM; None chooses what
            suits the line (G.711 where the line has it). `"pcm16"` is for a model that takes no G.711. A
            configuration that names another format than that default wins.
        hang_up: close the phone's socket when the connection to the model ends, which ends the call or lets the
            provider go on with its script; False leaves it to you, and `connect` may be called again.
        inactivity_timeout_ms: silence is put in when the caller's audio stops for so long in the middle of an
            utterance; None never does.
        lead_ms: how far ahead of the caller's ear audio is sent, ms.
        max_waiting_ms: the caller's audio kept while the model is not connected or does not keep up, ms; when it is full
            the oldest gives way.
        audio_output: gets the agent's audio beside the phone (a recording).
        options: see `OpenAIRealtimeWebSocket`.

    Raises:
        UserError: if `websocket` is none that can be used.
        ConfigError: if a time or a format cannot be used.
    """

    def __init__(
        self,
        *,
        websocket: SocketLike,
        protocol: MediaStreamProtocol,
        model_format: FormatLike | None = None,
        hang_up: bool = True,
        inactivity_timeout_ms: float | None = 750,
        lead_ms: float = 1000,
        max_waiting_ms: float = 10_000,
        audio_output: AudioSink | None = None,
        **options: Unpack[ModelOptions],
    ) -> None:
        line = self._line = PhoneLine(
            phone_socket(websocket),
            protocol,
            OutgoingAudio(lead_ms=lead_ms),
            IncomingAudio(max_waiting_ms=max_waiting_ms, inactivity_timeout_ms=inactivity_timeout_ms),
            model_input=lambda: input_format(self._engine.session),
            on_event=self._call_event,
            on_message=self._call_message,
            on_problem=lambda error: self._emit(ErrorEvent(error)),
            on_over=self._call_over,
        )
        sink: AudioSink = line if audio_output is None else TeeSink(line, audio_output)
        super().__init__(audio_input=line, audio_output=sink, **options)
        self._chosen = parse_format(model_format) if model_format is not None else None
        self._hang_up = hang_up
        self._message_name = f"{protocol.provider}_message"
        self._stop_told = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.on("audio_done", self._reply_complete)
        self.on("user_speech_started", self._caller_speaks)
        self.on("user_speech_stopped", self._caller_speaks)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def call(self) -> CallStarted | None:
        """What the provider said about the call; None until it has."""
        return self._line.call

    @property
    def stream_sid(self) -> str:
        """The provider's name for the media stream; empty until it is known."""
        return self._line.call.stream_sid if self._line.call else ""

    @property
    def call_sid(self) -> str:
        """The provider's name for the call; empty until it is known."""
        return self._line.call.call_sid if self._line.call else ""

    @property
    def custom_parameters(self) -> Mapping[str, str]:
        """What was attached to the stream when it was asked for (`voxwire.calls.twiml(parameters=...)`)."""
        return self._line.call.custom_parameters if self._line.call else {}

    async def started(self, timeout: float | None = 10.0) -> CallStarted:
        """Wait for the provider's start; with it, the call's names and parameters are known.

        May be called before `connect`, to choose an agent, say; the caller's audio is kept meanwhile.

        Raises:
            ConnectTimeout: if it does not come within `timeout` seconds.
            ConnectionLost: if the socket ends before.
        """
        try:
            async with asyncio.timeout(timeout):
                return await self._line.started()
        except TimeoutError:
            raise ConnectTimeout(
                f"the phone provider sent no start within {timeout:g} s; is this its media stream?"
            ) from None

    # -- the two connections ------------------------------------------------------------------

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        """Connect to the model; see `OpenAIRealtimeWebSocket.connect`.

        Raises:
            ConnectError: also if the call is over already, or ends meanwhile.
        """
        if self._line.over:
            raise ConnectError("the call is over; a transport serves one call")
        config = self._suited(initial_session_config, complete=True)
        self._line.begin()
        await super().connect(
            api_key=api_key, model=model, url=url, call_id=call_id, initial_session_config=config
        )

    async def update_session_config(self, config: ConfigLike) -> None:
        """Change the configuration; the default format stays what suits the line."""
        await super().update_session_config(self._suited(config, complete=False))

    def _suited(self, config: ConfigLike | None, *, complete: bool) -> dict[str, Any]:
        protocol = self._line.protocol
        given, taken = self._wanted(protocol.format), self._wanted(protocol.output_format)
        return suited(config, input=given, output=taken, complete=complete)

    def _wanted(self, line: AudioFormat) -> AudioFormat:
        return self._chosen if self._chosen is not None else model_format(line)

    async def close(self) -> None:
        """End the connection to the model, and the call unless `hang_up=False`; idempotent."""
        await super().close()
        await self._leave(hang_up=self._hang_up)

    async def _leave(self, *, hang_up: bool) -> None:
        if hang_up:
            await self._line.hang_up()
            self._tell_stop(CallStopped("hung up"))
        else:
            await self._line.pause()

    def _end(
        self, link: Link | None, how: CarrierClosed | None = None, error: VoxwireError | None = None
    ) -> None:
        there = self._engine.connection == "connected"
        super()._end(link, how, error)
        # A connection that was never made leaves the call to the caller of connect().
        if there and self._hang_up and self._engine.connection != "connected":
            self._run(self._leave(hang_up=True))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- what the model says ----------------------------------------------------------------------

    def _reply_complete(self, _event: AudioDone) -> None:
        self._line.flush()

    def _caller_speaks(self, event: UserSpeechStarted | UserSpeechStopped) -> None:
        self._line.speech(isinstance(event, UserSpeechStarted))

    # -- what the provider says ---------------------------------------------------------------

    def _call_message(self, message: Mapping[str, Any]) -> None:
        if self.listeners.has("*"):
            self.listeners.emit("*", {"type": self._message_name, "message": message})

    def _call_event(self, event: TransportEventBase) -> None:
        if isinstance(event, CallStopped):
            self._tell_stop(event)
            self._run(self.close())
            return
        if isinstance(event, TelephonyMessage):
            self.listeners.emit(self._message_name, event)
        self._emit(event)

    def _tell_stop(self, event: CallStopped) -> None:
        if not self._stop_told:
            self._stop_told = True
            self._emit(event)

    def _call_over(self) -> None:
        self._tell_stop(CallStopped())
        self._run(self.close())

    # -- what is sent to the provider -----------------------------------------------------------

    async def send_mark(self, name: str) -> None:
        """Have `name` come back as a `mark` event when everything said so far was heard, or was cleared.

        Raises:
            UserError: if the call is over, the name begins like our own, or too many marks wait.
        """
        self._line.mark(name)

    async def send_dtmf(self, digits: str) -> None:
        """Play keys to the caller.

        Raises:
            UserError: if the provider's media stream cannot, or the call is over.
        """
        self._line.post(self._line.protocol.dtmf(digits))

    async def send_call_message(self, message: Mapping[str, Any]) -> None:
        """Send the provider a message as it is, ahead of audio that waits.

        Raises:
            UserError: if the call is over, or too many messages wait.
        """
        self._line.post(dumped(message))
