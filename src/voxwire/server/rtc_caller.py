"""The caller at the other end of a peer connection: its data channel as a socket, its track as a media plane."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from ..errors import ConnectionLost, UserError
from ..rtc.base import PeerState, RtcPeer
from .limits import Limits
from .media import RtcMedia

__all__ = ["RtcCaller"]

logger = logging.getLogger("voxwire.server")


class RtcCaller:
    """What a peer tells, and how a session reaches it. It is made before the peer, which reports to it.

    As a socket it takes messages before the data channel is open, and sends them when it is.

    Attributes:
        media: the audio.
        here: set once the peer is connected, and its data channel open if it has one.
    """

    def __init__(self, limits: Limits) -> None:
        self.media = RtcMedia()
        self.here = asyncio.Event()
        self._limits = limits
        self._peer: RtcPeer | None = None
        self._has_channel = True
        self._connected = False
        self._settled = asyncio.Event()  # the channel is open, or will never be
        self._gone = False
        self._reason = ""
        self._incoming: deque[str | bytes] = deque()
        self._incoming_bytes = 0
        self._wake = asyncio.Event()
        self._on_gone: Callable[[str], None] = lambda _reason: None

    def connect(self, peer: RtcPeer, *, has_channel: bool, on_gone: Callable[[str], None]) -> None:
        """Use this peer.

        Args:
            has_channel: it offered a data channel.
            on_gone: called once, with the reason, when the caller has left.
        """
        self._peer = peer
        self._has_channel = has_channel
        self._on_gone = on_gone
        self.media.connect(peer)
        self._check_here()
        if self._gone:
            on_gone(self._reason)

    # -- what the peer tells ------------------------------------------------------------------

    def state(self, state: PeerState, reason: str, /) -> None:
        """The connection's state changed."""
        if state == "connected":
            self._connected = True
            self._check_here()
        elif state in ("failed", "closed"):
            self.leave(reason or "the connection failed")

    def channel(self, state: Literal["open", "closed"], /) -> None:
        """The data channel opened or closed."""
        if state == "open":
            self._settled.set()
            self._check_here()
        else:
            self.leave("the data channel was closed")

    def message(self, data: str | bytes, /) -> None:
        """A message on the data channel; it cannot be slowed down, so too many waiting end the call."""
        if self._gone:
            return
        self._incoming.append(data)
        self._incoming_bytes += len(data)
        self._wake.set()
        if self._incoming_bytes > 2 * self._limits.message_bytes:
            self.leave("the caller sent events faster than they could be taken")

    def audio(self, pcm: bytes, /) -> None:
        """The next 20 ms of the caller's audio."""
        self.media.heard(pcm)

    def _check_here(self) -> None:
        if self._connected and (self._settled.is_set() or not self._has_channel):
            self.here.set()

    def leave(self, reason: str) -> None:
        """The caller counts as gone from now on; idempotent."""
        if self._gone:
            return
        self._gone, self._reason = True, reason
        self._settled.set()
        self._wake.set()
        self._on_gone(reason)

    # -- as a socket --------------------------------------------------------------------------

    async def receive(self) -> str | bytes | None:
        """The next message; None when the caller has gone."""
        while not self._incoming:
            if self._gone:
                return None
            self._wake.clear()
            await self._wake.wait()
        data = self._incoming.popleft()
        self._incoming_bytes -= len(data)
        return data

    async def send(self, message: str) -> None:
        """Send an event; waits for the data channel to open, and while its queue is long."""
        await self._settled.wait()
        peer = self._peer
        if self._gone or peer is None:
            raise ConnectionResetError("the caller has gone")
        try:
            try:
                peer.send(message)
            except UserError as exc:
                _send_shortened(peer, json.loads(message), exc)
            await peer.drain()
        except ConnectionLost as exc:
            raise ConnectionResetError(str(exc)) from exc

    async def close(self, code: int, reason: str) -> None:  # noqa: ARG002 - a data channel has neither
        """Close the peer connection, once what was sent is out."""
        if self._peer is not None:
            await self._peer.close()


def _send_shortened(peer: RtcPeer, event: dict[str, Any], problem: UserError) -> None:
    """What fits of an event that does not: an item goes without its audio, others are replaced by an error."""
    shorter = json.dumps(event) if _leave_audio_out(event) else None
    try:
        if shorter is None:
            raise problem
        peer.send(shorter)
    except UserError as exc:
        logger.warning("an event did not fit on a data channel: %s", exc)
        peer.send(_too_long(event, str(exc)))


def _leave_audio_out(event: dict[str, Any]) -> bool:
    """Only an item that was asked for holds audio; whether there was any."""
    parts: list[dict[str, Any]] = event["item"].get("content", []) if "retrieved" in event["type"] else []
    return [part.pop("audio") for part in parts if "audio" in part] != []


def _too_long(event: dict[str, Any], problem: str) -> str:
    error = {
        "type": "server_error",
        "code": "event_too_long",
        "message": f"The event '{event['type']}' was not sent: {problem}. Attach a WebSocket with 'call_id' "
        "to get events of any length.",
        "param": None,
        "event_id": None,
    }
    return json.dumps({"type": "error", "event_id": event["event_id"], "error": error})
