"""A carrier for Cloudflare Workers: `fetch` with an Upgrade, which is their only WebSocket client with headers.

A Worker's WebSocket (Cloudflare's "WebSockets" runtime API) opens before anybody listens: `accept()` starts it, so the
listeners come first. Two things it cannot do, and what is done instead:

- It cannot be told to stop reading. What comes while reading is paused is held, up to `MAX_HELD`; more than that ends
  the connection with 1009.
- It has no event for "the queue is short again". `drain` looks at `bufferedAmount` every `POLL` seconds; beyond
  `MAX_UNSENT_BYTES` the connection is dropped. The amount counts what workerd has not written to its socket yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from ..errors import ConnectError, UserError, VoxwireError
from .base import CarrierClosed, CarrierReceiver, CarrierRequest
from .flow import Inbox, closing_words, lost
from .js import Proxies, js_host, js_words, to_bytes, to_object
from .refusal import endpoint, refused, timed_out
from .socket import SocketCarrier

__all__ = ["MAX_HELD", "MAX_UNSENT_BYTES", "Fetch", "WorkersCarrier"]

MAX_HELD: Final = 8 * 1024 * 1024
"""Characters of messages held back while reading is paused; a Worker has 128 MB for everything."""
MAX_UNSENT_BYTES: Final = 8 * 1024 * 1024
"""Bytes that may wait for a peer that does not read; beyond that the connection is dropped."""
SHORT: Final = 32 * 1024
"""Bytes in the send queue that `drain` does not wait for."""
POLL: Final = 0.01
"""Seconds between two looks at the send queue."""

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
        link = self._link = _Link(socket, receiver, request)
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


class _Link:
    """An accepted WebSocket, and its events."""

    def __init__(self, socket: Any, receiver: CarrierReceiver, request: CarrierRequest) -> None:
        self.inbox = Inbox(receiver, stop=_nothing, go=_nothing)
        self.proxies = Proxies()
        self.how: CarrierClosed | None = None
        self._socket = socket
        self._held = 0
        self._max_bytes = request.max_message_bytes
        self._close_timeout = request.close_timeout
        self._leaving = False
        self._ended = asyncio.Event()

    def start(self) -> None:
        """Listen, then let it begin."""
        handlers: Mapping[str, Callable[[Any], object]] = {
            "message": self._message,
            "close": self._close,
            "error": self._error,
        }
        self._socket.binaryType = "arraybuffer"  # a Blob since compatibility date 2026-03-17
        self.proxies.listen(self._socket, handlers)
        self._socket.accept()

    def write_text(self, text: str) -> None:
        """Send, or raise ConnectionLost."""
        if self.how is not None or self._leaving:
            raise lost(self.how)
        if self._unsent() > MAX_UNSENT_BYTES:
            self._give_up(CarrierClosed(1006, "the peer does not read", clean=False), 1008)
            raise lost(self.how)
        try:
            self._socket.send(text)
        except Exception as error:
            self._end(CarrierClosed(1006, js_words(error), clean=False))
            raise lost(self.how) from error

    async def drained(self) -> None:
        """Wait until the send queue is short."""
        while self.how is None and self._unsent() > SHORT:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(POLL)
        if self.how is not None:
            raise lost(self.how)

    async def leave(self, code: int, reason: str) -> None:
        """Say goodbye, wait for the peer's."""
        self.inbox.discard()
        if self.how is None and not self._leaving:
            self._leaving = True
            self._say_goodbye(code, reason)
        try:
            async with asyncio.timeout(self._close_timeout):
                await self._ended.wait()
        except TimeoutError:
            self._end(CarrierClosed(1006, "", clean=False))

    def _message(self, event: Any) -> None:
        data = event.data
        message = data if isinstance(data, str) else to_bytes(data)
        if _is_longer(message, self._max_bytes):
            words = f"a message of {len(message)} is longer than {self._max_bytes} bytes"
            self._give_up(CarrierClosed(1009, words, clean=False), 1009)
            return
        self._held = self._held + len(message) if self.inbox.paused else 0
        if self._held > MAX_HELD:
            words = f"{self._held} characters of messages came while reading was paused"
            self._give_up(CarrierClosed(1009, words, clean=False), 1009)
        elif self.how is None:
            self.inbox.push(message)

    def _close(self, event: Any) -> None:
        code, reason = int(event.code), str(event.reason)
        if not self._leaving:
            self._say_goodbye(code, "")  # without it the peer waits for us
        self._end(CarrierClosed(code, reason, clean=code != 1006))

    def _error(self, event: Any) -> None:
        words = getattr(event, "message", None)
        self._end(CarrierClosed(1006, str(words) if words else "", clean=False))

    def _give_up(self, how: CarrierClosed, code: int) -> None:
        self._say_goodbye(code, how.reason)
        self._end(how)

    def _say_goodbye(self, code: int, reason: str) -> None:
        try:
            self._socket.close(*closing_words(code, reason))
        except Exception as error:  # noqa: BLE001 - it is closed already
            self._end(CarrierClosed(1006, js_words(error), clean=False))

    def _end(self, how: CarrierClosed) -> None:
        if self.how is not None:
            return
        self.how = how
        self._ended.set()
        self.inbox.end(how)
        asyncio.get_running_loop().call_soon(self.proxies.destroy)  # one of them may be running

    def _unsent(self) -> int:
        return int(getattr(self._socket, "bufferedAmount", 0) or 0)


def _is_longer(message: str | bytes, limit: int) -> bool:
    if len(message) > limit:
        return True
    return isinstance(message, str) and not message.isascii() and len(message.encode()) > limit


def _nothing() -> None:
    """A Worker's WebSocket cannot be told to wait: what comes while reading is paused is held in the inbox."""
