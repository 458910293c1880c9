"""A peer on the browser's own RTCPeerConnection (W3C WebRTC), for Pyodide in a page. It offers, and never answers.

Media is the browser's: it takes its audio from a `MediaStream`, and plays through a `PageSpeaker`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import replace
from typing import Any, Final

from ..errors import ConfigError, UserError
from ..media.levels import peak_dbfs
from ..rtc.base import CHANNEL_LABEL, IceServer, RtcEvents, RtcOptions, RtcStats
from ..rtc.peer_base import MAX_UNSENT_BYTES, BasePeer
from ..rtc.sdp import SdpError
from .browser_audio import PageMicrophone, PageSpeaker
from .browser_host import host_has, same_object
from .browser_stats import read_stats
from .js import Proxies, js_host, js_words, to_bytes, to_object

__all__ = ["BrowserPeer"]

_SHORT_QUEUE: Final = 16 * 1024
_GOODBYE: Final = 1.5
"""Seconds for what is queued on the channel to go out at the end."""
_STATS_EVERY: Final = 1.0
"""Seconds; the browser tells its statistics only when asked, and later."""


class BrowserPeer(BasePeer):
    """One peer connection; see `RtcPeer`.

    Args:
        options: `ports`, `addresses` and `public_address` are not for a page to say; `bitrate`, `loopback` and
            `max_queue_ms` are left to the browser.
        microphone: what is sent; None sends nothing.
        audio_element, audible: as for `PageSpeaker`.

    Raises:
        UserError: if the browser has no WebRTC.
        ConfigError: if an option cannot be had in a page.
    """

    def __init__(
        self,
        options: RtcOptions,
        events: RtcEvents,
        *,
        microphone: PageMicrophone | None,
        audio_element: Any = None,
        audible: bool = True,
    ) -> None:
        js = js_host("A page's WebRTC")
        if not host_has("RTCPeerConnection"):
            raise UserError("WebRTC is not to be had here: this is no page, or its browser has none")
        for name in ("ports", "addresses", "public_address"):
            if getattr(options, name):
                raise ConfigError(f"a page has no say in {name}; leave it out of rtc_options")
        config = {"iceServers": [_ice_server(server) for server in options.ice_servers]}
        try:
            connection = js.RTCPeerConnection.new(to_object(config))
        except Exception as error:
            raise ConfigError(f"the browser does not take these ICE servers: {js_words(error)}") from error
        super().__init__(options, events)
        try:
            self._set_up(connection, microphone, audio_element, audible=audible)
        except BaseException:
            connection.close()
            self._release()
            raise

    def _set_up(
        self, connection: Any, microphone: PageMicrophone | None, audio_element: Any, *, audible: bool
    ) -> None:
        self._microphone = microphone
        self._speaker = PageSpeaker(self._heard, audio_element, audible=audible)
        self._proxies = Proxies()
        self._gathered = asyncio.Event()
        self._channel_gone = asyncio.Event()
        self._polling: asyncio.Task[None] | None = None
        self._stats = RtcStats()
        self._last_frame = b""
        self._pc: Any = None
        self._channel: Any = None
        self._use(connection)

    @property
    def native(self) -> Any:
        """The JavaScript RTCPeerConnection, with its track and its data channel."""
        return self._pc

    def adopt(self, native: Any) -> None:
        """Go on with another RTCPeerConnection: it gets the track and a data channel, and the first one is closed."""
        if not native or same_object(native, self._pc):  # JavaScript's null is no None
            return
        if self._stage != "new" or self._ending is not None:
            raise UserError("a peer connection can be replaced only before the offer")
        if not hasattr(native, "createDataChannel"):
            raise UserError(f"an RTCPeerConnection is needed here, not {native!r}")
        self._proxies.destroy()
        self._pc.close()
        self._use(native)

    def _use(self, connection: Any) -> None:
        self._pc = connection
        self._channel = connection.createDataChannel(CHANNEL_LABEL)
        self._channel.binaryType = "arraybuffer"
        self._channel.bufferedAmountLowThreshold = _SHORT_QUEUE
        self._proxies.listen(
            connection,
            {
                "connectionstatechange": self._connection_changed,
                "icegatheringstatechange": self._gathering_changed,
                "track": self._track,
            },
        )
        self._proxies.listen(
            self._channel,
            {
                "open": self._channel_opened,
                "message": self._message,
                "close": self._channel_went,
                "bufferedamountlow": self._queue_is_short,
            },
        )
        if self._microphone is not None:
            connection.addTrack(self._microphone.track, self._microphone.stream)
        else:  # the service wants audio in the offer, whoever speaks
            connection.addTransceiver("audio", to_object({"direction": "recvonly"}))

    async def offer(self) -> str:
        """An SDP offer; see `RtcPeer.offer`."""
        self._start("offering", after="new")
        await self._speaker.prepare()
        try:
            await self._pc.setLocalDescription(await self._pc.createOffer())
        except Exception as error:
            raise SdpError(f"no offer could be made: {js_words(error)}") from error
        self._gathering_changed(None)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.gather_timeout):
                await self._gathered.wait()
        self._stage = "offered"
        return str(self._pc.localDescription.sdp)

    async def take_answer(self, sdp: str) -> None:
        """The peer's answer; see `RtcPeer.take_answer`."""
        self._start("negotiated", after="offered")
        try:
            await self._pc.setRemoteDescription(to_object({"type": "answer", "sdp": sdp}))
        except Exception as error:
            raise SdpError(f"the answer cannot be used: {js_words(error)}") from error
        self._watch_connecting()

    async def answer(self, offer: str) -> str:  # noqa: ARG002
        """Not in a page.

        Raises:
            UserError: always.
        """
        raise UserError("a page makes calls and takes none")

    def send_audio(self, pcm: bytes, /) -> None:  # noqa: ARG002
        """Not in a page: nothing can be put on the microphone's track.

        Raises:
            UserError: always.
        """
        raise UserError("a page sends what its microphone hears; pass media_stream= with another source")

    def clear_audio(self) -> None:
        """There is never any."""

    @property
    def sent_ms(self) -> float:
        """Always 0: the browser sends, and counts no audio."""
        return 0.0

    @property
    def queued_ms(self) -> float:
        """Always 0: nothing waits."""
        return 0.0

    def stats(self) -> RtcStats:
        """How the media path is doing, as of the last second."""
        return replace(self._stats, output_level=peak_dbfs(self._last_frame))

    def mute(self, muted: bool) -> None:
        """Have the tracks that are sent carry silence, or no longer."""
        for sender in self._pc.getSenders():
            if sender.track:
                sender.track.enabled = not muted

    # -- what the browser tells -------------------------------------------------------------

    def _connection_changed(self, _event: Any) -> None:
        state = str(self._pc.connectionState)
        if self._ending is not None:
            return
        if state == "connected":
            if self._polling is None:
                self._polling = asyncio.ensure_future(self._poll())
            self._change("connected")
        elif state == "connecting" and self._state == "new":
            self._change("connecting")
        elif state == "disconnected":
            self._change("disconnected", "the browser hears nothing from the peer")
        elif state == "failed":
            self._fail("the browser: no packets get through to the peer, or DTLS failed")

    def _gathering_changed(self, _event: Any) -> None:
        if str(self._pc.iceGatheringState) == "complete":
            self._gathered.set()

    def _track(self, event: Any) -> None:
        if self._ending is None:
            self._speaker.take(event.track)

    def _channel_opened(self, _event: Any) -> None:
        self._max_message = int(min(self._pc.sctp.maxMessageSize, MAX_UNSENT_BYTES))  # it may be infinite
        self._opened()

    def _channel_went(self, _event: Any) -> None:
        self._channel_gone.set()
        if self._ending is None:
            self._channel_closed()

    def _message(self, event: Any) -> None:
        data = event.data
        self._arrived(data if isinstance(data, str) else to_bytes(data))

    def _queue_is_short(self, _event: Any) -> None:
        self._writable.set()

    def _heard(self, frame: bytes) -> None:
        self._last_frame = frame
        if self._ending is None and self._state in ("connected", "disconnected"):
            self._tell(self._events.audio, frame)

    async def _poll(self) -> None:
        js = js_host("statistics")
        while True:
            report = js.Object.fromEntries(await self._pc.getStats())
            entries: dict[str, dict[str, Any]] = json.loads(js.JSON.stringify(report))
            self._stats = read_stats(entries.values())
            await asyncio.sleep(_STATS_EVERY)

    # -- what the base asks for -------------------------------------------------------------

    def _write(self, text: str) -> None:
        if str(self._channel.readyState) != "open":
            raise self._closing()
        self._channel.send(text)

    def _unsent_bytes(self) -> int:
        return int(self._channel.bufferedAmount)

    def _stop_media(self) -> None:
        if self._polling is not None:
            self._polling.cancel()
        if self._microphone is not None:
            self._microphone.stop()
        self._speaker.close()

    async def _close_library(self, *, politely: bool) -> None:
        if politely and self._channel_state == "open":
            self._channel.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._channel_gone.wait()
        self._cut()

    def _cut(self) -> None:
        self._channel.close()
        self._pc.close()
        self._loop.call_soon(self._proxies.destroy)  # the end may come from within one of them


def _ice_server(server: IceServer) -> dict[str, Any]:
    described: dict[str, Any] = {"urls": list(server.urls)}
    if server.username is not None:
        described["username"] = server.username
    if server.credential is not None:
        described["credential"] = server.credential
    return described
