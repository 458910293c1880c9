"""Telling the world that the phone rings: the signed webhook `realtime.call.incoming` (Standard Webhooks)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from ...calls.signatures import Secrets, sign

if TYPE_CHECKING:
    import httpx

__all__ = ["Webhook", "incoming_event"]

logger = logging.getLogger("voxwire.server")

PAUSES: Final = (0.5, 1.0, 2.0)
"""Seconds between one attempt and the next."""
ATTEMPT_SECONDS: Final = 5.0
_PRIVATE: Final = ("Authorization", "Proxy-Authorization")


def incoming_event(
    event_id: str, call_id: str, headers: Iterable[tuple[str, str]], unix_now: float
) -> dict[str, Any]:
    """The event for an INVITE, with all its headers but credentials. Source: webhook reference, `realtime.call.incoming`."""
    return {
        "object": "event",
        "id": event_id,
        "type": "realtime.call.incoming",
        "created_at": int(unix_now),
        "data": {
            "call_id": call_id,
            "sip_headers": [
                {"name": name, "value": value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
                for name, value in headers
                if name not in _PRIVATE
            ],
            "sip_media_security": "rtp",
        },
    }


class Webhook:
    """Delivers events to one address.

    Args:
        url: `http://` or `https://`.
        secret: the signing key.
    """

    def __init__(self, url: str, secret: Secrets) -> None:
        self._url = url
        self._secret = secret
        self._client: httpx.AsyncClient | None = None

    async def deliver(self, event: dict[str, Any]) -> bool:
        """Send an event until it is taken; False if it is not. The same id goes with every attempt."""
        body = json.dumps(event, separators=(",", ":")).encode()
        for pause in (*PAUSES, None):
            again = await self._attempt(body, str(event["id"]))
            if again is None:
                return True
            if not again or pause is None:
                break
            await asyncio.sleep(pause)
        return False

    async def _attempt(self, body: bytes, event_id: str) -> bool | None:
        """None if it was taken; whether to try again otherwise."""
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=ATTEMPT_SECONDS, follow_redirects=False)
        headers = sign(body, self._secret, webhook_id=event_id, now=time.time())
        try:
            answer = await self._client.post(
                self._url, content=body, headers={**headers, "Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            logger.warning("the webhook for a call could not be delivered: %s", type(error).__name__)
            return True
        if answer.is_success:
            return None
        logger.warning("the webhook for a call was answered with %d", answer.status_code)
        return answer.status_code >= 500 or answer.status_code in (408, 425, 429)

    async def close(self) -> None:
        """Close its connections; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
