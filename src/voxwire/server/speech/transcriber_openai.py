"""Speech to text by an OpenAI-compatible HTTP endpoint (`POST /audio/transcriptions`)."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable

from ...errors import ProviderError
from .base import INPUT_RATE, SpeechHints, Transcript, Transcription
from .http_api import HttpApi

__all__ = ["OpenAITranscriber"]

_MAX_BYTES = 24 << 20


class OpenAITranscriber:
    """Uploads each utterance as a WAV file when it is over; no partial results.

    Args:
        base_url, api_key, timeout: see `HttpApi`.
        model: the model's name on that server.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        model: str = "gpt-4o-mini-transcribe",
        timeout: float = 30.0,
    ) -> None:
        self._api = HttpApi(base_url, api_key, timeout)
        self._model = model

    def start(self, hints: SpeechHints, _on_partial: Callable[[str], None], /) -> Transcription:
        """See `Transcriber.start`."""
        return _Utterance(self._api, self._model, hints)

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._api.close()


class _Utterance:
    def __init__(self, api: HttpApi, model: str, hints: SpeechHints) -> None:
        self._api = api
        self._fields = {"model": model, "response_format": "json"}
        if hints.language:
            self._fields["language"] = hints.language
        prompt = hints.prompt or ", ".join(hints.phrases[:50])
        if prompt:
            self._fields["prompt"] = prompt
        self._audio = bytearray()
        self._too_long = False

    def feed(self, pcm: bytes, /) -> None:
        if len(self._audio) + len(pcm) > _MAX_BYTES:
            self._too_long = True
        else:
            self._audio += pcm

    async def finish(self) -> Transcript:
        if self._too_long:
            raise ProviderError(f"An utterance of more than {_MAX_BYTES >> 20} MiB cannot be transcribed.")
        seconds = len(self._audio) / 2 / INPUT_RATE
        files = {"file": ("utterance.wav", _wav(bytes(self._audio)), "audio/wav")}
        api = self._api
        import httpx

        try:
            response = await api.client.post(api.url("audio/transcriptions"), data=self._fields, files=files)
        except httpx.HTTPError as error:
            raise api.network_error(error) from error
        await api.check(response)
        try:
            text = response.json()["text"]
        except (ValueError, KeyError, TypeError) as error:
            raise ProviderError(f"The transcription has no text: {response.text[:200]!r}") from error
        return Transcript(str(text).strip(), seconds)

    def cancel(self) -> None:
        self._audio.clear()


def _wav(pcm: bytes) -> bytes:
    output = io.BytesIO()
    with wave.open(output, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(INPUT_RATE)
        file.writeframes(pcm)
    return output.getvalue()
