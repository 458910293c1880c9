"""A peer on aiortc 1.16: its SDP, ICE, DTLS, SRTP keys and SCTP, with our own audio path on it.

The private parts of aiortc are in `aiortc_seam`, the audio in `audio_path`; here is the order of things.
Two traps decide it: with MAX_BUNDLE the audio has to exist before the data channel, or the offerer stops
its own transport; and ICE servers are always given, since aiortc's default asks a server on the internet
and stalls for 5 s without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any, Literal

from ..errors import MissingExtraError, UserError
from ..media.ticker import Beat, Ticker
from .aiortc_seam import Seam
from .audio_path import AudioPath
from .base import CHANNEL_LABEL, RtcEvents, RtcOptions, RtcStats
from .liveness import Liveness
from .peer_base import PEER_CLOSED, BasePeer, as_connect_error
from .sdp import LocalAudio, RemoteSdp, SdpError, complete_local, read_local, read_remote

__all__ = ["AiortcPeer"]

_CHANNEL_GOODBYE = 1.5
"""Seconds that what is queued on the data channel may take to go out when the peer closes."""
_SHORT_QUEUE = 16 * 1024
_LOOK_EVERY = 10  # ticks between looks at what does not have to be seen at once
_MAX_UNFINISHED = 4
"""Times `max_message_bytes` that unfinished messages may hold: SCTP may have several under way."""


class AiortcPeer(BasePeer):
    """One peer connection on aiortc; see `RtcPeer`.

    Raises:
        MissingExtraError: without aiortc, or without a libopus.
        CapacityError: if this process takes no further peer.
    """

    def __init__(self, options: RtcOptions, events: RtcEvents) -> None:
        pc = _connection(options)
        super().__init__(options, events)
        self._pc = pc
        self._replaced: list[Any] = []
        self._seam: Seam | None = None
        self._channel: Any = None
        self._channel_gone = asyncio.Event()
        self._audio: AudioPath | None = None
        self._remote: RemoteSdp | None = None
        self._liveness: Liveness | None = None
        self._playing: Beat | None = None
        self._sending: Beat | None = None
        self._ticker = Ticker.of_loop()
        self._ticks = 0

    @property
    def native(self) -> Any:
        """The `aiortc.RTCPeerConnection`."""
        return self._pc

    def adopt(self, native: Any) -> None:
        """Go on with another `RTCPeerConnection`; make it with `bundlePolicy=MAX_BUNDLE`."""
        import aiortc

        if self._stage != "new" or self._ending is not None:
            raise UserError("a peer connection can be replaced only before the offer or answer")
        if not isinstance(native, aiortc.RTCPeerConnection):
            raise UserError(f"an aiortc.RTCPeerConnection is needed here, not {type(native).__name__}")
        self._replaced.append(self._pc)
        self._pc = native

    async def offer(self) -> str:
        """An SDP offer; see `RtcPeer.offer`."""
        self._start("offering", after="new")
        try:
            self._prepare()
            self._take_channel(self._pc.createDataChannel(CHANNEL_LABEL))
            Seam.prepare_channel(self._pc.sctp)
            await self._pc.setLocalDescription(await self._pc.createOffer())
            text: str = self._pc.localDescription.sdp
        except Exception as error:
            raise as_connect_error(error, "no offer could be made") from error
        self._still_wanted()
        self._stage = "offered"
        return complete_local(text)

    async def take_answer(self, sdp: str) -> None:
        """The peer's answer; see `RtcPeer.take_answer`."""
        self._start("negotiated", after="offered")
        remote = read_remote(sdp, "answer")
        if not remote.has_channel:
            raise SdpError("the answer has no data channel, which carries the events")
        self._begin_audio(read_local(self._pc.localDescription.sdp), remote)
        await self._set_remote(remote, "answer")
        self._watch_connecting()

    async def answer(self, offer: str) -> str:
        """Our answer to an offer; see `RtcPeer.answer`."""
        self._start("negotiated", after="new")
        remote = read_remote(offer, "offer")
        self._prepare()
        self._pc.on("datachannel", self._take_channel)
        await self._set_remote(remote, "offer")
        if self._pc.sctp is not None:
            Seam.prepare_channel(self._pc.sctp)
        try:
            answer = await self._pc.createAnswer()
            self._begin_audio(read_local(answer.sdp), remote)
            await self._pc.setLocalDescription(answer)
            text: str = self._pc.localDescription.sdp
        except Exception as error:
            raise as_connect_error(error, "the offer could not be answered") from error
        self._still_wanted()
        self._watch_connecting()
        return complete_local(text, remote.refused)

    def send_audio(self, pcm: bytes, /) -> None:
        """Queue audio; nothing happens before offer and answer are made."""
        audio, seam = self._audio, self._seam
        if audio is None or seam is None:
            return
        audio.sender.write(pcm)
        if self._sending is not None and self._state == "connected":
            packet = audio.early(self._loop.time())
            if packet is not None:
                seam.send_rtp(packet)
            shift = audio.sender.retiming()
            if shift:
                audio.sender.retimed(self._sending.move(shift))

    def clear_audio(self) -> None:
        """Drop the audio that has not been sent."""
        if self._audio is not None:
            self._audio.sender.clear()

    @property
    def sent_ms(self) -> float:
        """Audio that has been sent, ms."""
        return self._audio.sender.sent_ms if self._audio is not None else 0.0

    @property
    def queued_ms(self) -> float:
        """Audio waiting, ms."""
        return self._audio.sender.queued_ms if self._audio is not None else 0.0

    def stats(self) -> RtcStats:
        """How the media path is doing."""
        return self._audio.stats() if self._audio is not None else RtcStats()

    def _prepare(self) -> None:
        """The audio transceiver, first of all, with Opus alone, and our way into its transport."""
        from aiortc import RTCRtpSender

        present = [t for t in self._pc.getTransceivers() if t.kind == "audio"]
        transceiver = present[0] if present else self._pc.addTransceiver("audio", direction="sendrecv")
        codecs = RTCRtpSender.getCapabilities("audio").codecs
        transceiver.setCodecPreferences([c for c in codecs if c.mimeType.lower() == "audio/opus"])
        self._seam = Seam(
            transceiver,
            self._options,
            on_rtp=self._rtp_came,
            on_rtcp=self._rtcp_came,
            on_consent=self._consent_came,
        )
        self._pc.on("connectionstatechange", self._connection_changed)
        self._seam.dtls.on("statechange", self._dtls_changed)

    async def _set_remote(self, remote: RemoteSdp, kind: Literal["offer", "answer"]) -> None:
        from aiortc import RTCSessionDescription

        self._remote = remote
        self._max_message = remote.max_message_bytes
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(remote.text, kind))
        except Exception as error:
            raise as_connect_error(error, f"the {kind} cannot be used") from error

    def _begin_audio(self, local: LocalAudio, remote: RemoteSdp) -> None:
        self._audio = AudioPath(
            local, remote, self._options, random=random.SystemRandom(), wall=time.time() - self._loop.time()
        )

    def _still_wanted(self) -> None:
        if self._ending is not None:
            raise UserError("the peer was closed while it made its description")

    def _where_it_stands(self) -> str:
        if self._seam is None:
            return "it has no description yet"
        return f"ICE is {self._seam.ice.state}, DTLS is {self._seam.dtls.state}"

    # What the library tells.

    def _connection_changed(self) -> None:
        state = self._pc.connectionState
        if state == "connecting":
            self._change("connecting")
        elif state == "connected" and self._liveness is None:
            self._connected()
        elif state == "failed":
            self._fail(self._why_failed())
        elif state == "closed":
            self._end(PEER_CLOSED)

    def _dtls_changed(self) -> None:
        if self._seam is not None and self._seam.dtls.state == "closed" and self._ending is None:
            self._end(PEER_CLOSED)

    def _why_failed(self) -> str:
        if self._seam is None or self._seam.ice.state == "failed":
            return "ICE failed: no pair of addresses lets packets through between the peers"
        if self._seam.dtls.encrypted:
            return "DTLS failed: the peer's certificate has another fingerprint, or there is no common SRTP profile"
        return "DTLS failed: the handshake was refused"

    def _connected(self) -> None:
        if self._seam is None or self._ending is not None:
            return
        now = self._loop.time()
        self._seam.heard = now
        self._seam.gathering.enough()
        self._liveness = Liveness(self._options.disconnected_after, now)
        if self._pc.sctp is not None:
            self._seam.take_channel(self._pc.sctp, self._fail)
        self._playing = self._ticker.add(self._play)
        self._sending = self._ticker.add(self._tick)
        self._change("connected")

    def _consent_came(self) -> None:
        if self._liveness is not None:
            self._liveness.consented(self._loop.time())

    def _rtp_came(self, packet: bytes) -> None:
        if self._audio is not None:
            self._audio.received(packet, self._loop.time())

    def _rtcp_came(self, packet: bytes) -> None:
        if self._audio is not None:
            self._audio.received_rtcp(packet, self._loop.time())

    # What happens every 20 ms.

    def _play(self, due: float) -> None:
        audio, beat = self._audio, self._playing
        if audio is None or beat is None:
            return
        pcm = audio.pull(due)
        if pcm is not None:
            self._tell(self._events.audio, pcm)
            later = audio.postponement(beat.due)
            if later:
                beat.move(later)

    def _tick(self, due: float) -> None:
        audio, seam = self._audio, self._seam
        if audio is None or seam is None:
            return
        packet = audio.tick(due)
        if packet is not None:
            seam.send_rtp(packet)
        seam.tick()
        self._check_unfinished(seam)
        self._ticks += 1
        if self._ticks % _LOOK_EVERY == 0:
            self._look_around(seam, audio, self._loop.time())

    def _look_around(self, seam: Seam, audio: AudioPath, now: float) -> None:
        audio.adapt(self._ticker.load, self._ticker.lag_ms)
        report = audio.report(now)
        if report is not None:
            seam.send_rtcp(report)
        liveness = self._liveness
        if liveness is not None and liveness.judge(seam.heard, now):
            if liveness.reach == "expired":
                self._fail("the peer is gone: no answer to a connectivity check for 30 s")
            elif liveness.reach == "disconnected":
                self._change("disconnected", f"nothing heard from the peer for {now - seam.heard:.1f} s")
            else:
                self._change("connected", "heard from the peer again")

    def _check_unfinished(self, seam: Seam) -> None:
        unfinished = seam.unfinished_bytes(self._pc.sctp) if self._pc.sctp is not None else 0
        if unfinished > _MAX_UNFINISHED * self._options.max_message_bytes:
            self._fail(f"the peer sent {unfinished} bytes of a message that does not end")

    def _stop_media(self) -> None:
        for beat in (self._playing, self._sending):
            if beat is not None:
                beat.stop()

    # The data channel.

    def _take_channel(self, channel: Any) -> None:
        if self._channel is not None:  # one is enough; another is not ours
            channel.close()
            return
        self._channel = channel
        channel.bufferedAmountLowThreshold = _SHORT_QUEUE
        channel.on("open", self._opened)
        channel.on("message", self._arrived)
        channel.on("close", self._channel_went)
        channel.on("bufferedamountlow", self._writable.set)
        if channel.readyState == "open":
            self._opened()

    def _channel_went(self) -> None:
        self._channel_gone.set()
        if self._ending is None:
            self._channel_closed()

    def _write(self, text: str) -> None:
        if self._channel.readyState != "open":
            raise self._closing()
        self._channel.send(text)

    def _unsent_bytes(self) -> int:
        return int(self._channel.bufferedAmount)

    # The end.

    async def _close_library(self, *, politely: bool) -> None:
        seam = self._seam
        if seam is not None:
            await seam.gathering.stop()
            if politely:
                await self._close_channel()
                if self._audio is not None:
                    seam.send_rtcp(self._audio.goodbye(self._loop.time()))
        for pc in (self._pc, *self._replaced):
            await pc.close()
        if self._audio is not None:
            self._audio.close()

    async def _close_channel(self) -> None:
        """A stream reset goes out behind all that is queued (RFC 8831, 6.7), and is answered."""
        if self._channel_state == "open":
            self._channel.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHANNEL_GOODBYE):
                    await self._channel_gone.wait()

    def _cut(self) -> None:
        if self._seam is not None:
            self._seam.cut()


def _connection(options: RtcOptions) -> Any:
    try:
        from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer, RTCPeerConnection
    except ImportError:
        raise MissingExtraError("WebRTC", "webrtc", "aiortc") from None
    servers = [RTCIceServer(list(s.urls), s.username, s.credential) for s in options.ice_servers]
    return RTCPeerConnection(RTCConfiguration(iceServers=servers, bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))
