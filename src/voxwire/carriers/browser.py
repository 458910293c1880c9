"""Carriers for Pyodide in a web page: the browser's own WebRTC and WebSocket.

A page shows its users everything in it, so that a key in it is theirs: use ephemeral ones (`ek_...`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from ..errors import ConfigError, ConnectError, UserError
from ..rtc.base import RtcEvents, RtcOptions, RtcPeer
from .base import CarrierReceiver, CarrierRequest
from .browser_audio import PageMicrophone, open_microphone
from .browser_peer import BrowserPeer
from .browser_signalling import fetch_answer
from .browser_socket import PageSocketLink
from .flow import lost
from .js import js_host, js_words
from .refusal import endpoint, timed_out
from .signalling import Signalling
from .socket import SocketCarrier
from .webrtc import DISCONNECT_GRACE, WebRTCCarrier

__all__ = ["KEY_PROTOCOL", "BrowserWebRTCCarrier", "BrowserWebSocketCarrier", "key_protocols"]

KEY_PROTOCOL: Final = "openai-insecure-api-key."
"""What the sub-protocol begins with that carries a page's key (OpenAI Realtime guide, WebSocket)."""


class BrowserWebRTCCarrier(WebRTCCarrier):
    """One peer connection of the browser, with its microphone and its loudspeaker; see `MediaCarrier`.

    Args:
        options: ICE servers and limits; see `BrowserPeer`.
        microphone: constraints of its audio as for `getUserMedia`, True for the defaults (echo cancellation included),
            False for none.
        media_stream: a JavaScript MediaStream, sent in place of the microphone; it stays yours: its tracks are not
            stopped, but muting disables the one that is sent.
        audio_element: an HTMLAudioElement that plays the agent; by default one that the page does not show.
        audible: False plays nothing; the audio is told all the same.
        change_peer_connection: called before the offer with the RTCPeerConnection, its track and data channel in place.
            It may return another one to use instead; the first is then closed.
        signalling: in place of the post by `fetch`.
        disconnect_grace: seconds out of reach before it counts as lost.
    """

    plays_itself = True

    def __init__(
        self,
        *,
        options: RtcOptions | None = None,
        microphone: Mapping[str, Any] | bool = True,
        media_stream: Any = None,
        audio_element: Any = None,
        audible: bool = True,
        change_peer_connection: Callable[[Any], Any | Awaitable[Any]] | None = None,
        signalling: Signalling = fetch_answer,
        disconnect_grace: float = DISCONNECT_GRACE,
    ) -> None:
        super().__init__(
            signalling,
            options=options,
            peers=self._peer,
            change_peer_connection=change_peer_connection,
            disconnect_grace=disconnect_grace,
        )
        self._constraints = microphone
        self._given = None if media_stream is None else PageMicrophone(media_stream, own=False)
        self._element = audio_element
        self._audible = audible
        self._microphone: PageMicrophone | None = None
        self._peer_made: BrowserPeer | None = None
        self._used = False

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Get the microphone, then connect; see `WebRTCCarrier.open`.

        `open_timeout` begins when the microphone is there: until then it is up to the page's user.

        Raises:
            DeviceError: no microphone.
        """
        if self._used:
            raise UserError("a carrier is used once; make a new one to connect again")
        self._used = True
        self._microphone = self._given
        if self._microphone is None and self._constraints is not False:
            self._microphone = await open_microphone(self._constraints)
        try:
            await super().open(request, receiver)
        except BaseException:
            if self._microphone is not None:
                self._microphone.stop()
            raise

    def _peer(self, options: RtcOptions, events: RtcEvents, /) -> RtcPeer:
        peer = self._peer_made = BrowserPeer(
            options,
            events,
            microphone=self._microphone,
            audio_element=self._element,
            audible=self._audible,
        )
        if self._muted:
            peer.mute(True)
        return peer

    def mute_media(self, muted: bool, /) -> None:
        """Have the tracks that are sent carry silence, or no longer."""
        self._muted = muted
        if self._peer_made is not None:
            self._peer_made.mute(muted)


class BrowserWebSocketCarrier(SocketCarrier):
    """One WebSocket of the browser. It carries no headers: a key goes into a sub-protocol.

    What it cannot do is said in `workers_link`, whose sockets are alike: it cannot be told to stop reading.
    """

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Connect; see `Carrier.open`. `proxy` and the pings of the request are left to the browser.

        Raises:
            ConfigError: a header other than `Authorization: Bearer` is asked for.
            ConnectError: it did not open. A page is not told why: a refused key looks like a wrong address.
        """
        self._use()
        where = endpoint(request.url)
        protocols = key_protocols(request)
        js = js_host("A page's WebSocket")
        if getattr(js, "WebSocket", None) is None:
            raise UserError("this JavaScript host has no WebSocket; Node has one from version 22 on")
        try:
            socket = js.WebSocket.new(request.url, js.Array.of(*protocols))
        except Exception as error:
            raise ConnectError(f"cannot connect to {where}: {js_words(error)}") from error
        link = self._link = PageSocketLink(
            socket,
            receiver,
            close_timeout=request.close_timeout,
            max_message_bytes=request.max_message_bytes,
        )
        link.start()
        try:
            async with asyncio.timeout(request.open_timeout):
                opened = await link.opened
        except TimeoutError:
            link.abandon()
            raise timed_out(where, request.open_timeout) from None
        except asyncio.CancelledError:
            link.abandon()
            raise
        if not opened:
            raise ConnectError(
                f"cannot connect to {where}. A page is not told why: the address or the network is wrong, or the "
                "service refused the key"
            )
        link.inbox.opened()

    async def drain(self) -> None:
        """Return once less than 32 KiB wait to be sent."""
        if self._link is None:
            raise lost(None)
        await self._link.drained()


def key_protocols(request: CarrierRequest) -> list[str]:
    """The sub-protocols of a page's WebSocket, the key of the request's headers among them.

    Raises:
        ConfigError: if there is any other header.
    """
    protocols = list(request.subprotocols) or ["realtime"]
    for name, value in request.headers.items():
        scheme, _, key = value.partition(" ")
        if name.lower() != "authorization" or scheme.lower() != "bearer":
            raise ConfigError(
                f"a page's WebSocket carries no headers, and so not {name!r}; only an api_key can be sent along"
            )
        protocols.append(KEY_PROTOCOL + key.strip())
    return protocols
