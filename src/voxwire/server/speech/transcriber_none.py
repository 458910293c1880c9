"""A transcriber that hears nothing: for sessions that only type."""

from __future__ import annotations

from collections.abc import Callable

from .base import INPUT_RATE, SpeechHints, Transcript, Transcription

__all__ = ["NoTranscriber"]


class NoTranscriber:
    """Gives every utterance an empty transcript, with its true length."""

    def start(self, _hints: SpeechHints, _on_partial: Callable[[str], None], /) -> Transcription:
        """See `Transcriber.start`."""
        return _Utterance()

    async def close(self) -> None:
        """Nothing to release."""


class _Utterance:
    def __init__(self) -> None:
        self._bytes = 0

    def feed(self, pcm: bytes, /) -> None:
        self._bytes += len(pcm)

    async def finish(self) -> Transcript:
        return Transcript("", self._bytes / 2 / INPUT_RATE)

    def cancel(self) -> None:
        pass
