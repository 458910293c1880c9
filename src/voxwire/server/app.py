"""The embedded server as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..errors import MissingExtraError
from .auth import SUBPROTOCOL, Refusal, find_key, refusal_body
from .engine import ServerEngine
from .engine.errors import ClientError
from .http_calls import control_call, create_call, read_json
from .options import ServerOptions
from .service import DEFAULT_MODEL, RealtimeService

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
    from starlette.websockets import WebSocket

__all__ = ["create_app", "service_of"]

logger = logging.getLogger("voxwire.server")

_LOOPBACK_ORIGIN = r"https?://(localhost|127(\.\d+){3}|\[::1\])(:\d+)?"


def create_app(options: ServerOptions | None = None, **settings: Any) -> Starlette:
    """The embedded server as a Starlette application, to run or to mount.

    Routes: WebSocket `/v1/realtime`, `POST /v1/realtime/client_secrets`, `POST /v1/realtime/calls` and
    what can be done to a call below it, `GET /health`; and for clients that speak to Azure the WebSockets
    `/openai/v1/realtime` and `/openai/realtime`, and the calls below the former.

    A mounted application does not see the outer one's end: call `await service_of(app).close()`
    there, or components that were made by name (processes, models) live as long as the process. It does not see
    its beginning either: a phone line needs `await service_of(app).start()`.

    Args:
        options: the options, or
        settings: the fields of `ServerOptions`.

    Raises:
        ConfigError: an option cannot be used.
        MissingExtraError: Starlette is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.routing import Route, WebSocketRoute
    except ImportError as exc:
        raise MissingExtraError("The embedded server", "server", "starlette") from exc
    service = RealtimeService(options if options is not None else ServerOptions(**settings))

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None, None]:
        try:
            await service.start()
            yield
        finally:
            await service.close()

    async def realtime(websocket: WebSocket) -> None:
        await _realtime(service, websocket)

    app = Starlette(
        routes=[
            *(
                WebSocketRoute(path, realtime)
                for path in ("/v1/realtime", "/openai/v1/realtime", "/openai/realtime")
            ),
            Route("/v1/realtime/client_secrets", _endpoint(service, _client_secrets), methods=["POST"]),
            *_call_routes(service, "/v1/realtime/calls"),
            *_call_routes(service, "/openai/v1/realtime/calls"),
            Route("/health", _endpoint(service, _health), methods=["GET"]),
        ],
        middleware=[_cors(service.options.cors_origins)],
        lifespan=lifespan,
    )
    app.state.voxwire = service
    return app


def _call_routes(service: RealtimeService, path: str) -> list[Route]:
    from starlette.routing import Route

    control = _endpoint(service, control_call)
    return [
        Route(path, _endpoint(service, create_call), methods=["POST"]),
        Route(path + "/{call_id}", control, methods=["DELETE"]),
        Route(path + "/{call_id}/{action}", control, methods=["POST"]),
    ]


def _cors(origins: Sequence[str] | None) -> Middleware:
    """Which web pages may use the HTTP endpoints; `Location` tells them the id of their call."""
    from starlette.middleware import Middleware
    from starlette.middleware.cors import CORSMiddleware

    return Middleware(
        CORSMiddleware,
        allow_origins=list(origins or ()),
        allow_origin_regex=_LOOPBACK_ORIGIN if origins is None else None,
        allow_methods=["GET", "POST", "DELETE"],
        allow_headers=["*"],
        expose_headers=["Location"],
    )


def _check_origin(service: RealtimeService, headers: Mapping[str, str]) -> None:
    """Keep strangers' web pages out of a server that asks for no key.

    A browser connects a WebSocket, and posts a form, wherever a page wants it to; CORS keeps the page only from reading
    an answer over HTTP (RFC 6455 section 10.2). So a page that somebody looks at could use the server of their machine.

    Raises:
        Refusal: 403, the request comes from such a page.
    """
    origin, allowed = headers.get("origin"), service.options.cors_origins
    if origin is None or service.options.api_keys:
        return
    if allowed is None and re.fullmatch(_LOOPBACK_ORIGIN, origin):
        return
    if origin in (allowed or ()) or "*" in (allowed or ()) or urlsplit(origin).netloc == headers.get("host"):
        return
    raise Refusal(
        403,
        f"Pages of '{origin[:100]}' may not use this server, which asks for no key: start it with "
        "'--cors-origin' (cors_origins) and their origin, or with a key.",
        code="origin_not_allowed",
    )


def service_of(app: Starlette) -> RealtimeService:
    """The service behind an application made by `create_app`."""
    service: RealtimeService = app.state.voxwire
    return service


def _json(status: int, body: Mapping[str, Any]) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(dict(body), status)


# -- HTTP -----------------------------------------------------------------------------------

_Endpoint = Callable[[RealtimeService, "Request"], Awaitable["Response"]]


def _endpoint(service: RealtimeService, handle: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
    from starlette.requests import ClientDisconnect

    async def endpoint(request: Request) -> Response:
        try:
            _check_origin(service, request.headers)
            return await handle(service, request)
        except ClientDisconnect:
            return _json(400, {})  # nobody is there to read it
        except Refusal as exc:
            return _json(exc.status, refusal_body(exc))
        except ClientError as exc:
            return _json(400, refusal_body(exc))
        except Exception:
            logger.exception("a request failed")
            fault = ClientError("The server had an error.", code="server_error", type="server_error")
            return _json(500, refusal_body(fault))

    return endpoint


async def _health(service: RealtimeService, request: Request) -> Response:  # noqa: ARG001
    return _json(200, {"status": "ok", "sessions": service.sessions})


async def _client_secrets(service: RealtimeService, request: Request) -> Response:
    service.keys.check(find_key(request.headers), time.time(), api_key_only=True)
    body = await read_json(request, service.limits.message_bytes)
    return _json(200, service.create_secret(body))


# -- WebSocket ------------------------------------------------------------------------------


class _StarletteSocket:
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes | None:
        message = await self._websocket.receive()
        if message["type"] != "websocket.receive":
            return None
        text: str | None = message.get("text")
        return text if text is not None else message.get("bytes", b"")

    async def send(self, message: str) -> None:
        from starlette.websockets import WebSocketDisconnect

        try:
            await self._websocket.send_text(message)
        except WebSocketDisconnect as exc:
            raise ConnectionResetError(str(exc)) from exc

    async def close(self, code: int, reason: str) -> None:
        # A close frame holds 123 bytes of reason (RFC 6455, section 5.5).
        await self._websocket.close(code, reason.encode()[:123].decode(errors="ignore"))


async def _realtime(service: RealtimeService, websocket: WebSocket) -> None:
    if "call_id" in websocket.query_params:
        await _sideband(service, websocket)
        return
    try:
        engine = _admit(service, websocket)
        service.prepare()
        service.admit()
    except ClientError as exc:
        await _deny(websocket, exc)
        return
    try:
        await _accept(websocket)
        await service.serve(engine, _StarletteSocket(websocket))
    finally:
        service.leave()


async def _sideband(service: RealtimeService, websocket: WebSocket) -> None:
    """Another client of a call that exists."""
    try:
        if service.keys.check(_key_of(websocket), time.time()) is None:
            _check_origin(service, websocket.headers)
        call = service.calls.find(websocket.query_params["call_id"])
        call.check_attach()
    except ClientError as exc:
        await _deny(websocket, exc)
        return
    await _accept(websocket)
    await call.attach(_StarletteSocket(websocket))


def _offered(websocket: WebSocket) -> list[str]:
    return websocket.scope.get("subprotocols") or []


def _key_of(websocket: WebSocket) -> str | None:
    return find_key(websocket.headers, _offered(websocket))


async def _accept(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in _offered(websocket) else None)


def _admit(service: RealtimeService, websocket: WebSocket) -> ServerEngine:
    template = service.keys.check(_key_of(websocket), time.time())
    if template is None:  # who has a client secret was let in by somebody
        _check_origin(service, websocket.headers)
    query = websocket.query_params
    intent = query.get("intent", "conversation")
    if intent not in ("conversation", "transcription"):
        raise Refusal(
            400,
            f"Invalid value: '{intent}'. Supported values are: 'conversation' and 'transcription'.",
            code="invalid_value",
            param="intent",
        )
    transcription = intent == "transcription"
    model = query.get("model") or query.get("deployment")
    if not model and template is None and not transcription:
        raise Refusal(
            400,
            f"You must provide a model parameter, for example '?model={DEFAULT_MODEL}'.",
            code="missing_model",
            param="model",
        )
    now = asyncio.get_running_loop().time()
    fallback = "" if transcription else DEFAULT_MODEL
    return service.engine(model or fallback, now, transcription=transcription, template=template)


async def _deny(websocket: WebSocket, error: ClientError) -> None:
    """An HTTP answer in place of the handshake, with the service's error body."""
    status = error.status if isinstance(error, Refusal) else 400
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(_json(status, refusal_body(error)))
    else:
        await websocket.close(1008, error.message[:100])
