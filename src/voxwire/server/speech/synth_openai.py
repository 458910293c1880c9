"""Speech by an OpenAI-compatible HTTP endpoint (`POST /audio/speech`, 24 kHz PCM)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ...errors import ConfigError
from .alignment import StreamAligner
from .base import Speech, SynthesisRequest
from .http_api import HttpApi
from .sentences import sentence_spans

__all__ = ["OpenAISynthesizer"]


class OpenAISynthesizer:
    """Streams sentence by sentence; word times are estimates that are set right at each sentence's end.

    Args:
        base_url, api_key, timeout: see `HttpApi`.
        model, voice: names on that server; `voice` is for sessions that name none.
        sample_rate: Hz of the server's `pcm` format (OpenAI's is 24000).
    """

    sample_rate: int

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        model: str = "gpt-4o-mini-tts",
        voice: str = "alloy",
        sample_rate: int = 24_000,
        timeout: float = 30.0,
    ) -> None:
        if not 8_000 <= sample_rate <= 48_000:
            raise ConfigError(f"sample_rate has to be 8000 to 48000 Hz, not {sample_rate!r}.")
        self._api = HttpApi(base_url, api_key, timeout)
        self._model = model
        self._voice = voice
        self.sample_rate = sample_rate

    async def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        """See `Synthesizer.speak`.

        Raises:
            ProviderError: the service refused. ConnectError: it cannot be reached.
        """
        import httpx

        aligner = StreamAligner(self.sample_rate)
        for start, end in sentence_spans(request.text):
            aligner.begin(request.text, start, end)
            body: dict[str, object] = {
                "model": self._model,
                "voice": request.voice or self._voice,
                "input": request.text[start:end],
                "response_format": "pcm",
                "speed": request.speed,
            }
            try:
                async for pcm in self._pieces(body):
                    yield aligner.feed(pcm)
            except httpx.HTTPError as error:
                raise self._api.network_error(error) from error
            yield Speech(b"", aligner.finish())

    async def _pieces(self, body: dict[str, object]) -> AsyncIterator[bytes]:
        """Whole samples, whatever way the network cut them."""
        rest = b""
        async with self._api.client.stream("POST", self._api.url("audio/speech"), json=body) as response:
            await self._api.check(response)
            async for chunk in response.aiter_bytes():
                data = rest + chunk
                whole = len(data) - len(data) % 2
                rest = data[whole:]
                if whole:
                    yield data[:whole]

    async def close(self) -> None:
        """Close the connections; idempotent."""
        await self._api.close()
