"""A peer on `wrtc` 0.1 (libwebrtc): its own RTP, jitter buffer, FEC and RED; PCM in and out.

For lossy networks and for many calls, since its media runs outside of the interpreter. It takes no say in ports
and addresses, and tells its statistics only when asked, so they are up to a second old here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from ..errors import ConfigError, MissingExtraError, UserError
from ..media.levels import SILENCE_DBFS, dbfs, peak_dbfs
from ..media.ticker import Beat, Ticker
from .base import CHANNEL_LABEL, FRAME_SAMPLES, SAMPLE_RATE, RtcEvents, RtcOptions, RtcStats
from .halving import Halver
from .pcm_queue import PcmQueue
from .peer_base import PEER_CLOSED, BasePeer, as_connect_error
from .sdp import RemoteSdp, SdpError, complete_local, read_remote
from .wrtc_stats import read_stats

__all__ = ["WrtcPeer"]

logger = logging.getLogger("voxwire")

_STATS_TICKS = 50
_FRAME_BYTES = FRAME_SAMPLES * 2
_BUFFERED_BLOCKS = 50  # of 10 ms; beyond it libwebrtc drops the oldest
_CHANNEL_GOODBYE = 1.5
_SHORT_QUEUE = 16 * 1024
_loopback_allowed = False


class WrtcPeer(BasePeer):
    """One peer connection on libwebrtc; see `RtcPeer`.

    Raises:
        MissingExtraError: without wrtc or numpy.
        ConfigError: if an option is set that libwebrtc does not offer here, or it cannot use an ICE server.
        CapacityError: if this process takes no further peer.
    """

    def __init__(self, options: RtcOptions, events: RtcEvents) -> None:
        webrtc = _import()
        _check_options(options)
        halver = Halver()
        super().__init__(options, events)
        try:
            self._pc = _connection(webrtc, options)
        except BaseException:
            self._release()
            raise
        self._replaced: list[Any] = []
        self._track: Any = None
        self._writer: Any = None
        self._queue = PcmQueue(options.max_queue_ms)
        self._halver = halver
        self._played = bytearray()
        self._channel: Any = None
        self._channel_gone = asyncio.Event()
        self._gathered = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat: Beat | None = None
        self._ticks = 0
        self._stats = RtcStats()
        self._input_level = SILENCE_DBFS
        self._output_level = SILENCE_DBFS

    @property
    def native(self) -> Any:
        """The `webrtc.RTCPeerConnection`."""
        return self._pc

    def adopt(self, native: Any) -> None:
        """Go on with another `webrtc.RTCPeerConnection`."""
        if self._stage != "new" or self._ending is not None:
            raise UserError("a peer connection can be replaced only before the offer or answer")
        if not isinstance(native, _import().RTCPeerConnection):
            raise UserError(f"a webrtc.RTCPeerConnection is needed here, not {type(native).__name__}")
        self._replaced.append(self._pc)
        self._pc = native

    async def offer(self) -> str:
        """An SDP offer; see `RtcPeer.offer`."""
        self._start("offering", after="new")
        try:
            self._prepare()
            self._take_channel(self._pc.create_data_channel(CHANNEL_LABEL))
            text = await self._describe(await self._pc.create_offer())
        except Exception as error:
            raise as_connect_error(error, "no offer could be made") from error
        self._stage = "offered"
        return complete_local(text)

    async def take_answer(self, sdp: str) -> None:
        """The peer's answer; see `RtcPeer.take_answer`."""
        self._start("negotiated", after="offered")
        remote = read_remote(sdp, "answer", keep_candidates=True)
        if not remote.has_channel:
            raise SdpError("the answer has no data channel, which carries the events")
        await self._set_remote(remote, "answer")
        self._watch_connecting()

    async def answer(self, offer: str) -> str:
        """Our answer to an offer; see `RtcPeer.answer`."""
        self._start("negotiated", after="new")
        remote = read_remote(offer, "offer", keep_candidates=True)
        _on(self._pc, "datachannel", lambda event: self._take_channel(event.channel))
        self._prepare()
        await self._set_remote(remote, "offer")
        try:
            text = await self._describe(await self._pc.create_answer())
        except Exception as error:
            raise as_connect_error(error, "the offer could not be answered") from error
        self._watch_connecting()
        return complete_local(text, remote.refused)

    def send_audio(self, pcm: bytes, /) -> None:
        """Queue audio."""
        self._queue.write(pcm)

    def clear_audio(self) -> None:
        """Drop the audio that has not been sent."""
        self._queue.clear()

    @property
    def sent_ms(self) -> float:
        """Audio that has been sent, ms."""
        return self._queue.sent_ms

    @property
    def queued_ms(self) -> float:
        """Audio waiting, ms."""
        return self._queue.queued_ms

    def stats(self) -> RtcStats:
        """How the media path is doing, as of the last second."""
        return replace(self._stats, input_level=self._input_level, output_level=self._output_level)

    def _prepare(self) -> None:
        webrtc = _import()
        self._track = webrtc.MediaStreamTrackGenerator("audio")
        self._writer = self._track.writable.get_writer()
        self._pc.add_track(self._track)
        _on(self._pc, "track", lambda event: self._spawn(self._play(event.track)))
        _on(self._pc, "connectionstatechange", lambda _: self._connection_changed())
        _on(self._pc, "icegatheringstatechange", lambda _: self._gathering_changed())

    async def _describe(self, description: Any) -> str:
        await self._pc.set_local_description(description)
        self._gathering_changed()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._options.gather_timeout):
                await self._gathered.wait()
        if self._ending is not None:
            raise UserError("the peer was closed while it made its description")
        return str(self._pc.local_description.sdp)

    async def _set_remote(self, remote: RemoteSdp, kind: Literal["offer", "answer"]) -> None:
        self._max_message = remote.max_message_bytes
        try:
            await self._pc.set_remote_description(
                _import().RTCSessionDescriptionInit(type=kind, sdp=remote.text)
            )
        except Exception as error:
            raise as_connect_error(error, f"the {kind} cannot be used") from error

    def _gathering_changed(self) -> None:
        if self._pc.ice_gathering_state == "complete":
            self._gathered.set()

    def _connection_changed(self) -> None:
        state = str(self._pc.connection_state.value)
        if state == "connected":
            if self._state in ("new", "connecting") and self._ending is None:
                self._connected()
            self._change("connected")
        elif state == "connecting" and self._state == "new":
            self._change("connecting")
        elif state == "disconnected" and self._ending is None:
            self._change("disconnected", "libwebrtc hears nothing from the peer")
        elif state == "failed":
            self._fail("libwebrtc: no packets get through to the peer, or DTLS failed")

    def _connected(self) -> None:
        self._beat = Ticker.of_loop().add(self._tick)
        if self._pc.sctp is not None:
            # The connection's own state does not follow a peer's goodbye for some seconds.
            dtls = self._pc.sctp.transport
            _on(dtls, "statechange", lambda _: self._end(PEER_CLOSED) if dtls.state == "closed" else None)

    def _tick(self, _due: float) -> None:
        frame = self._queue.tick()
        self._write_audio(frame)
        self._ticks += 1
        if self._ticks % 5 == 0:
            self._input_level = peak_dbfs(frame)
        if self._ticks % _STATS_TICKS == 0:
            self._spawn(self._look())

    def _write_audio(self, frame: bytes) -> None:
        webrtc = _import()
        init = webrtc.AudioDataInit("s16", SAMPLE_RATE, FRAME_SAMPLES, 1, self._ticks * 20_000, frame)
        self._writer.write(webrtc.AudioData(init))

    async def _play(self, track: Any) -> None:
        try:
            await self._play_out(track)
        except Exception as error:
            logger.exception("audio of libwebrtc cannot be used")
            self._fail(f"libwebrtc's audio cannot be used: {error}")

    async def _play_out(self, track: Any) -> None:
        """Hand on the peer's audio: blocks of 10 ms at 48 kHz, two of which are one of ours."""
        webrtc = _import()
        processor = webrtc.MediaStreamTrackProcessor(
            webrtc.MediaStreamTrackProcessorInit(track, max_buffer_size=_BUFFERED_BLOCKS)
        )
        reader = processor.readable.get_reader()
        while not (result := await reader.read()).done:
            data = result.value
            with data:
                block = bytearray(data.number_of_frames * data.number_of_channels * 2)
                data.copy_to(block, webrtc.AudioDataCopyToOptions(plane_index=0, format="s16"))
                self._played += self._halver.convert(block, int(data.sample_rate), data.number_of_channels)
            while len(self._played) >= _FRAME_BYTES:
                frame = bytes(self._played[:_FRAME_BYTES])
                del self._played[:_FRAME_BYTES]
                if self._ending is None and self._state in ("connected", "disconnected"):
                    self._tell(self._events.audio, frame)

    async def _look(self) -> None:
        try:
            report = await self._pc.get_stats()
        except Exception:  # noqa: BLE001 - it closes, and there is nothing to count any more
            return
        self._stats, level = read_stats(report)
        self._output_level = dbfs(level) if level else SILENCE_DBFS

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _stop_media(self) -> None:
        if self._beat is not None:
            self._beat.stop()

    def _take_channel(self, channel: Any) -> None:
        if self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.buffered_amount_low_threshold = _SHORT_QUEUE
        _on(channel, "open", lambda _: self._opened())
        _on(channel, "message", lambda event: self._arrived(_plain(event.data)))
        _on(channel, "close", lambda _: self._channel_went())
        _on(channel, "bufferedamountlow", lambda _: self._writable.set())
        if channel.ready_state == "open":
            self._opened()

    def _channel_went(self) -> None:
        self._channel_gone.set()
        if self._ending is None:
            self._channel_closed()

    def _write(self, text: str) -> None:
        if self._channel.ready_state != "open":
            raise self._closing()
        self._channel.send(text)

    def _unsent_bytes(self) -> int:
        return int(self._channel.buffered_amount)

    async def _close_library(self, *, politely: bool) -> None:
        if politely and self._channel_state == "open":
            self._channel.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CHANNEL_GOODBYE):
                    await self._channel_gone.wait()
        self._cut()
        for task in tuple(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _cut(self) -> None:
        for pc in (self._pc, *self._replaced):
            pc.close()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.abort()


def _connection(webrtc: Any, options: RtcOptions) -> Any:
    try:
        servers = [webrtc.RTCIceServer(list(s.urls), s.username, s.credential) for s in options.ice_servers]
        return webrtc.RTCPeerConnection(
            webrtc.RTCConfiguration(ice_servers=servers, bundle_policy="max-bundle")
        )
    except Exception as error:
        raise ConfigError(f"libwebrtc makes no connection with these ICE servers: {error}") from error


def _on(target: Any, name: str, handler: Callable[[Any], object]) -> None:
    target.on(name, handler)


def _plain(data: Any) -> str | bytes:
    return data if isinstance(data, str) else bytes(data)


def _check_options(options: RtcOptions) -> None:
    for name in ("ports", "public_address", "addresses"):
        if getattr(options, name):
            raise ConfigError(f"the back-end 'wrtc' has no say in {name}; use 'aiortc' for that")
    global _loopback_allowed  # noqa: PLW0603 - it holds for the whole process, like the thing itself
    if options.loopback and not _loopback_allowed:
        try:
            _import().allow_loopback()
        except Exception as error:
            raise ConfigError(
                "libwebrtc allows loopback only before its first connection; set WRTC_ALLOW_LOOPBACK=1"
            ) from error
        _loopback_allowed = True


def _import() -> Any:
    try:
        import webrtc
    except ImportError:
        raise MissingExtraError("WebRTC with libwebrtc", "libwebrtc", "wrtc") from None
    return webrtc
