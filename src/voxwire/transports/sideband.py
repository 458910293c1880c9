"""A connection to a call whose audio takes another way: a phone's over SIP, a page's over WebRTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

from ..carriers.base import CarrierFactory
from ..errors import UserError
from ..protocol import wire
from ..protocol.codec import Codec
from ..protocol.config import coerce_config
from ..protocol.engine import EngineOptions
from .base import ApiKey, ConfigLike
from .sip_config import without_formats
from .websocket import OpenAIRealtimeWebSocket

__all__ = ["OpenAIRealtimeSideband"]


class OpenAIRealtimeSideband(OpenAIRealtimeWebSocket):
    """Attaches to a call that exists, by its id: tools and guardrails run here, the audio does not come by.

    What is heard is told by the service (`output_audio_buffer.started`, `stopped`, `cleared`): `audio_start`,
    `audio_stopped` and `audio_interrupted` are as elsewhere, `audio` is not emitted. When the call ends, the
    service closes the connection: `connection_change` says with which code and words. `close()` leaves the call alone;
    `Calls.hangup` ends it.

    Args:
        url: another address: that of a compatible server, or `Calls.realtime_url`.
        api_key, headers, connect, proxy, open_timeout, close_timeout, configure_timeout, configure_required,
        ping_interval, ping_timeout, max_message_bytes, options, codec: see `OpenAIRealtimeWebSocket`.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        api_key: ApiKey | None = None,
        headers: Mapping[str, str] | None = None,
        connect: CarrierFactory | None = None,
        proxy: str | bool | None = True,
        open_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        configure_timeout: float = 5.0,
        configure_required: bool = True,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        max_message_bytes: int = wire.DEFAULT_MAX_BYTES,
        options: EngineOptions | None = None,
        codec: Codec | None = None,
    ) -> None:
        limits = options or EngineOptions(
            configure_timeout=configure_timeout, configure_required=configure_required
        )
        super().__init__(
            url=url,
            api_key=api_key,
            headers=headers,
            connect=connect,
            proxy=proxy,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            max_message_bytes=max_message_bytes,
            options=replace(limits, media_plane=True),
            codec=codec,
        )
        self._call_id: str | None = None

    @property
    def call_id(self) -> str | None:
        """The call that this is attached to, or was last."""
        return self._call_id

    @property
    def muted(self) -> bool | None:
        """None: the caller's audio cannot be held back from here."""
        return None

    async def connect(
        self,
        *,
        api_key: ApiKey | None = None,
        model: str | None = None,
        url: str | None = None,
        call_id: str | None = None,
        initial_session_config: ConfigLike | None = None,
    ) -> None:
        """Attach to the call, and return once the configuration is in force; see the base class for errors.

        Args:
            api_key, url: instead of those given to the constructor.
            model: without meaning here; the call has one already.
            call_id: which call.
            initial_session_config: sent first, without audio formats: those of the call stay.

        Raises:
            UserError: there is no `call_id`, or the configuration cannot be used for such a call.
            ProviderError: `status` 404, there is no such call (any more).
        """
        if not call_id:
            raise UserError(
                f"{type(self).__name__} attaches to a call: pass connect(call_id=...), as the webhook "
                "realtime.call.incoming or the Location of a WebRTC call says it"
            )
        config = self._prepared(coerce_config(initial_session_config).to_wire())
        self._call_id = call_id
        await super().connect(
            api_key=api_key, model=model, url=url, call_id=call_id, initial_session_config=config
        )

    async def update_session_config(self, config: ConfigLike) -> None:
        """Change the configuration; only what differs is sent, and no audio formats."""
        await super().update_session_config(self._prepared(coerce_config(config).to_wire()))

    def _prepared(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The part of a configuration that can be used for such a call."""
        return without_formats(config)

    async def send_audio(self, pcm: bytes, *, commit: bool = False) -> NoReturn:  # noqa: ARG002 - the interface's
        """Refuses.

        Raises:
            UserError: always; the audio of a call does not pass here.
        """
        raise UserError(
            f"{type(self).__name__} does not support sending audio: the caller's audio goes to the service directly"
        )

    async def mute(self, muted: bool) -> None:
        """Refuses to mute, for the same reason.

        Raises:
            UserError: if `muted`.
        """
        if muted:
            raise UserError(f"{type(self).__name__} cannot mute the caller, whose audio does not pass here")
