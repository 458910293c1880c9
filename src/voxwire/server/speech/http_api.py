"""What the back-ends behind an OpenAI-compatible HTTP API have in common."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, cast

from ...errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    MissingExtraError,
    ProviderError,
)

if TYPE_CHECKING:
    import httpx

__all__ = ["HttpApi"]


class HttpApi:
    """A lazily opened HTTP client for one base URL.

    Args:
        base_url: such as `http://127.0.0.1:11434/v1`; the default is the environment's `OPENAI_BASE_URL`,
            else OpenAI's.
        api_key: the default is the environment's `OPENAI_API_KEY`; local servers mostly need none.
        timeout: seconds without a byte before a request fails.
        max_connections: requests at the same time; further ones wait, up to `timeout`.

    Raises:
        ConfigError: `base_url` is no http address.
        MissingExtraError: `httpx` is not installed.
    """

    def __init__(
        self, base_url: str | None, api_key: str | None, timeout: float = 30.0, max_connections: int = 16
    ) -> None:
        url = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url has to begin with http:// or https://, not {url!r}.")
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("Speech back-ends over HTTP", "server", "httpx") from error
        self._httpx = httpx
        self.base_url = url.rstrip("/")
        self._key = api_key if api_key is not None else os.environ.get("OPENAI_API_KEY")
        self._timeout = timeout
        self._limits = httpx.Limits(max_connections=max_connections)
        self._client: httpx.AsyncClient | None = None

    @property
    def client(self) -> httpx.AsyncClient:
        """The client, opened with its first use."""
        if self._client is None:
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            self._client = self._httpx.AsyncClient(
                headers=headers, timeout=self._timeout, limits=self._limits
            )
        return self._client

    def url(self, path: str) -> str:
        """The address of an endpoint."""
        return f"{self.base_url}/{path}"

    async def check(self, response: httpx.Response) -> None:
        """Raise for an error status, with the service's own message.

        Raises:
            AuthenticationError: status 401 or 403.
            ProviderError: any other status from 400 on.
        """
        if response.status_code < 400:
            return
        body = await response.aread()
        error = _error_object(body)
        status = response.status_code
        message = error.get("message") or body[:200].decode("utf-8", "replace").strip() or "no message"
        kind = AuthenticationError if status in {401, 403} else ProviderError
        raise kind(
            f"{response.request.url} answered {status}: {message}",
            type=error.get("type"),
            code=error.get("code"),
            param=error.get("param"),
            status=status,
            retryable=status in {408, 409, 429} or status >= 500,
            raw=error,
        )

    def network_error(self, error: httpx.HTTPError) -> ConnectError:
        """The same error in our words."""
        if isinstance(error, self._httpx.TimeoutException):
            return ConnectTimeout(f"{self.base_url} did not answer within {self._timeout:g} s.")
        return ConnectError(f"{self.base_url} cannot be reached: {type(error).__name__}: {error}")

    async def close(self) -> None:
        """Close the client's connections; idempotent."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


def _error_object(body: bytes) -> dict[str, Any]:
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(data, dict):
        return {}
    error = cast("dict[str, Any]", data).get("error", data)
    if isinstance(error, str):
        return {"message": error}
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}
