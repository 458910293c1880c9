"""How offer and answer travel: posted to `/v1/realtime/calls`, or in any way you write yourself."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from ..errors import ConfigError, ConnectError, MissingExtraError
from .base import CarrierRequest
from .refusal import endpoint, refused, timed_out, unreachable

if TYPE_CHECKING:
    import httpx

__all__ = ["MAX_ANSWER_BYTES", "Answer", "Signalling", "call_id_in", "post_offer"]

MAX_ANSWER_BYTES = 256 * 1024
"""A longer HTTP answer is not read to its end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The far side's answer to an offer.

    Attributes:
        sdp: the session description.
        call_id: what the service calls this connection, where it says so.
    """

    sdp: str = field(repr=False)
    call_id: str | None = None


Signalling: TypeAlias = Callable[[CarrierRequest, str], Awaitable[Answer]]
"""Takes an SDP offer to the far side and brings the answer."""


def post_offer(client_settings: Mapping[str, Any] | None = None) -> Signalling:
    """Post the offer to the request's URL, as the Realtime API takes it ("Create call").

    With a `session` in the request the body is `multipart/form-data` with the parts `sdp` and `session`, which
    needs a full key; without one it is the offer alone, `application/sdp`, as for an ephemeral key. Redirects
    are not followed: the key would go along.

    Args:
        client_settings: more arguments for `httpx.AsyncClient`, such as `verify`, `cert` or `transport`.

    Returns:
        A function that raises `AuthenticationError` (401, 403), `ProviderError` (other refusals, with the service's
        words), `ConnectTimeout`, `ConnectError`, and `ConfigError` for a URL or proxy that cannot be used.
    """
    settings = dict(client_settings or {})

    async def post(request: CarrierRequest, offer: str) -> Answer:
        try:
            import httpx
        except ImportError:
            raise MissingExtraError("The WebRTC transport", "webrtc", "httpx") from None
        where = endpoint(request.url, ("http", "https"))
        try:
            async with _client(request, settings) as client:
                status, headers, body = await _exchange(client, request, offer, where)
        except httpx.TimeoutException:
            raise timed_out(where, request.open_timeout) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConfigError(f"the offer cannot be posted: {error}") from None
        except httpx.RequestError as error:  # broken compression, too
            raise unreachable(where, _cause(error)) from error
        if not 200 <= status < 300:
            location = headers.get("Location") if 300 <= status < 400 else None
            raise refused(where, status, body, location)
        return Answer(body.decode(errors="replace"), call_id_in(headers.get("Location")))

    return post


def _client(request: CarrierRequest, settings: dict[str, Any]) -> httpx.AsyncClient:
    import httpx

    own: dict[str, Any] = {
        "timeout": request.open_timeout,
        "trust_env": request.proxy is True,
        "follow_redirects": False,
    }
    if isinstance(request.proxy, str):
        own["proxy"] = request.proxy
    try:
        return httpx.AsyncClient(**(own | settings))
    except (ValueError, ImportError) as error:  # a proxy of an unknown kind, or one that needs more packages
        raise ConfigError(f"the proxy cannot be used: {error}") from None


async def _exchange(
    client: httpx.AsyncClient, request: CarrierRequest, offer: str, where: str
) -> tuple[int, Mapping[str, str], bytes]:
    headers = {k: v for k, v in request.headers.items() if k.lower() != "content-type"}
    content: dict[str, Any]
    if request.session is None:
        content = {"content": offer.encode()}
        headers["Content-Type"] = "application/sdp"
    else:
        session = json.dumps(request.session)
        content = {
            "files": {"sdp": (None, offer, "application/sdp"), "session": (None, session, "application/json")}
        }
    body = bytearray()
    async with client.stream("POST", request.url, headers=headers, **content) as response:
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise ConnectError(f"{where} answered the offer with more than {MAX_ANSWER_BYTES} bytes")
        return response.status_code, response.headers, bytes(body)


def call_id_in(location: str | None) -> str | None:
    """The call's name in the answer to an offer: the last part of `Location: /v1/realtime/calls/rtc_...`."""
    if location is None:
        return None
    try:
        path = urlsplit(location).path
    except ValueError:
        return None
    return path.rstrip("/").rpartition("/")[2] or None


def _cause(error: Exception) -> BaseException:
    """What is under httpx's exception: an `OSError` or a certificate's, which says more."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError):
            return below
        below = below.__cause__ or below.__context__
    return error
