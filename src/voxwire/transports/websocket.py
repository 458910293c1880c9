"""The Realtime API over WebSocket."""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..audio.base import AudioSink, AudioSource
from ..carriers.base import Carrier, CarrierFactory, CarrierRequest
from ..carriers.browser_host import host_has
from ..carriers.js import on_javascript
from ..protocol import wire
from ..protocol.codec import Codec
from ..protocol.config import DEFAULT_MODEL
from ..protocol.engine import EngineOptions
from .base import ApiKey
from .endpoint import endpoint
from .openai import OpenAIRealtimeBase
from .page import check_page_key

__all__ = ["OpenAIRealtimeWebSocket"]


def _websocket() -> Carrier:
    if host_has("WebSocketPair"):
        from ..carriers.workers import WorkersCarrier

        return WorkersCarrier()
    if on_javascript():
        from ..carriers.browser import BrowserWebSocketCarrier

        return BrowserWebSocketCarrier()
    from ..carriers.websocket import WebSocketCarrier

    return WebSocketCarrier()


class OpenAIRealtimeWebSocket(OpenAIRealtimeBase):
    """The Realtime API over WebSocket: for servers, and as a thin client without a session.

    Audio does not play itself here: listen to `audio`, or pass `audio_input` and `audio_output`.

    Args:
        url: another address: a compatible server, Azure (see `azure_url`). http(s) works as well.
        api_key: a key, or a function or coroutine function that gives one; without it, the
            environment variable OPENAI_API_KEY is used for the default address.
        model: the model's name.
        headers: sent with the upgrade; `Authorization` or `api-key` in here replace `api_key`.
        use_insecure_api_key: allow a standard key in a web page; without meaning elsewhere.
        connect: makes the carrier; the default is one on the `websockets` library, and under Pyodide one on the
            host's own WebSocket: in a page, where the key goes into a sub-protocol, and in a Cloudflare Worker.
        proxy: True takes the environment's (`HTTPS_PROXY`, `NO_PROXY`), None uses none.
        open_timeout: for the connection to open, s. close_timeout: for it to close, s.
        configure_timeout: for `session.created` and the echo of the first configuration, s.
        configure_required: when that passes, fail; False logs a warning and goes on.
        ping_interval: between keepalive pings, s; None sends none.
        max_message_bytes: a larger message closes the connection.
        audio_input, audio_output: a source and a sink of `voxwire.audio`; they stay yours, `close()` leaves them open.
        codec: what parses JSON and base64; see `fast_codec`.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        api_key: ApiKey | None = None,
        model: str = DEFAULT_MODEL,
        headers: Mapping[str, str] | None = None,
        use_insecure_api_key: bool = False,
        connect: CarrierFactory | None = None,
        proxy: str | bool | None = True,
        open_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        configure_timeout: float = 5.0,
        configure_required: bool = True,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        max_message_bytes: int = wire.DEFAULT_MAX_BYTES,
        audio_input: AudioSource | None = None,
        audio_output: AudioSink | None = None,
        options: EngineOptions | None = None,
        codec: Codec | None = None,
    ) -> None:
        super().__init__(
            carrier=connect or _websocket,
            api_key=api_key,
            model=model,
            audio_input=audio_input,
            audio_output=audio_output,
            options=options
            or EngineOptions(configure_timeout=configure_timeout, configure_required=configure_required),
            max_message_bytes=max_message_bytes,
            codec=codec,
        )
        self.url = url
        self.use_insecure_api_key = use_insecure_api_key
        self._headers = dict(headers or {})
        self._proxy = proxy
        self._timeouts = (open_timeout, close_timeout)
        self._pings = (ping_interval, ping_timeout)

    def _request(
        self, key: str | None, *, url: str | None, call_id: str | None, model: str
    ) -> CarrierRequest:
        address = url or self.url
        if key is None and address is None:
            key = os.environ.get("OPENAI_API_KEY")
        check_page_key(key, self._headers, allowed=self.use_insecure_api_key)
        target = endpoint(url=address, key=key, model=model, call_id=call_id, headers=self._headers)
        return CarrierRequest(
            target.url,
            target.headers,
            proxy=self._proxy,
            open_timeout=self._timeouts[0],
            close_timeout=self._timeouts[1],
            ping_interval=self._pings[0],
            ping_timeout=self._pings[1],
            max_message_bytes=self._max_bytes,
        )

    def _connected_to(self, model: str, url: str | None) -> None:
        super()._connected_to(model, url)
        if url is not None:
            self.url = url
