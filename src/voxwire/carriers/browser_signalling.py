"""The offer of a page, posted by the browser's `fetch`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..errors import ConnectError, VoxwireError
from .base import CarrierRequest
from .js import js_host, js_words, to_object
from .refusal import endpoint, refused
from .signalling import MAX_ANSWER_BYTES, Answer, call_id_in

__all__ = ["fetch_answer"]


async def fetch_answer(request: CarrierRequest, offer: str) -> Answer:
    """A `Signalling`: what `post_offer()` does elsewhere, with what a page has for it.

    Raises:
        AuthenticationError, ProviderError: the service refused.
        ConnectError: it was not reached, or does not let this page in; the browser does not tell which.
    """
    where = endpoint(request.url, ("http", "https"))
    js = js_host("A page's offer")
    abort = js.AbortController.new()
    try:
        response = await js.fetch(request.url, to_object(_options(js, request, offer, abort.signal)))
        status, body = int(response.status), str(await response.text())
        location = response.headers.get("Location")
    except asyncio.CancelledError:
        abort.abort()
        raise
    except VoxwireError:
        raise
    except Exception as error:
        raise ConnectError(
            f"cannot connect to {where}: {js_words(error)}. A page is not told why: the address or the network is "
            "wrong, or the service does not let pages of this origin in (CORS)"
        ) from error
    if str(response.type) == "opaqueredirect":
        raise ConnectError(f"{where} redirected the offer; use the address it points to")
    if not 200 <= status < 300:
        raise refused(where, status, body.encode())
    if len(body) > MAX_ANSWER_BYTES:
        raise ConnectError(f"{where} answered the offer with more than {MAX_ANSWER_BYTES} bytes")
    return Answer(body, call_id_in(str(location) if location else None))


def _options(js: Any, request: CarrierRequest, offer: str, signal: Any) -> dict[str, Any]:
    headers = {k: v for k, v in request.headers.items() if k.lower() != "content-type"}
    body: Any
    if request.session is None:
        headers["Content-Type"] = "application/sdp"
        body = offer
    else:
        body = js.FormData.new()  # the browser names its boundary in a Content-Type of its own
        body.append("sdp", offer)
        body.append("session", json.dumps(request.session))
    # Redirects are not followed: the key would go along.
    return {"method": "POST", "headers": headers, "body": body, "redirect": "manual", "signal": signal}
