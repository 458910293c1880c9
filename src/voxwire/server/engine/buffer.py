"""The input audio buffer, and where it is in the session's audio."""

from __future__ import annotations

from ...protocol.formats import AudioFormat
from .errors import ClientError

__all__ = ["InputBuffer"]

MIN_COMMIT_MS = 100
"""The service refuses to commit less."""


class InputBuffer:
    """Audio that is not committed yet.

    Positions are milliseconds from the start of all audio written in the session; `clear`
    and a commit move the start, they do not reset the count.
    """

    def __init__(self, format: AudioFormat, max_ms: float) -> None:
        self.format = format
        self._max_ms = max_ms
        self._data = bytearray()
        self._end_ms = 0.0

    @property
    def end_ms(self) -> float:
        """Where the next audio will be."""
        return self._end_ms

    @property
    def start_ms(self) -> float:
        """Where the oldest audio in here is."""
        return self._end_ms - self.duration_ms

    @property
    def duration_ms(self) -> float:
        """How much audio is in here."""
        return self.format.duration_ms(len(self._data))

    def append(self, pcm: bytes, *, roll: bool = False) -> None:
        """Add audio.

        Args:
            roll: forget the oldest audio if this does not fit, in place of refusing it.

        Raises:
            ClientError: no whole samples, or more than fits; nothing is added then.
        """
        if len(pcm) % self.format.sample_bytes:
            raise ClientError(
                f"Invalid 'audio': {len(pcm)} bytes are no whole number of "
                f"{self.format.sample_bytes}-byte samples.",
                param="audio",
            )
        added = self.format.duration_ms(len(pcm))
        if roll:
            self.drop_before(self._end_ms + added - self._max_ms)
        elif self.duration_ms + added > self._max_ms:
            raise ClientError(
                f"The input audio buffer is full: it holds {self.duration_ms:.0f}ms of at most "
                f"{self._max_ms:.0f}ms. Commit or clear it.",
                code="input_audio_buffer_full",
                param="audio",
            )
        self._data += pcm
        self._end_ms += added

    def slice(self, start_ms: float, end_ms: float) -> bytes:
        """The audio between two positions, as far as it is in here."""
        base = self.start_ms
        begin = self.format.size_of(max(start_ms - base, 0))
        return bytes(self._data[begin : self.format.size_of(max(end_ms - base, 0))])

    def drop_before(self, position_ms: float) -> None:
        """Forget what is older than this."""
        del self._data[: self.format.size_of(max(position_ms - self.start_ms, 0))]

    def clear(self) -> None:
        """Forget everything."""
        self._data.clear()

    def check_commit(self) -> None:
        """Raise `ClientError` if there is too little to commit."""
        if self.duration_ms < MIN_COMMIT_MS:
            raise ClientError(
                f"Error committing input audio buffer: buffer too small. Expected at least {MIN_COMMIT_MS}ms "
                f"of audio, but buffer only has {self.duration_ms:.2f}ms of audio.",
                code="input_audio_buffer_commit_empty",
            )

    def change_format(self, format: AudioFormat) -> None:
        """Take audio of another format from now on; what is in here cannot be mixed with it and goes."""
        if format != self.format:
            self._data.clear()
            self.format = format
