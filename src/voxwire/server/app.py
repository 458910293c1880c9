"""The embedded server as an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtraError
from .auth import SUBPROTOCOL, Refusal, find_key, refusal_body
from .engine.errors import ClientError
from .options import ServerOptions
from .service import DEFAULT_MODEL, RealtimeService

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

__all__ = ["create_app", "service_of"]


def create_app(options: ServerOptions | None = None, **settings: Any) -> Starlette:
    """The embedded server as a Starlette application, to run or to mount.

    Routes: WebSocket `/v1/realtime`, `POST /v1/realtime/client_secrets`, `GET /health`; and for
    clients that speak to Azure the WebSockets `/openai/v1/realtime` and `/openai/realtime`.

    A mounted application does not see the outer one's end: call `await service_of(app).close()`
    there, or components that were made by name (processes, models) live as long as the process.

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
            Route("/health", _endpoint(service, _health), methods=["GET"]),
        ],
        lifespan=lifespan,
    )
    app.state.voxwire = service
    return app


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
    async def endpoint(request: Request) -> Response:
        try:
            return await handle(service, request)
        except Refusal as exc:
            return _json(exc.status, refusal_body(exc))
        except ClientError as exc:
            return _json(400, refusal_body(exc))

    return endpoint


async def _health(service: RealtimeService, request: Request) -> Response:  # noqa: ARG001
    return _json(200, {"status": "ok", "sessions": service.sessions})


async def _client_secrets(service: RealtimeService, request: Request) -> Response:
    service.keys.check(find_key(request.headers), time.time(), api_key_only=True)
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > service.limits.message_bytes:
            raise Refusal(
                413,
                f"The body is longer than the {service.limits.message_bytes} bytes that this server takes.",
                code="request_too_large",
            )
    try:
        body: Any = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError) as exc:
        raise Refusal(400, f"The body is not valid JSON: {exc}", code="invalid_json") from None
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
    try:
        engine = _admit(service, websocket)
        service.prepare()
        service.admit()
    except ClientError as exc:
        await _deny(websocket, exc.status if isinstance(exc, Refusal) else 400, exc)
        return
    offered: list[str] = websocket.scope.get("subprotocols") or []
    try:
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        await service.serve(engine, _StarletteSocket(websocket))
    finally:
        service.leave()


def _admit(service: RealtimeService, websocket: WebSocket) -> Any:
    offered: list[str] = websocket.scope.get("subprotocols") or []
    template = service.keys.check(find_key(websocket.headers, offered), time.time())
    query = websocket.query_params
    if "call_id" in query:
        raise Refusal(
            400,
            "Attaching to a call with 'call_id' is not served here: this server has no calls.",
            code="unsupported_parameter",
            param="call_id",
        )
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


async def _deny(websocket: WebSocket, status: int, error: ClientError) -> None:
    """An HTTP answer in place of the handshake, with the service's error body."""
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(_json(status, refusal_body(error)))
    else:
        await websocket.close(1008, error.message[:100])
