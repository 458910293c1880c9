"""From a session's input audio to probabilities of speech, and to text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..audio.resample import Converter
from ..protocol.formats import AudioFormat
from .speech.base import INPUT_RATE, Transcriber, Transcript, Transcription, VoiceActivityDetector, release

__all__ = ["Ear", "Recognition"]

SLICE_MS = 200
"""Audio handled in one go; between two slices others have their turn on the event loop."""

_SPEECH = AudioFormat("audio/pcm", INPUT_RATE)


class Ear:
    """The detector of one session, behind a resampler."""

    def __init__(self, detector: VoiceActivityDetector) -> None:
        self._detector = detector
        self._converter: Converter | None = None
        self._format: AudioFormat | None = None

    @property
    def frame_ms(self) -> int:
        """Length of a frame, ms."""
        return self._detector.frame_ms

    def slices(self, pcm: bytes, format: AudioFormat) -> Iterator[list[float]]:
        """The probabilities of the frames that each slice of the audio completes."""
        if self._converter is None or format != self._format:
            self._converter, self._format = Converter(format, _SPEECH, backend="prompt"), format
        size = format.size_of(SLICE_MS)
        for start in range(0, len(pcm), size):
            yield self._detector.probabilities(self._converter.feed(pcm[start : start + size]))

    def reset(self) -> None:
        """The stream starts anew."""
        self._converter = None
        self._detector.reset()

    async def ready(self) -> None:
        """Wait for a detector that is not complete yet."""
        ready = getattr(self._detector, "ready", None)
        if ready is not None:
            await ready()

    def close(self) -> None:
        """The stream is over."""
        release(self._detector)


class Recognition:
    """One utterance on its way to text.

    A transcriber that fails does so in `finish`, so that there is one place to look.
    """

    def __init__(
        self,
        transcriber: Transcriber,
        format: AudioFormat,
        session: Mapping[str, Any],
        on_partial: Callable[[str], None],
    ) -> None:
        self._format = format
        self._converter = Converter(format, _SPEECH, backend="prompt")
        self._waiting = bytearray()
        self._error: Exception | None = None
        self._transcription: Transcription | None = None
        from .speech.hints import hints_from_session

        try:
            self._transcription = transcriber.start(hints_from_session(session), on_partial)
        except Exception as exc:  # noqa: BLE001 - a plug-in may raise anything
            self._error = exc

    def feed(self, pcm: bytes) -> None:
        """More audio in the session's format; much of it at once waits for `finish`."""
        if self._waiting or len(pcm) > self._format.size_of(5 * SLICE_MS):
            self._waiting += pcm
        else:
            self._pass_on(pcm)

    def _pass_on(self, pcm: bytes, *, last: bool = False) -> None:
        if self._transcription is None or self._error is not None:
            return
        try:
            audio = self._converter.feed(pcm, last)
            if audio:
                self._transcription.feed(audio)
        except Exception as exc:  # noqa: BLE001 - a plug-in may raise anything
            self._error = exc

    async def finish(self, timeout: float) -> Transcript:
        """The text.

        Raises:
            Exception: whatever the transcriber raised, or `TimeoutError`.
        """
        size = self._format.size_of(SLICE_MS)
        for start in range(0, len(self._waiting), size):
            self._pass_on(bytes(self._waiting[start : start + size]))
            await asyncio.sleep(0)
        self._waiting.clear()
        self._pass_on(b"", last=True)
        if self._error is not None or self._transcription is None:
            self.cancel()
            raise self._error or RuntimeError("the transcriber did not start")
        async with asyncio.timeout(timeout):
            return await self._transcription.finish()

    def cancel(self) -> None:
        """Nobody wants the text any more."""
        if self._transcription is not None:
            self._transcription.cancel()
