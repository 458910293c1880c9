"""An ASGI application that receives webhooks: verified, answered at once, handled in the background, once."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, TypeAlias, cast

from ..errors import SignatureError, UserError, WireError
from ..protocol.recent import RecentSet
from .events import WebhookEvent
from .signatures import DEFAULT_TOLERANCE, Secrets, read_secrets, verify

__all__ = ["WebhookApp", "WebhookErrorHandler", "WebhookHandler", "webhook_app"]

WebhookHandler: TypeAlias = Callable[[WebhookEvent], Any]
"""A function or coroutine function of the event."""
WebhookErrorHandler: TypeAlias = Callable[[Exception, WebhookEvent], Any]
"""A plain function of what a handler raised, and the event it raised it for."""
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

BODY_SECONDS: Final = 10.0
"""A body that takes longer to arrive is refused."""
UNREAD: Final = frozenset({405, 408, 413})
"""Statuses with which a body is refused before its end."""

logger = logging.getLogger("voxwire")


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


def webhook_app(
    handler: WebhookHandler,
    *,
    secret: Secrets,
    max_bytes: int = 256 * 1024,
    tolerance: float = DEFAULT_TOLERANCE,
    max_running: int = 200,
    remembered: int = 10_000,
    drain_timeout: float = 10.0,
    on_error: WebhookErrorHandler | None = None,
    now: Callable[[], float] = time.time,
) -> WebhookApp:
    """Receive webhooks: run it (`uvicorn module:app`), or mount it into an application of yours.

        app = webhook_app(receptionist, secret=os.environ["OPENAI_WEBHOOK_SECRET"])

    An event is answered with 200 before the handler begins, so that a call does not wait for your code and the
    service does not send it again. One that is delivered again is answered and left alone. Mounted, it
    does not see the outer application's end: call `await app.close()` there.

    Args:
        handler: gets every event, an `IncomingCall` or a `WebhookEvent`; a coroutine function may go on for as long as
            a call lasts.
        secret: the endpoint's signing secret (`whsec_...`), or several while it is being exchanged.
        max_bytes: a longer body is refused with 413.
        tolerance: seconds an attempt's timestamp may differ from the clock.
        max_running: handlers at work at a time; while there are so many, an event is refused with 503, for the
            service to send again.
        remembered: deliveries remembered, to know those that come again; beyond that the oldest are forgotten.
        drain_timeout: seconds that handlers at work get when the application ends; then they are cancelled.
        on_error: told what a handler raised; it is logged as well.
        now: the clock, Unix seconds.

    Raises:
        ConfigError: if a secret cannot be used.
        UserError: if a limit cannot.
    """
    return WebhookApp(
        handler,
        secret=secret,
        max_bytes=max_bytes,
        tolerance=tolerance,
        max_running=max_running,
        remembered=remembered,
        drain_timeout=drain_timeout,
        on_error=on_error,
        now=now,
    )


class WebhookApp:
    """The ASGI 3.0 application that `webhook_app` makes."""

    def __init__(
        self,
        handler: WebhookHandler,
        *,
        secret: Secrets,
        max_bytes: int,
        tolerance: float,
        max_running: int,
        remembered: int,
        drain_timeout: float,
        on_error: WebhookErrorHandler | None,
        now: Callable[[], float],
    ) -> None:
        if min(max_bytes, max_running, remembered) < 1:
            raise UserError("max_bytes, max_running and remembered must be at least 1")
        self._handler = handler
        self._secrets = read_secrets(secret)
        self._max_bytes = max_bytes
        self._tolerance = tolerance
        self._max_running = max_running
        self._seen = RecentSet(remembered)
        self._drain_timeout = drain_timeout
        self._on_error = on_error
        self._now = now
        self._running: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def running(self) -> int:
        """Handlers at work."""
        return len(self._running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "webhooks come as POST requests"})
        else:
            raise UserError(f"webhook_app serves HTTP, not ASGI scopes of type {kind!r}")

    async def close(self) -> None:
        """Take no more events, give the handlers `drain_timeout` seconds, then cancel them; idempotent."""
        self._closing = True
        if not self._running:
            return
        _, late = await asyncio.wait(tuple(self._running), timeout=self._drain_timeout)
        for task in late:
            task.cancel()
        if late:
            logger.warning("%d webhook handlers did not end in time and were cancelled", len(late))
            await asyncio.wait(late)

    # -- a request ------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = asyncio.Event()
        try:
            event = await self._admit(scope, receive)
        except _RefusedError as refused:
            # What was wrong, not what was sent; and a caller without the key learns nothing more.
            logger.warning("refused a webhook with %d: %s", refused.status, refused)
            headers = {name.replace("_", "-"): value for name, value in refused.headers.items()}
            if refused.status in UNREAD and scope.get("http_version", "1.1").startswith("1"):
                headers["connection"] = (
                    "close"  # the rest of the body is not wanted (RFC 9110 section 15.5.14)
                )
            await _answer(send, refused.status, {"error": {"message": str(refused)}}, headers)
            return
        except _GoneError:
            return
        if event is not None:
            self._start(event, answered)
        try:
            await _answer(send, 200, {"received": True})
        finally:
            answered.set()

    async def _admit(self, scope: Scope, receive: Receive) -> WebhookEvent | None:
        """The event to handle; None if it has been already.

        Raises:
            _RefusedError: it is to be refused.
            _GoneError: nobody waits for the answer.
        """
        if scope["method"] != "POST":
            raise _RefusedError(405, "webhooks come as POST requests", allow="POST")
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        _check_length(headers, self._max_bytes)
        body = await self._read(receive)
        try:
            event = verify(
                body, cast("Any", headers), self._secrets, now=self._now(), tolerance=self._tolerance
            )
        except SignatureError as error:
            raise _RefusedError(
                400 if error.reason in ("missing", "malformed") else 401, str(error)
            ) from None
        except WireError as error:
            raise _RefusedError(400, str(error)) from None
        if event.webhook_id in self._seen:
            return None
        if self._closing or len(self._running) >= self._max_running:
            why = "closing down" if self._closing else "busy"
            raise _RefusedError(503, f"the receiver is {why}; send the event again", retry_after="1")
        # From now on it counts as delivered, whatever becomes of the answer.
        self._seen.add(event.webhook_id)
        return event

    async def _read(self, receive: Receive) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _GoneError
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise _too_long(self._max_bytes)
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise _RefusedError(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None

    # -- the handler ----------------------------------------------------------------------

    def _start(self, event: WebhookEvent, answered: asyncio.Event) -> None:
        task = asyncio.get_running_loop().create_task(
            self._handle(event, answered), name=f"voxwire-webhook-{event.type}"
        )
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, event: WebhookEvent, answered: asyncio.Event) -> None:
        await answered.wait()  # a handler that blocks must not hold up the answer
        try:
            result = self._handler(event)
            if inspect.isawaitable(result):
                await result
        except Exception as error:  # one event must not take the others along
            logger.exception("the webhook handler raised %s for %s", type(error).__name__, event.type)
            self._report(error, event)

    def _report(self, error: Exception, event: WebhookEvent) -> None:
        if self._on_error is None:
            return
        try:
            self._on_error(error, event)
        except Exception as second:  # as above
            logger.exception("on_error raised %s", type(second).__name__)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


class _GoneError(Exception):
    """The sender has gone before the body was complete."""


def _too_long(limit: int) -> _RefusedError:
    return _RefusedError(413, f"the body is longer than {limit} bytes")


def _check_length(headers: list[tuple[bytes, bytes]], limit: int) -> None:
    """Refuse by the announced length, before the body is read; a wrong one is found while reading."""
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit() and int(value) > limit:
            raise _too_long(limit)


async def _answer(
    send: Send, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    text = json.dumps(body).encode()
    lines = {"content-type": "application/json", "content-length": str(len(text)), **(headers or {})}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in lines.items()],
        }
    )
    await send({"type": "http.response.body", "body": text})
