"""Speech to text by faster-whisper (MIT), for those who have it and a model."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import sys
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ...errors import ConfigError, MissingExtraError, ProviderError
from .base import INPUT_RATE, SpeechHints, Transcript, Transcription

__all__ = ["FasterWhisperTranscriber"]

_MAX_BYTES = 300 * INPUT_RATE * 2
_MAX_WAITING = 16


class FasterWhisperTranscriber:
    """Transcribes each utterance when it is over, one at a time, in a thread (the library releases the lock).

    At most 16 utterances wait; a further one fails.

    Args:
        model: folder of a model in CTranslate2's format; with `allow_download` also a model's name.
        allow_download: fetch a model that is not there from the network. Never done otherwise.
        device, compute_type: as faster-whisper has them.

    Raises:
        MissingExtraError: `faster-whisper` is not installed.
        ConfigError: there is no model at `model`.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        allow_download: bool = False,
        device: str = "auto",
        compute_type: str = "default",
    ) -> None:
        if not model:
            raise ConfigError("faster-whisper needs a model: give model=FOLDER.")
        if not allow_download and not (Path(model) / "model.bin").is_file():
            raise ConfigError(
                f"There is no faster-whisper model at {model!r} (no model.bin in it). Give the folder of one, "
                "or allow_download=True to have it fetched."
            )
        if importlib.util.find_spec("faster_whisper") is None:
            raise MissingExtraError("Transcription by faster-whisper", "whisper", "faster-whisper")
        if not allow_download:
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
        self._settings = {"model_size_or_path": model, "device": device, "compute_type": compute_type}
        self._model: Any = None
        self._thread = ThreadPoolExecutor(1, "voxwire-whisper")
        self._waiting = 0

    def start(self, hints: SpeechHints, _on_partial: Callable[[str], None], /) -> Transcription:
        """See `Transcriber.start`."""
        return _Utterance(self, hints)

    async def close(self) -> None:
        """Let the utterance that is being transcribed end and drop the others; idempotent."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def transcribe(self, pcm: bytes, hints: SpeechHints) -> str:
        """The text of an utterance.

        Raises:
            ProviderError: too many wait already.
        """
        if self._waiting >= _MAX_WAITING:
            raise ProviderError(f"{_MAX_WAITING} utterances wait for faster-whisper already.", retryable=True)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._transcribe, pcm, hints
            )
        finally:
            self._waiting -= 1

    def _transcribe(self, pcm: bytes, hints: SpeechHints) -> str:
        import numpy as np

        if self._model is None:
            whisper: Any = importlib.import_module("faster_whisper")
            self._model = whisper.WhisperModel(**self._settings)
        samples = array("h", pcm)
        if sys.byteorder == "big":
            samples.byteswap()
        audio = np.frombuffer(samples, dtype=np.int16).astype(np.float32) / 32768
        prompt = hints.prompt or ", ".join(hints.phrases[:50]) or None
        segments, _ = self._model.transcribe(
            audio, language=hints.language, initial_prompt=prompt, beam_size=1
        )
        return "".join(segment.text for segment in segments).strip()


class _Utterance:
    def __init__(self, owner: FasterWhisperTranscriber, hints: SpeechHints) -> None:
        self._owner = owner
        self._hints = hints
        self._audio = bytearray()
        self._too_long = False

    def feed(self, pcm: bytes, /) -> None:
        if len(self._audio) + len(pcm) > _MAX_BYTES:
            self._too_long = True
        else:
            self._audio += pcm

    async def finish(self) -> Transcript:
        if self._too_long:
            raise ProviderError("An utterance of more than five minutes cannot be transcribed.")
        text = await self._owner.transcribe(bytes(self._audio), self._hints)
        return Transcript(text, len(self._audio) / 2 / INPUT_RATE)

    def cancel(self) -> None:
        self._audio.clear()
