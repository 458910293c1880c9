"""A carrier for Cloudflare Workers: `fetch` with an Upgrade, which is their only WebSocket client with headers.

A Worker's WebSocket (Cloudflare's "WebSockets" runtime API) opens before anybody listens: `accept()` starts it, so the
listeners come first. What it cannot do, and what is done about it, is said in `workers_link`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from ..errors import ConnectError, UserError, VoxwireError
from .base import CarrierReceiver, CarrierRequest
from .flow import lost
from .js import js_host, js_words, to_object
from .refusal import endpoint, refused, timed_out
from .socket import SocketCarrier
from .workers_accepted import AcceptedWebSocket
from .workers_link import WorkersLink

__all__ = ["AcceptedWebSocket", "Fetch", "WorkersCarrier"]

Fetch: TypeAlias = Callable[[str, Any], Awaitable[Any]]
"""The Fetch API's function: an address and an object of options; its answer has `status` and `webSocket`."""


class WorkersCarrier(SocketCarrier):
    """One WebSocket that a Worker opens; used within the request or the Durable Object that opened it.

    Args:
        fetch: in place of the runtime's own, such as the `fetch` of a service binding.
    """

    def __init__(self, *, fetch: Fetch | None = None) -> None:
        super().__init__()
        self._fetch = fetch

    async def open(self, request: CarrierRequest, receiver: CarrierReceiver, /) -> None:
        """Connect; see `Carrier.open`. `proxy` and the pings of the request are left alone: there are none.

        Raises:
            UserError: if this is no Worker and no `fetch` was given.
        """
        self._use()
        where = endpoint(request.url)
        fetch = self._fetch or _runtime_fetch()
        try:
            async with asyncio.timeout(request.open_timeout):
                socket = await _upgraded(fetch, request, where)
        except TimeoutError:
            raise timed_out(where, request.open_timeout) from None
        link = self._link = WorkersLink(
            socket,
            receiver,
            close_timeout=request.close_timeout,
            max_message_bytes=request.max_message_bytes,
        )
        try:
            link.start()
        except Exception as error:
            link.proxies.destroy()
            raise ConnectError(f"the WebSocket to {where} cannot be used: {js_words(error)}") from error
        link.inbox.opened()

    async def drain(self) -> None:
        """Return once less than 32 KiB wait to be sent."""
        if self._link is None:
            raise lost(None)
        await self._link.drained()


def _runtime_fetch() -> Fetch:
    host = js_host("The Cloudflare transport")
    if not hasattr(host, "WebSocketPair"):
        raise UserError(
            "the Cloudflare transport runs in a Cloudflare Worker only: fetch() upgrades to a WebSocket nowhere "
            "else; in a web page use OpenAIRealtimeWebRTC or OpenAIRealtimeWebSocket"
        )
    fetch: Fetch = host.fetch
    return fetch


async def _upgraded(fetch: Fetch, request: CarrierRequest, where: str) -> Any:
    """The WebSocket of a successful upgrade, not accepted yet."""
    abort = _abort_controller()
    try:
        response = await fetch("http" + request.url[2:], to_object(_options(request, abort)))
        if response.status == 101 and response.webSocket:
            return response.webSocket
        location, body = response.headers.get("Location"), await _body(response)
    except asyncio.CancelledError:
        if abort is not None:
            abort.abort()
        raise
    except VoxwireError:
        raise
    except Exception as error:
        raise ConnectError(f"cannot connect to {where}: {js_words(error)}") from error
    raise refused(where, int(response.status), body, str(location) if location else None)


def _options(request: CarrierRequest, abort: Any) -> dict[str, Any]:
    offered = ", ".join(request.subprotocols)
    protocol = {"Sec-WebSocket-Protocol": offered} if offered else {}
    options: dict[str, Any] = {
        "headers": {**protocol, **request.headers, "Connection": "Upgrade", "Upgrade": "websocket"},
        "redirect": "manual",  # the key in the headers is for one host only
    }
    if abort is not None:
        options["signal"] = abort.signal
    return options


def _abort_controller() -> Any:
    """What ends a fetch that nobody waits for any more; None off JavaScript, where a task is cancelled."""
    try:
        return js_host("aborting").AbortController.new()
    except UserError:
        return None


async def _body(response: Any) -> bytes | None:
    try:
        return str(await response.text()).encode()
    except Exception:  # noqa: BLE001 - the status says enough
        return None
