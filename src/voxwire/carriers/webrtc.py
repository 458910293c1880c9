"""A carrier over a WebRTC peer connection: messages on its data channel, audio on its track.

Any back-end of `voxwire.rtc` is under it. There are no close codes in WebRTC: a goodbye of either side is told as
1000, a connection that failed as 1006, and the reason says what happened.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Literal

from ..errors import ConnectError, ConnectionLost, UserError
from ..rtc import Backend, RtcOptions, RtcPeer, RtcPeerFactory, RtcStats, peer_factory
from ..rtc.base import PeerState
from ..rtc.tracks import TrackReader
from .base import CarrierClosed, CarrierReceiver, CarrierRequest
from .flow import Inbox, closing_words, lost
from .refusal import timed_out
from .signalling import Signalling

__all__ = ["DISCONNECT_GRACE", "MAX_HELD_BYTES", "WebRTCCarrier"]

logger = logging.getLogger("voxwire")

DISCONNECT_GRACE = 5.0
"""Seconds that a peer may be out of reach before the connection is given up, as the Agents SDK has it."""
MAX_HELD_BYTES = 8 * 1024 * 1024
"""Characters of messages held back while reading is paused; a data channel cannot be told to wait."""


class WebRTCCarrier:
    """One peer connection that we offer; see `MediaCarrier`.

    Args:
        signalling: takes the offer to the far side: `post_offer()` or your own.
        options: ICE servers, addresses, limits.
        backend: "aiortc" or "wrtc"; None takes what is installed.
        peers: makes the peer, in place of `backend`.
        media_stream: an aiortc `MediaStreamTrack` whose audio is sent beside `send_media`; it stays yours.
        change_peer_connection: called with the library's own connection before the offer is made, awaited if it is a
            coroutine function. It may return another one to use instead, which is then closed by this carrier.
        disconnect_grace: seconds out of reach before it counts as lost.
    """

    plays_itself = False

    def __init__(
        self,
        signalling: Signalling,
        *,
        options: RtcOptions | None = None,
        backend: Backend | None = None,
        peers: RtcPeerFactory | None = None,
        media_stream: Any = None,
        change_peer_connection: Callable[[Any], Any | Awaitable[Any]] | None = None,
        disconnect_grace: float = DISCONNECT_GRACE,
    ) -> None:
        self._signalling = signalling
        self._options = options or RtcOptions()
        self._backend: Backend | None = backend
        self._peers = peers
        self._media_stream = media_stream
        self._change = change_peer_connection
        self._grace = disconnect_grace
        self._link: _Link | None = None
        self._muted = False
        self._call_id: str | None = None

    @property
    def call_id(self) -> str | None:
        """The service's name for this call; None before it is open, or if the service does not say."""
        return self._call_id

    @property
    def native(self) -> Any:
        """The library's own connection; None before `open`."""
        return self._link.peer.native if self._link is not None else None

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Offer, have it answered, and wait until the data channel is open.

        If it fails or is cancelled, at whatever step, everything is closed again when it returns.

        Raises:
            As `Carrier.open`, and what `signalling` and `change_peer_connection` raise.
            MissingExtraError: if the back-end is not installed.
            CapacityError: if this process takes no further peer.
        """
        if self._link is not None:
            raise UserError("a carrier is used once; make a new one to connect again")
        options = replace(
            self._options, max_message_bytes=min(self._options.max_message_bytes, request.max_message_bytes)
        )
        factory = self._peers or peer_factory(self._backend)
        link = self._link = _Link(receiver, factory, options, self._grace)
        link.connecting = asyncio.ensure_future(self._connect(link, request))
        try:
            async with asyncio.timeout(request.open_timeout):
                await link.connecting
        except BaseException as error:
            await link.discard()
            if isinstance(error, asyncio.CancelledError) and link.left:  # by close(), not by the caller
                raise ConnectError("the connection was closed before it was open") from None
            if isinstance(error, TimeoutError) and not isinstance(error, ConnectError):
                raise timed_out("the WebRTC peer", request.open_timeout) from None
            raise
        link.inbox.opened()

    async def _connect(self, link: _Link, request: CarrierRequest) -> None:
        peer = link.peer
        if self._change is not None:
            changed = self._change(peer.native)
            if inspect.isawaitable(changed):
                changed = await changed
            if changed is not None and changed is not peer.native:
                peer.adopt(changed)
        offer = await peer.offer()
        answer = await self._signalling(request, offer)
        self._call_id = answer.call_id
        await peer.take_answer(answer.sdp)
        await link.ready
        if self._media_stream is not None and link.how is None:  # it may be over again
            link.reader = TrackReader(self._media_stream, self.send_media)

    def send(self, text: str, /) -> None:
        """Queue one text message.

        Raises:
            UserError: if it is longer than the peer takes, 256 KiB with the usual ones.
        """
        self._open_link().peer.send(text)

    async def drain(self) -> None:
        """Return once the channel's queue is short."""
        link = self._open_link()
        try:
            await link.peer.drain()
        except ConnectionLost:
            raise lost(link.how) from None

    def pause_reading(self) -> None:
        """Hold messages back, up to 8 MiB; beyond that the connection is closed. Audio goes on."""
        if self._link is not None:
            self._link.inbox.pause()

    def resume_reading(self) -> None:
        """Deliver again."""
        if self._link is not None:
            self._link.inbox.resume()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Send what is queued, say goodbye, and close; within 5 s."""
        if self._link is not None:
            await self._link.leave(CarrierClosed(*closing_words(code, reason)))

    def send_media(self, pcm: bytes, /) -> None:
        """Queue input audio; beyond `options.max_queue_ms` the oldest is dropped. Silence while muted."""
        link = self._link
        if link is not None and link.how is None:
            link.peer.send_audio(bytes(len(pcm)) if self._muted else pcm)

    def media_queued_ms(self) -> float:
        """Input audio waiting to go out, ms."""
        return self._link.peer.queued_ms if self._link is not None else 0.0

    def mute_media(self, muted: bool, /) -> None:
        """Send silence in place of input audio; what is queued already is dropped."""
        self._muted = muted
        if muted and self._link is not None:
            self._link.peer.clear_audio()

    def stats(self) -> RtcStats:
        """How the media path is doing; all zero before `open`."""
        return self._link.peer.stats() if self._link is not None else RtcStats()

    def _open_link(self) -> _Link:
        link = self._link
        if link is None or link.how is not None or not link.ready.done():
            raise lost(link.how if link is not None else None)
        return link


class _Link:
    """The peer's events (`RtcEvents`), made into those of a carrier."""

    def __init__(
        self, receiver: CarrierReceiver, factory: RtcPeerFactory, options: RtcOptions, grace: float
    ) -> None:
        self.peer: RtcPeer = factory(options, self)
        self.inbox = Inbox(receiver, stop=_nothing, go=_nothing)
        self.how: CarrierClosed | None = None
        self.left = False  # the end is ours
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.connecting: asyncio.Future[None] | None = None
        self.reader: TrackReader | None = None
        self._grace = grace
        self._timer: asyncio.TimerHandle | None = None
        self._media: Callable[[bytes], None] | None = getattr(receiver, "media", None)
        self._media_state: Callable[[str, str], None] | None = getattr(receiver, "media_state", None)
        self._closing: asyncio.Future[None] | None = None

    def state(self, state: PeerState, reason: str, /) -> None:
        """The peer's state changed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if state == "connected":
            self._tell_media("connected", reason)
        elif state == "disconnected":
            self._tell_media("disconnected", reason)
            self._timer = asyncio.get_running_loop().call_later(self._grace, self._give_up, reason)
        elif state == "failed":
            self._end(CarrierClosed(1006, reason, clean=False))
        elif state == "closed":
            self._end(CarrierClosed(1000, reason))

    def channel(self, state: Literal["open", "closed"], /) -> None:
        """The data channel opened, or is gone: without it there is no conversation."""
        if state == "closed":
            self._end(CarrierClosed(1000, "the data channel closed"))
        elif not self.ready.done():
            self.ready.set_result(None)

    def message(self, data: str | bytes, /) -> None:
        """A message came."""
        held = self.inbox.held + len(data)
        if held > MAX_HELD_BYTES and self.inbox.paused:
            words = f"{held} characters of messages came while reading was paused"
            self._end(CarrierClosed(1009, words, clean=False))
        elif self.how is None:
            self.inbox.push(data)

    def audio(self, pcm: bytes, /) -> None:
        """20 ms of audio came."""
        if self._media is not None and self.how is None:
            self._media(pcm)

    async def leave(self, how: CarrierClosed) -> None:
        """End it from here, and wait for the end."""
        self.inbox.discard()
        if self.how is None:
            self.how, self.left = how, True
            self._forget()
            if self.connecting is not None and not self.connecting.done():
                self.connecting.cancel()
            await self._close_peer()
            self.inbox.end(how)
        else:
            await self._close_peer()

    async def discard(self) -> None:
        """Close after an `open` that failed; nobody is told."""
        self._forget()
        self.how = self.how or CarrierClosed(1006, "not opened", clean=False)
        await self._close_peer()
        if self.ready.done() and not self.ready.cancelled():
            self.ready.exception()  # seen

    async def _close_peer(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self.peer.close())
        await asyncio.shield(self._closing)

    def _end(self, how: CarrierClosed) -> None:
        if self.how is not None:
            return
        self.how = how
        self._forget()
        if not how.clean:
            self._tell_media("lost", how.reason)
        if not self.ready.done():
            self.ready.set_exception(ConnectError(f"no connection to the WebRTC peer: {how.reason}"))
        self.inbox.end(how)
        if self._closing is None:
            self._closing = asyncio.ensure_future(self.peer.close())

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.reader is not None:
            self.reader.stop()

    def _give_up(self, reason: str) -> None:
        self._timer = None
        self._end(CarrierClosed(1006, f"the peer stayed out of reach: {reason}", clean=False))

    def _tell_media(self, state: str, reason: str) -> None:
        if self._media_state is not None:
            try:
                self._media_state(state, reason)
            except Exception:
                logger.exception("a carrier's receiver failed on the media path's state")


def _nothing() -> None:
    """A data channel cannot be told to wait: what comes while reading is paused is held in the inbox."""
