"""Who may open a session: API keys and client secrets."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .engine.errors import ClientError
from .limits import Limits

__all__ = ["SUBPROTOCOL", "ClientSecrets", "Keys", "Refusal", "find_key", "refusal_body"]

SUBPROTOCOL = "realtime"
_KEY_SUBPROTOCOL = "openai-insecure-api-key."
_SECRET_PREFIX = "ek_"  # noqa: S105 - a prefix


def refusal_body(error: ClientError) -> dict[str, Any]:
    """An error as the service's HTTP API gives it."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


class Refusal(ClientError):
    """A request that is refused before there is a session.

    Attributes:
        status: the HTTP status.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None,
        param: str | None = None,
        type: str = "invalid_request_error",
    ) -> None:
        super().__init__(message, code=code, param=param, type=type)
        self.status = status


def find_key(headers: Mapping[str, str], subprotocols: Iterable[str] = ()) -> str | None:
    """The key of a request: bearer token, `api-key` header (Azure), or the browsers' sub-protocol.

    Args:
        headers: with lower-case names.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if headers.get("api-key"):
        return headers["api-key"].strip()
    for name in subprotocols:
        if name.startswith(_KEY_SUBPROTOCOL):
            return name.removeprefix(_KEY_SUBPROTOCOL)
    return None


@dataclass(frozen=True, slots=True)
class _Secret:
    expires_at: float
    template: Mapping[str, Any]


class ClientSecrets:
    """Short-lived keys, each bound to a session template; they are forgotten with the process."""

    def __init__(self, limits: Limits) -> None:
        self._max = limits.client_secrets
        self._secrets: dict[bytes, _Secret] = {}

    def issue(self, template: Mapping[str, Any], expires_at: float, unix_now: float) -> str:
        """A new key.

        Raises:
            Refusal: too many unexpired ones are out.
        """
        if len(self._secrets) >= self._max:
            self._sweep(unix_now)
        if len(self._secrets) >= self._max:
            raise Refusal(
                429,
                f"{self._max} client secrets are unexpired, the most that this server keeps. Try again later.",
                code="too_many_client_secrets",
                type="rate_limit_error",
            )
        value = _SECRET_PREFIX + secrets.token_urlsafe(24)
        self._secrets[_digest(value)] = _Secret(expires_at, template)
        return value

    def template(self, value: str, unix_now: float) -> Mapping[str, Any] | None:
        """The session template of a key; None if it was never issued or has expired."""
        digest = _digest(value)
        secret = self._secrets.get(digest)
        if secret is None:
            return None
        if secret.expires_at <= unix_now:
            del self._secrets[digest]
            return None
        return secret.template

    def _sweep(self, unix_now: float) -> None:
        self._secrets = {
            digest: secret for digest, secret in self._secrets.items() if secret.expires_at > unix_now
        }


def _digest(value: str) -> bytes:
    # Looked up by digest: the time a lookup takes tells nothing of the key.
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


class Keys:
    """The keys of a server; without any, it is open."""

    def __init__(self, api_keys: Iterable[str], issued: ClientSecrets) -> None:
        self._digests = tuple(_digest(key.strip()) for key in api_keys)
        self._issued = issued

    def check(
        self, key: str | None, unix_now: float, *, api_key_only: bool = False
    ) -> Mapping[str, Any] | None:
        """Let a key in; return the session template it is bound to, if it is a client secret.

        Args:
            api_key_only: client secrets do not count (they cannot issue others).

        Raises:
            Refusal: 401, the key is missing or wrong.
        """
        if key is not None and key.startswith(_SECRET_PREFIX) and not api_key_only:
            template = self._issued.template(key, unix_now)
            if template is not None:
                return template
        elif not self._digests or (key is not None and self._matches(key)):
            return None
        if key is None:
            raise Refusal(
                401,
                "You didn't provide an API key. Send it as 'Authorization: Bearer KEY', in an 'api-key' "
                "header, or from a browser in the sub-protocol 'openai-insecure-api-key.KEY'.",
                code="invalid_api_key",
            )
        raise Refusal(401, "Incorrect API key provided, or it has expired.", code="invalid_api_key")

    def _matches(self, key: str) -> bool:
        digest = _digest(key)
        found = False
        for known in self._digests:  # all of them: the time must not tell which one
            found |= hmac.compare_digest(known, digest)
        return found
