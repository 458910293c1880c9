"""Call control over HTTP: what the service is told about a call from outside of it.

Source: Realtime API reference, "Calls" and "Client secrets".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

from ..errors import ProviderError, UserError
from ..protocol.config import SessionConfig, coerce_config
from .endpoints import (
    DEFAULT_BASE_URL,
    call_id_in,
    check_call_id,
    check_status_code,
    realtime_url,
    target_of,
)
from .http import ApiKey, Http, json_object

if TYPE_CHECKING:
    import httpx

__all__ = ["BUSY", "DECLINE", "Call", "Calls", "ClientSecret", "ClientSecrets", "SessionLike"]

SessionLike: TypeAlias = SessionConfig | Mapping[str, Any]
"""A session configuration, typed or with the wire's names."""

BUSY: Final = 486
"""SIP status: the line is busy (RFC 3261 section 21.4.24)."""
DECLINE: Final = 603
"""SIP status: nobody wants to talk (RFC 3261 section 21.6.2)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A WebRTC call that was created.

    Attributes:
        sdp: the service's answer.
        call_id: what the call is called; None if the service did not say.
    """

    sdp: str = field(repr=False)
    call_id: str | None


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A key for a page or an app; it opens sessions and nothing else.

    Attributes:
        value: `ek_...`.
        expires_at: Unix seconds after which it opens none any more; open sessions go on.
        session: the configuration that sessions opened with it begin with, as the wire has it.
    """

    value: str = field(repr=False)
    expires_at: int
    session: Mapping[str, Any] = field(repr=False)


class ClientSecrets:
    """`Calls.client_secrets`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self, session: SessionLike | None = None, *, expires_after: float | None = None
    ) -> ClientSecret:
        """Make a key for a client that must not have yours.

        Args:
            session: what its sessions begin with.
            expires_after: seconds from now; None takes the service's 600. OpenAI takes 10 to 7200.

        Raises:
            As `Calls.accept`.
        """
        body: dict[str, Any] = {}
        if session is not None:
            body["session"] = _session(session)
        if expires_after is not None:
            if not expires_after > 0:
                raise UserError(f"expires_after must be more than 0 s, got {expires_after!r}")
            body["expires_after"] = {"anchor": "created_at", "seconds": int(expires_after)}
        what = "make a client secret"
        answer, _ = await self._http.post(what, "realtime", "client_secrets", json=body)
        fields = json_object(answer, f"the request to {what}")
        value, expires_at, effective = (fields.get(key) for key in ("value", "expires_at", "session"))
        if not isinstance(value, str) or type(expires_at) is not int:
            raise ProviderError("the answer has no client secret (value, expires_at)")
        known = cast("dict[str, Any]", effective) if isinstance(effective, dict) else {}
        return ClientSecret(value, expires_at, known)


class Calls:
    """Accepts, rejects, transfers and ends calls, and creates them and the keys for them.

        async with Calls(api_key=key) as calls:
            await calls.accept(call_id, payload)

    No request is sent again by itself: an error's `retryable` says whether that can help.

    Args:
        api_key: a key, or a function or coroutine function that gives one, asked for every request. Without one,
            the environment's OPENAI_API_KEY is used for the default address.
        base_url: another service: `EmbeddedServer.http_url`, or Azure's `https://NAME.openai.azure.com/openai/v1`.
        client: an `httpx.AsyncClient` of yours, which stays open. None makes one, which `close()` closes.
        timeout: seconds for each step of a request; None waits for ever.
        proxy: True takes the environment's, None uses none, a string is a proxy's address. A client of yours has its own.
        headers: sent along; `Authorization` or `api-key` in here replace `api_key`.

    Raises:
        UserError: if `base_url` is no address.
    """

    def __init__(
        self,
        api_key: ApiKey | None = None,
        *,
        base_url: str = DEFAULT_BASE_URL,
        client: httpx.AsyncClient | None = None,
        timeout: float | None = 10.0,
        proxy: str | bool | None = True,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.api_key = api_key
        self._http = Http(
            base_url=base_url, api_key=api_key, client=client, timeout=timeout, proxy=proxy, headers=headers
        )
        self.client_secrets = ClientSecrets(self._http)

    @property
    def realtime_url(self) -> str:
        """The WebSocket address at which a session attaches to these calls."""
        return realtime_url(self._http.base_url)

    async def accept(self, call_id: str, payload: SessionLike) -> None:
        """Answer an incoming call; the model talks from now on.

        Args:
            call_id: as the webhook says.
            payload: the session's configuration; `OpenAIRealtimeSIP.build_initial_config` makes one of an agent.

        Raises:
            AuthenticationError: the service refused the key.
            ProviderError: it refused the request; `status` 404 means that the caller has gone.
            ConnectTimeout, ConnectError: there was no answer.
            UserError, ConfigError: an argument cannot be used.
        """
        await self._command(call_id, "accept", json=_session(payload))

    async def reject(self, call_id: str, status_code: int = DECLINE) -> None:
        """Refuse an incoming call with a SIP status, 300 to 699: 603 is decline, 486 busy."""
        await self._command(call_id, "reject", json={"status_code": check_status_code(status_code)})

    async def refer(self, call_id: str, target_uri: str) -> None:
        """Transfer a SIP call (RFC 3515): the caller's side is asked to call somebody else.

        Args:
            target_uri: `sip:`, `sips:` or `tel:`; a bare number becomes a `tel:` address.
        """
        await self._command(call_id, "refer", json={"target_uri": target_of(target_uri)})

    async def hangup(self, call_id: str) -> None:
        """End a call, over SIP or WebRTC."""
        await self._command(call_id, "hangup")

    async def create(self, sdp: str, session: SessionLike | None = None) -> Call:
        """Offer a WebRTC connection.

        Args:
            sdp: the offer.
            session: the first configuration. Without it the offer is posted alone, which is meant for a
                client secret, whose session has been configured already.

        Returns:
            The answer, and the call's id.
        """
        content: dict[str, Any]
        if session is None:
            content = {"content": sdp.encode(), "headers": {"Content-Type": "application/sdp"}}
        else:
            described = json.dumps(_session(session)).encode()
            content = {
                "files": {
                    "sdp": (None, sdp.encode(), "application/sdp"),
                    "session": (None, described, "application/json"),
                }
            }
        answer, headers = await self._http.post("create the call", "realtime", "calls", **content)
        return Call(answer.decode(errors="replace"), call_id_in(headers.get("location")))

    async def _command(self, call_id: str, command: str, **content: Any) -> None:
        name = check_call_id(call_id)
        verb = {"hangup": "hang up"}.get(command, command)
        await self._http.post(f"{verb} call {name!r}", "realtime", "calls", name, command, **content)

    async def close(self) -> None:
        """Close the HTTP client if it was made here; idempotent. Calls go on."""
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.close()


def _session(session: SessionLike) -> dict[str, Any]:
    """As the endpoints want it: with its type."""
    return {"type": "realtime", **coerce_config(session).to_wire()}
