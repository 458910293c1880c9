"""One request and its answer, on httpx, with the errors of this package."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

from ..errors import ConnectError, ConnectTimeout, MissingExtraError, ProviderError, UserError
from ..protocol.keys import OPENAI_HOST, key_headers
from ..protocol.refusals import refusal
from .endpoints import endpoint_url

if TYPE_CHECKING:
    import httpx

__all__ = ["ApiKey", "Http", "json_object"]

ApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A key, or a function or coroutine function that gives one; asked for every request."""

MAX_ANSWER: Final = 4 * 1024 * 1024
"""Bytes read of an answer."""


class Http:
    """Posts to the service.

    Args:
        base_url: what the paths are added to.
        api_key: None takes the environment's OPENAI_API_KEY for OpenAI's own address.
        client: used and left open; None makes one with the first request, which `close` closes.
        timeout: seconds for each step of a request; None waits for ever.
        proxy: True takes the environment's, None and False use none, a string is a proxy's address.
        headers: sent with every request.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: ApiKey | None,
        client: httpx.AsyncClient | None,
        timeout: float | None,
        proxy: str | bool | None,
        headers: Mapping[str, str] | None,
    ) -> None:
        parts = urlsplit(endpoint_url(base_url))  # refuses what is no address
        self.base_url = base_url
        self._host = parts.hostname or ""
        self._where = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._api_key = api_key
        self._client = client
        self._own = client is None
        self._closed = False
        self._timeout = timeout
        self._proxy = proxy
        self._headers = dict(headers or {})

    async def post(self, what: str, *segments: str, **content: Any) -> tuple[bytes, Mapping[str, str]]:
        """Post to a path; `content` is what httpx takes (`json`, `files`, `content`, `headers`).

        Args:
            what: what is being done, for messages: "accept the call".

        Returns:
            The answer's body and headers.

        Raises:
            AuthenticationError, ProviderError: the service refused.
            ConnectTimeout, ConnectError: there was no answer.
            UserError: it is closed, or there is no key.
            Whatever the key function raises.
        """
        import_httpx()
        headers = key_headers(self._host, await self._key(), {**self._headers, **content.pop("headers", {})})
        client = self._ready()
        url = endpoint_url(self.base_url, *segments)
        # A redirect is not followed: the key would go along.
        request = client.build_request("POST", url, headers=headers, timeout=self._timeout, **content)
        return await self._exchange(client, request, what)

    async def _exchange(
        self, client: httpx.AsyncClient, request: httpx.Request, what: str
    ) -> tuple[bytes, Mapping[str, str]]:
        httpx = import_httpx()
        try:
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise ConnectTimeout(self._unanswered(what, error)) from error
        except httpx.RequestError as error:  # broken compression, too
            raise ConnectError(self._unanswered(what, error)) from error
        if response.is_success:
            return body, response.headers
        said = f"{self._where} refused to {what} with HTTP {response.status_code}"
        if response.is_redirect:
            raise refusal(said, response.status_code, None, "redirected elsewhere; use that base_url")
        raise refusal(said, response.status_code, body, _phrase(response.status_code))

    def _unanswered(self, what: str, error: Exception) -> str:
        httpx = import_httpx()
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)):
            return f"cannot reach {self._where} to {what}: {str(error) or type(error).__name__}"
        return (
            f"{self._where} did not answer the request to {what} ({type(error).__name__}); "
            "it may have been carried out all the same"
        )

    async def _key(self) -> str | None:
        key = self._api_key
        if key is None:
            return os.environ.get("OPENAI_API_KEY") if self._host == OPENAI_HOST else None
        if isinstance(key, str):
            return key
        given = key()
        if inspect.isawaitable(given):
            given = await given
        if not given:
            raise UserError("the api_key function gave an empty key")
        return str(given)

    def _ready(self) -> httpx.AsyncClient:
        if self._closed:
            raise UserError("this Calls object is closed; make another one")
        if self._client is None:
            proxy = self._proxy if isinstance(self._proxy, str) else None
            self._client = import_httpx().AsyncClient(proxy=proxy, trust_env=self._proxy is True)
        return self._client

    async def close(self) -> None:
        """Close the client if it was made here; idempotent."""
        self._closed = True
        client, self._client = self._client, None
        if self._own and client is not None:
            await client.aclose()


def import_httpx() -> Any:
    """The module `httpx`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import httpx
    except ImportError:
        raise MissingExtraError("Calls", "all", "httpx") from None
    return httpx


def json_object(body: bytes, what: str) -> dict[str, Any]:
    """The JSON object in an answer.

    Raises:
        ProviderError: there is none.
    """
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ProviderError(f"the answer to {what} is no JSON object", raw=body[:1000])
    return cast("dict[str, Any]", value)


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise ProviderError(f"the answer is longer than {MAX_ANSWER} bytes", status=response.status_code)
    return bytes(body)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
