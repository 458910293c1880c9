"""What transports with a media plane have in common: audio as frames beside the events, both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, cast

from ..audio.base import AudioSource
from ..audio.resample import Converter
from ..carriers.base import Carrier, CarrierClosed, MediaCarrier
from ..errors import ConnectionLost, UserError, VoxwireError
from ..media.levels import peak_dbfs
from ..protocol.config import input_format
from ..protocol.formats import PCM16, AudioFormat
from ..protocol.transport_events import (
    AudioEvent,
    AudioSent,
    ErrorEvent,
    MediaState,
    MediaStateChange,
)
from ..rtc.base import RtcStats
from .link import Link
from .live_queue import LiveQueue
from .openai import OpenAIRealtimeBase

__all__ = ["MediaLink", "MediaTransport"]

SILENCE: Final = -60.0
"""dBFS; what never gets louder is silence. Opus makes a few units of noise out of zeros."""
QUIET: Final = -45.0
"""dBFS; what never gets louder may be left out of live input that has fallen behind."""
HIGH_MS: Final = 200.0
"""Audio waiting to go out, ms, at which `send_audio` waits."""
PIECE_MS: Final = 100.0
"""`send_audio` hands audio over in pieces of that length, ms."""
COMMIT_GRACE: Final = 0.1
"""Seconds between the last sample going out and the commit, which would otherwise overtake it."""
APPEND_BYTES: Final = 48_000
"""Audio in one append event at most: data channels carry messages of 256 KiB at least (64 KiB is usual)."""


class MediaLink(Link):
    """A link that takes frames, too.

    Args:
        on_media, on_state: the transport's methods for frames and for changes of their path.
    """

    def __init__(
        self,
        carrier: Carrier,
        on_message: Callable[[Link, str | bytes], None],
        on_closed: Callable[[Link, CarrierClosed], None],
        on_media: Callable[[MediaLink, bytes], None],
        on_state: Callable[[MediaState, str], None],
    ) -> None:
        super().__init__(carrier, on_message, on_closed)
        self._on_media = on_media
        self._on_state = on_state

    @property
    def media_carrier(self) -> MediaCarrier:
        """The carrier, as what it is."""
        return cast("MediaCarrier", self.carrier)

    def media(self, pcm: bytes, /) -> None:
        """The carrier received a frame."""
        if not self._cut:
            self._on_media(self, pcm)

    def media_state(self, state: str, reason: str, /) -> None:
        """The carrier's media path changed."""
        if not self._cut:
            self._on_state(cast("MediaState", state), reason)


class MediaTransport(OpenAIRealtimeBase):
    """An engine on a `MediaCarrier`; its options must have `media_plane` set.

    Takes the arguments of `OpenAIRealtimeBase`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._last_stats = RtcStats()
        self._skipped_ms = 0.0
        self._feeding = asyncio.Lock()
        self._converter = Converter(PCM16, PCM16)

    # -- what it is -----------------------------------------------------------------------

    @property
    def call_id(self) -> str | None:
        """The service's name for this call (`rtc_...`); None while there is none."""
        link = self._media_link
        return link.media_carrier.call_id if link is not None else None

    @property
    def skipped_ms(self) -> float:
        """Output audio that was played, but not told to listeners because one of them lagged behind, ms."""
        return self._skipped_ms

    def get_stats(self) -> RtcStats:
        """How the media path is doing: round trip, loss, jitter, concealment, levels; at last, if it is over."""
        link = self._media_link
        return link.media_carrier.stats() if link is not None else self._last_stats

    @property
    def input_level(self) -> float:
        """How loud the last frame sent was, dBFS; -96 is silence."""
        return self.get_stats().input_level

    @property
    def output_level(self) -> float:
        """How loud the last frame received was, dBFS."""
        return self.get_stats().output_level

    @property
    def _media_link(self) -> MediaLink | None:
        return cast("MediaLink | None", self._link)

    # -- the connection -------------------------------------------------------------------

    def _new_link(self) -> Link:
        carrier = self._new_carrier()
        if cast("MediaCarrier", carrier).plays_itself and (self._source or self._sink):
            raise UserError(
                "microphone and loudspeaker are the carrier's own here; pass audio_input=None and audio_output=None"
            )
        link = MediaLink(carrier, self._received, self._closed, self._frame, self._media_state)
        link.media_carrier.mute_media(self._muted)
        return link

    def _end(
        self, link: Link | None, how: CarrierClosed | None = None, error: VoxwireError | None = None
    ) -> None:
        if link is not None and link is self._link:
            self._last_stats = cast("MediaLink", link).media_carrier.stats()
        super()._end(link, how, error)

    def _media_state(self, state: MediaState, reason: str) -> None:
        self._emit(MediaStateChange(state, reason))

    # -- what is heard --------------------------------------------------------------------

    def _frame(self, link: MediaLink, pcm: bytes) -> None:
        if link is not self._link:
            return
        silent = _is_silent(pcm)
        plane = self._engine.plane
        if silent and plane is not None and plane.quiet:
            return  # nothing comes of it
        if silent:
            self._ask_sink()  # it may be the end
        self._perform(self._engine.media(pcm, silent, self._now()))

    def _timer(self, name: str) -> None:
        self._ask_sink()
        super()._timer(name)

    def _play(self, audio: AudioEvent, link: Link | None) -> None:
        if not self._laggards:
            super()._play(audio, link)
            return
        # Frames cannot be asked to wait, and must not pile up at a listener that is far behind.
        self._skipped_ms += audio.format.duration_ms(len(audio.data))
        if self._sink is not None:
            self._guarded(self._sink.write, audio.data)

    # -- what is said ---------------------------------------------------------------------

    async def mute(self, muted: bool) -> None:
        """Send silence in place of input audio, or no longer. May be called before `connect`."""
        await super().mute(muted)
        if self._media_link is not None:
            self._media_link.media_carrier.mute_media(self._muted)

    async def _pump(self, link: Link, source: AudioSource) -> None:
        """Send the source's audio at its own pace; one that is not in real time is slowed down to it.

        Live input that waits for long is cut where it is quiet until it does not: see `LiveQueue`.
        """
        live = LiveQueue() if getattr(source, "realtime", True) else None
        frames = source.frames(PCM16)
        try:
            async for frame in frames:
                if link is not self._link:
                    break
                if live is None:
                    await self._room(cast("MediaLink", link))
                elif self._lags(cast("MediaLink", link), live, frame):
                    continue
                self._send_media(cast("MediaLink", link), frame)
        except ConnectionLost:
            pass  # told by the carrier
        except Exception as error:  # noqa: BLE001 - a broken microphone must not end the call
            self._emit(ErrorEvent(error))
        finally:
            if isinstance(frames, AsyncGenerator):
                await frames.aclose()

    @staticmethod
    def _lags(link: MediaLink, live: LiveQueue, frame: bytes) -> bool:
        quiet = peak_dbfs(frame) < QUIET
        return live.leaves_out(
            link.media_carrier.media_queued_ms(), PCM16.duration_ms(len(frame)), quiet=quiet
        )

    def _send_media(self, link: MediaLink, pcm: bytes) -> None:
        link.media_carrier.send_media(pcm)
        if self.listeners.has("audio_sent"):
            self.listeners.emit("audio_sent", AudioSent(bytes(len(pcm)) if self._muted else pcm))

    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> None:
        """Send audio in the session's input format.

        Without a source it goes out on the track, in real time: the call returns when all but 200 ms of it are on
        their way. With one (a microphone) it is appended to the service's buffer by events, beside what the source says.
        Dropped without an error while there is no connection: live audio has no value later.

        Args:
            pcm: samples, any length.
            commit: end the user's turn, once what was said before is on its way.

        Raises:
            ConnectionLost: if the connection ends meanwhile.
        """
        link = self._media_link
        if link is None or self._engine.connection != "connected":
            return
        if self._source is not None or link.media_carrier.plays_itself:
            for start in range(0, len(pcm), APPEND_BYTES):
                await super().send_audio(pcm[start : start + APPEND_BYTES])
        else:
            async with self._feeding:
                await self._feed(link, pcm, last=commit)
        if commit:
            await self._room(link, 0.0)
            await asyncio.sleep(COMMIT_GRACE)
            self._check(link)
            self._send_now({"type": "input_audio_buffer.commit", "event_id": self._engine.ids("event")})
            await link.carrier.drain()

    async def _feed(self, link: MediaLink, pcm: bytes, *, last: bool) -> None:
        audio = self._to_track(input_format(self._engine.session)).feed(pcm, last)
        size = PCM16.size_of(PIECE_MS)
        for start in range(0, len(audio), size):
            await self._room(link)
            self._send_media(link, audio[start : start + size])

    def _to_track(self, format: AudioFormat) -> Converter:
        if self._converter.source != format:
            self._converter = Converter(format, PCM16)
        return self._converter

    async def _room(self, link: MediaLink, below: float = HIGH_MS) -> None:
        """Wait until less than that is waiting to go out."""
        self._check(link)
        while (over := link.media_carrier.media_queued_ms() - below) > 0:
            await asyncio.sleep(max(over, 5.0) / 1000)
            self._check(link)

    def _check(self, link: MediaLink) -> None:
        if link is not self._link:
            how = link.how or CarrierClosed(1000)
            raise ConnectionLost(
                "the connection ended before all audio was sent", code=how.code, reason=how.reason
            )


def _is_silent(pcm: bytes) -> bool:
    return pcm.count(0) == len(pcm) or peak_dbfs(pcm) < SILENCE
