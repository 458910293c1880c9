"""The media plane of a telephone call: RTP sockets, the 20 ms clock, and `SipAudio` between them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from collections.abc import Callable
from typing import Any

from ...media.ticker import TICK, Beat, Ticker
from ...protocol.formats import PCM16
from .audio import SipAudio
from .latch import Address
from .negotiation import AgreedMedia
from .ports import bind_pair

__all__ = ["SipMedia"]

_LOOK_EVERY = 10
"""Ticks between looks at what does not have to be seen at once."""
_MOST_AT_ONCE = 10
_DATAGRAM_BYTES = 2048


class SipMedia:
    """A `MediaPlane` on RTP.

    Its ports are bound when it is made, so that they can be offered; `open` begins to read, `begin` to play.

    Args:
        host: local address.
        ports: first and last port that may be used, or None.
        on_key: told of every key that the peer presses.
        on_silence: told once, when nothing came from the peer for `silent_seconds`; not while on hold.

    Raises:
        NoPortError: there are no free ports.
    """

    def __init__(
        self,
        host: str,
        ports: tuple[int, int] | None,
        *,
        silent_seconds: float | None = None,
        on_key: Callable[[str], None] | None = None,
        on_silence: Callable[[], None] | None = None,
    ) -> None:
        self._random = random.SystemRandom()
        self._sockets = bind_pair(host, ports, self._random)
        self._loop = asyncio.get_running_loop()
        self._silent_seconds = silent_seconds
        self._on_key = on_key
        self._on_silence = on_silence
        self._transports: list[asyncio.DatagramTransport] = []
        self._audio: SipAudio | None = None
        self._waiting = bytearray()  # written before there was an agreement
        self._written_ms = 0.0
        self._hear: Callable[[bytes], None] | None = None
        self._beats: list[Beat] = []
        self._ticks = 0
        self._since = self._loop.time()
        self._closed = False

    @property
    def port(self) -> int:
        """That of RTP; RTCP has the next one."""
        return self._sockets[2]

    @property
    def audio(self) -> SipAudio | None:
        """The streams, for their counters; None before there is an agreement."""
        return self._audio

    # -- life -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read from the sockets from now on."""
        rtp, rtcp, _ = self._sockets
        for one, take in ((rtp, self._rtp_came), (rtcp, self._rtcp_came)):
            if not self._closed:
                self._transports.append(await _open(one, take))
        if self._closed:  # meanwhile
            for transport in self._transports:
                transport.close()

    def agree(self, agreed: AgreedMedia) -> None:
        """What the two sides have agreed on, for the first time or anew."""
        self._since = self._loop.time()
        if self._closed:
            return
        if self._audio is None:
            wall = time.time() - self._loop.time()
            cname = f"{self._random.getrandbits(64):016x}@voxwire"
            self._audio = SipAudio(agreed, self._random, cname=cname, wall=wall)
            self._audio.sender.write(bytes(self._waiting))
            self._waiting.clear()
        else:
            self._audio.change(agreed)

    def begin(self) -> None:
        """Play and hear from now on."""
        if not self._closed:
            self._stop_ticks()
            ticker = Ticker.of_loop()
            self._beats = [ticker.add(self._tick), ticker.add(self._play)]

    def close(self) -> None:
        """Stop, and give the ports back; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._stop_ticks()
        if self._audio is not None:
            goodbye = self._audio.goodbye(self._loop.time())
            if goodbye is not None:
                self._send(1, *goodbye)
            self._audio.close()
        for transport in self._transports:
            transport.close()
        for one in self._sockets[:2][len(self._transports) :]:
            one.close()

    # -- as a media plane -----------------------------------------------------------------------

    def write(self, pcm: bytes, /) -> None:
        """Queue audio, 24 kHz PCM16."""
        self._written_ms += PCM16.duration_ms(len(pcm))
        if self._audio is not None:
            self._audio.sender.write(pcm)
        else:
            self._waiting += pcm

    def clear(self) -> float:
        """Drop what was not played; return `played_ms`."""
        self._written_ms = self.played_ms
        self._waiting.clear()
        if self._audio is not None:
            self._audio.sender.clear()
        return self._written_ms

    @property
    def played_ms(self) -> float:
        """How much was sent, ms."""
        waiting = PCM16.duration_ms(len(self._waiting))
        if self._audio is not None:
            waiting = self._audio.queued_ms
        return max(self._written_ms - waiting, 0.0)

    def listen(self, hear: Callable[[bytes], None], /) -> None:
        """Give the peer's audio to this."""
        self._hear = hear

    def press(self, keys: str) -> None:
        """Send keys to the peer.

        Raises:
            ValueError: it does not take them; see `SipAudio.press`.
        """
        if self._audio is None:
            raise ValueError("there is no audio yet to send keys in")
        self._audio.press(keys)

    # -- packets and ticks ----------------------------------------------------------------------

    def _rtp_came(self, data: bytes, source: Address) -> None:
        if self._audio is not None:
            key = self._audio.received(data, source, self._loop.time())
            if key is not None and self._on_key is not None:
                self._on_key(key)

    def _rtcp_came(self, data: bytes, source: Address) -> None:
        if self._audio is not None:
            self._audio.received_rtcp(data, source, self._loop.time())

    def _tick(self, due: float) -> None:
        audio = self._audio
        if audio is None:
            return
        packet = audio.tick(due)
        if packet is not None:
            self._send(0, *packet)
        self._ticks += 1
        if self._ticks % _LOOK_EVERY == 0:
            self._look_around(audio, self._loop.time())

    def _play(self, due: float) -> None:
        audio = self._audio
        if audio is None:
            return
        if self._loop.time() - due > TICK:
            self._read_all()
        pcm = audio.pull(due)
        if pcm is not None and self._hear is not None:
            self._hear(pcm)
        for beat in self._beats[1:]:
            later = audio.postponement(beat.due)
            if later:
                beat.move(later)

    def _stop_ticks(self) -> None:
        for beat in self._beats:
            beat.stop()
        self._beats = []

    def _read_all(self) -> None:
        """Take what waits in the socket.

        A loop that is behind makes up for several ticks, and then reads one packet. What it has not read would be
        concealed, which takes longer than to decode it, so that it would stay behind for good.
        """
        with contextlib.suppress(OSError):  # there is no more
            for _ in range(_MOST_AT_ONCE):
                self._rtp_came(*self._sockets[0].recvfrom(_DATAGRAM_BYTES))

    def _look_around(self, audio: SipAudio, now: float) -> None:
        report = audio.report(now)
        if report is not None:
            self._send(0 if audio.agreed.rtcp_mux else 1, *report)
        limit, told = self._silent_seconds, self._on_silence
        last = max(self._since, audio.last_packet or 0.0)
        if limit is not None and told is not None and not audio.agreed.held and now - last > limit:
            self._on_silence = None
            told()

    def _send(self, which: int, data: bytes, target: Address) -> None:
        if which < len(self._transports) and not self._transports[which].is_closing():
            self._transports[which].sendto(data, target)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, Address], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._take(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        pass  # the peer's port is closed: the signalling will say so


async def _open(one: socket.socket, take: Callable[[bytes, Address], None]) -> asyncio.DatagramTransport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(take), sock=one)
    return transport
