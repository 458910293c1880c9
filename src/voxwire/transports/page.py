"""The transports in a web page, under Pyodide: whose key is let in, and what the browser brings along."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..carriers.base import Carrier
from ..carriers.browser_host import in_page
from ..errors import ConfigError, UserError
from .default_audio import DEFAULT, EchoCancellation

if TYPE_CHECKING:  # a Worker vendors this module, for the key's sake, and none of `rtc`
    from ..rtc.base import RtcOptions

__all__ = ["PageDevices", "check_page_key", "microphone_constraints", "page_devices"]

_KEY_HEADERS: Final = ("authorization", "api-key")


@dataclass(frozen=True, slots=True)
class PageDevices:
    """What a page's carrier records and plays with; attributes as the arguments of `BrowserWebRTCCarrier`."""

    microphone: Mapping[str, Any] | bool = True
    media_stream: Any = None
    audio_element: Any = None
    audible: bool = True

    def carrier(
        self, options: RtcOptions, change_peer_connection: Callable[[Any], Any | Awaitable[Any]] | None
    ) -> Carrier:
        """A carrier with these."""
        from ..carriers.browser import BrowserWebRTCCarrier

        return BrowserWebRTCCarrier(
            options=options,
            microphone=self.microphone,
            media_stream=self.media_stream,
            audio_element=self.audio_element,
            audible=self.audible,
            change_peer_connection=change_peer_connection,
        )


def page_devices(
    *,
    audio_input: Any,
    audio_output: Any,
    media_stream: Any,
    audio_element: Any,
    echo_cancellation: EchoCancellation,
    backend: Any,
    proxy: str | bool | None,
) -> PageDevices:
    """What the arguments of `OpenAIRealtimeWebRTC` mean in a page.

    Raises:
        UserError: a source or a sink of Python's, which a browser cannot be given.
        ConfigError: a back-end or a proxy; a page has its browser's.
    """
    for name, value, instead in (
        ("audio_input", audio_input, "media_stream= with a MediaStream"),
        (
            "audio_output",
            audio_output,
            "audio_element= with an audio element of the page, or listen to 'audio'",
        ),
    ):
        if value is not None and value is not DEFAULT:
            raise UserError(f"{name}={value!r}: in a page the browser records and plays; pass {instead}")
    if backend is not None:
        raise ConfigError(f"backend={backend!r} cannot be had in a page, which has its browser's WebRTC")
    if isinstance(proxy, str):
        raise ConfigError("proxy cannot be set in a page: the browser has its own settings")
    return PageDevices(
        microphone=False if audio_input is None else microphone_constraints(echo_cancellation),
        media_stream=media_stream,
        audio_element=audio_element,
        audible=audio_output is not None,
    )


def microphone_constraints(echo_cancellation: EchoCancellation) -> Mapping[str, Any] | bool:
    """The constraints of `getUserMedia` (W3C Media Capture and Streams, 4.3.8); browsers cancel echo by default."""
    if echo_cancellation == "require":
        return {"echoCancellation": {"exact": True}}
    return True if echo_cancellation else {"echoCancellation": False}


def check_page_key(key: str | None, headers: Mapping[str, str], *, allowed: bool) -> None:
    """Refuse a standard key in a page: all who look at the page could use it. Elsewhere every key will do.

    Args:
        headers: the user's; a key may be in there as well.
        allowed: `use_insecure_api_key`.

    Raises:
        UserError: the key is no ephemeral one.
    """
    if allowed or not in_page():
        return
    given = [
        key or "",
        *(value.removeprefix("Bearer ") for name, value in headers.items() if name.lower() in _KEY_HEADERS),
    ]
    if any(each and not each.strip().startswith("ek_") for each in given):
        raise UserError(
            "this key can be read by everybody who opens the page; let your server make an ephemeral one (ek_..., "
            "POST /v1/realtime/client_secrets), or pass use_insecure_api_key=True if the page is yours alone"
        )
