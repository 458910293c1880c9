"""The Realtime API from a Cloudflare Worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ..audio.base import AudioSink, AudioSource
from ..carriers.base import CarrierRequest
from ..carriers.workers import Fetch, WorkersCarrier
from ..errors import ConfigError
from ..protocol import wire
from ..protocol.codec import Codec
from ..protocol.config import DEFAULT_MODEL
from ..protocol.engine import EngineOptions
from .base import ApiKey
from .websocket import OpenAIRealtimeWebSocket

__all__ = ["CloudflareRealtimeTransportLayer"]

_NOT_HERE: Final = {
    "proxy": "a Worker's fetch() takes none",
    "ping_interval": "its WebSockets send no pings that a program could ask for",
    "ping_timeout": "its WebSockets send no pings that a program could ask for",
    "connect": "the carrier is always one on fetch(); pass fetch= to change that",
}


class CloudflareRealtimeTransportLayer(OpenAIRealtimeWebSocket):
    """The Realtime API over a WebSocket that a Worker opens by `fetch` with an Upgrade.

    One lives in one request or one Durable Object: what was opened in one cannot be used in another. The key goes into
    the `Authorization` header, so a standard one is fine. There is no `OPENAI_API_KEY` in the environment of a
    Worker: pass `api_key=env.OPENAI_API_KEY`.

    Args:
        url: another address; ws(s) and http(s) mean the same here.
        fetch: in place of the runtime's own, such as that of a service binding.
        proxy, ping_interval, ping_timeout, connect: not here; anything but None raises `ConfigError`.
        api_key, model, headers, use_insecure_api_key, open_timeout, close_timeout, configure_timeout,
            configure_required, max_message_bytes, audio_input, audio_output, options, codec:
            as for `OpenAIRealtimeWebSocket`.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        api_key: ApiKey | None = None,
        model: str = DEFAULT_MODEL,
        headers: Mapping[str, str] | None = None,
        use_insecure_api_key: bool = False,
        fetch: Fetch | None = None,
        open_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        configure_timeout: float = 5.0,
        configure_required: bool = True,
        max_message_bytes: int = wire.DEFAULT_MAX_BYTES,
        audio_input: AudioSource | None = None,
        audio_output: AudioSink | None = None,
        options: EngineOptions | None = None,
        codec: Codec | None = None,
        proxy: None = None,
        ping_interval: None = None,
        ping_timeout: None = None,
        connect: None = None,
    ) -> None:
        refused: dict[str, Any] = {
            "proxy": proxy,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "connect": connect,
        }
        for name, value in refused.items():
            if value is not None:
                raise ConfigError(f"{name}={value!r} cannot be had in a Cloudflare Worker: {_NOT_HERE[name]}")
        super().__init__(
            url=url,
            api_key=api_key,
            model=model,
            headers=headers,
            use_insecure_api_key=use_insecure_api_key,
            connect=lambda: WorkersCarrier(fetch=fetch),
            proxy=None,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            configure_timeout=configure_timeout,
            configure_required=configure_required,
            ping_interval=None,
            ping_timeout=None,
            max_message_bytes=max_message_bytes,
            audio_input=audio_input,
            audio_output=audio_output,
            options=options,
            codec=codec,
        )

    def _request(
        self, key: str | None, *, url: str | None, call_id: str | None, model: str
    ) -> CarrierRequest:
        request = super()._request(key, url=url, call_id=call_id, model=model)
        return replace(request, subprotocols=("realtime",))
