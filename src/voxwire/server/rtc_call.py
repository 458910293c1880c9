"""A call over WebRTC: one peer connection, one session."""

from __future__ import annotations

import asyncio
from typing import cast

from ..errors import ConnectError, MissingExtraError
from ..rtc import Backend, peer_factory
from ..rtc.base import RtcOptions, RtcPeer, RtcPeerFactory
from ..rtc.capacity import CapacityError
from ..rtc.sdp import SdpError, read_remote
from .auth import Refusal
from .calls import Call
from .channel import Socket
from .connection import Connection
from .limits import Limits
from .rtc_caller import RtcCaller

__all__ = ["RtcCall", "answer_offer", "find_factory"]

GOODBYE_SECONDS = 2.0
"""How long a caller may take to be told the last events once the call was ended."""

ANSWER_SECONDS = 15.0
"""How long an answer may take; gathering candidates has its own, shorter limit."""


def find_factory(backend: str | RtcPeerFactory | None) -> RtcPeerFactory:
    """What makes peers.

    Raises:
        Refusal: the back-end is not installed (501).
    """
    if callable(backend):
        return backend
    try:
        return peer_factory(cast("Backend | None", backend))  # the options have checked the name
    except MissingExtraError as exc:
        raise Refusal(
            501,
            f"This server takes no calls over WebRTC: {exc}",
            code="webrtc_not_installed",
            type="server_error",
        ) from exc


async def answer_offer(
    factory: RtcPeerFactory, options: RtcOptions, caller: RtcCaller, offer: str
) -> tuple[RtcPeer, str, bool]:
    """A peer for an offer, our answer, and whether the offer has a data channel.

    Raises:
        Refusal: the offer cannot be used (400), or there is no room for another peer (503).
    """
    try:
        has_channel = read_remote(offer, "offer").has_channel
        peer = factory(options, caller)
    except CapacityError as exc:
        raise Refusal(503, f"{exc}", code="server_overloaded", type="server_error") from exc
    except SdpError as exc:
        raise _unusable(exc) from exc
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return peer, await peer.answer(offer), has_channel
    except ConnectError as exc:
        await peer.close()
        raise _unusable(exc) from exc
    except TimeoutError as exc:
        await peer.close()
        raise Refusal(
            504, "The offer could not be answered in time.", code="answer_timeout", type="server_error"
        ) from exc
    except BaseException:
        await peer.close()
        raise


def _unusable(error: Exception) -> Refusal:
    return Refusal(400, f"The SDP offer cannot be used: {error}", code="invalid_offer", param="sdp")


class RtcCall(Call):
    """One peer connection with its session.

    Args:
        caller: what the peer reports to, and the session's first client if it has a data channel.
        connection: the session.
    """

    def __init__(
        self,
        call_id: str,
        peer: RtcPeer,
        caller: RtcCaller,
        connection: Connection,
        limits: Limits,
        *,
        has_channel: bool,
    ) -> None:
        super().__init__(call_id)
        self._peer = peer
        self._caller = caller
        self._connection = connection
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._cut: asyncio.TimerHandle | None = None
        caller.connect(peer, has_channel=has_channel, on_gone=self._gone)

    async def run(self) -> None:
        """Carry the call until it ends, then close the peer."""
        watch = asyncio.create_task(self._watch(), name=f"voxwire-server-{self.id}-watch")
        try:
            await self._connection.run()
        finally:
            if self._cut is not None:
                self._cut.cancel()
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await self._peer.close()

    async def _watch(self) -> None:
        """End a call whose caller never comes."""
        try:
            async with asyncio.timeout(self._limits.call_connect_seconds):
                await self._caller.here.wait()
        except TimeoutError:
            self.end(
                1000, f"The caller did not connect within {self._limits.call_connect_seconds:g} seconds."
            )

    def end(self, code: int, reason: str) -> None:
        """End the call; idempotent."""
        self._connection.end(code, reason)
        if self._cut is None:
            # What is queued goes out first, if there is somebody to take it.
            wait = GOODBYE_SECONDS if self._caller.here.is_set() else 0
            self._cut = self._loop.call_later(wait, self._caller.leave, reason)

    def _gone(self, reason: str) -> None:
        self._connection.end(1000, f"The call has ended: {reason}.")

    def check_attach(self) -> None:
        """Raise `Refusal` if it has too many clients."""
        if self._connection.attached >= self._limits.sidebands:
            raise Refusal(
                429,
                f"{self._limits.sidebands} clients are attached to call '{self.id}', the most it may have.",
                code="too_many_sidebands",
                type="rate_limit_error",
            )

    async def attach(self, socket: Socket) -> None:
        """Serve another client of its session until either ends."""
        await self._connection.attach(socket)
