"""A service with a telephone, as far as call control and the sideband go: a real server on a loopback socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from voxwire.calls import Calls, IncomingCall, SipHeaders

KEY = "sk-calls"
SECONDS = 5.0


class Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


@contextlib.asynccontextmanager
async def serving(app: Any, *, lifespan: str = "off") -> AsyncIterator[str]:
    """Run an ASGI application on a free port; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        lifespan=lifespan,  # type: ignore[arg-type]
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = Uvicorn(config)
    task = asyncio.create_task(server.serve([listener]))
    async with asyncio.timeout(SECONDS):
        while not server.started:
            await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


class Line:
    """The sideband of one call, seen from the service."""

    def __init__(self, call_id: str, websocket: WebSocket) -> None:
        self.call_id = call_id
        self.websocket = websocket
        self.received: list[dict[str, Any]] = []
        self.closed = asyncio.Event()
        self._fresh = asyncio.Event()
        self._read = 0

    async def send(self, type: str, **fields: Any) -> None:
        await self.websocket.send_text(json.dumps({"type": type, "event_id": "event_s", **fields}))

    async def expect(self, type: str) -> dict[str, Any]:
        """The next event of this type; others are passed over."""
        async with asyncio.timeout(SECONDS):
            while True:
                while self._read < len(self.received):
                    event = self.received[self._read]
                    self._read += 1
                    if event["type"] == type:
                        return event
                self._fresh.clear()
                await self._fresh.wait()

    async def serve(self) -> None:
        session: dict[str, Any] = {"type": "realtime", "object": "realtime.session"}
        await self.send("session.created", session=session)
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                event = json.loads(await self.websocket.receive_text())
                self.received.append(event)
                if event["type"] == "session.update":
                    session.update(event["session"])
                    await self.send("session.updated", session=session)
                self._fresh.set()
        self.closed.set()

    async def hang_up(self, code: int = 1000, reason: str = "the caller hung up") -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await self.websocket.close(code, reason)

    async def speak(
        self, response_id: str, *, call: tuple[str, str] | None = None, text: str = "Bye."
    ) -> None:
        """A response whose audio is being played from now on, and that may call a tool."""
        item = {"id": f"item_{response_id}", "type": "message", "role": "assistant", "status": "completed"}
        item["content"] = [{"type": "output_audio", "transcript": text}]  # type: ignore[assignment]
        response = {"id": response_id, "object": "realtime.response", "status": "in_progress", "output": []}
        await self.send("response.created", response=response)
        output: list[Any] = [item]
        await self.send("output_audio_buffer.started", response_id=response_id)
        if call is not None:
            output.append(
                {
                    "id": f"item_call_{response_id}",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": f"call_{response_id}",
                    "name": call[0],
                    "arguments": call[1],
                }
            )
        for index, done in enumerate(output):
            await self.send(
                "response.output_item.done", response_id=response_id, output_index=index, item=done
            )
        await self.send("response.done", response={**response, "status": "completed", "output": output})


class Phone:
    """The service. `refuse` makes the next request of a kind fail."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[Any] = []
        self.lines: dict[str, Line] = {}
        self.calls: set[str] = set()
        self.delay: asyncio.Event | None = None
        self._refusals: dict[str, list[Response]] = {}
        self._attached = asyncio.Event()
        self.app = Starlette(
            routes=[
                Route("/v1/realtime/calls/{call_id}/{command}", self._command, methods=["POST"]),
                Route("/v1/realtime/calls", self._create, methods=["POST"]),
                Route("/v1/realtime/client_secrets", self._secret, methods=["POST"]),
                WebSocketRoute("/v1/realtime", self._websocket),
            ]
        )

    @property
    def base_url(self) -> str:
        return self.url + "/v1"

    def control(self, **options: Any) -> Calls:
        return Calls(**{"api_key": KEY, "base_url": self.base_url, "proxy": None, **options})

    def refuse(self, command: str, response: Response) -> None:
        self._refusals.setdefault(command, []).append(response)

    def commands(self, name: str) -> list[Any]:
        return [body for command, body in self.requests if command == name]

    async def line(self, call_id: str) -> Line:
        """The sideband of a call, once somebody has attached."""
        async with asyncio.timeout(SECONDS):
            while call_id not in self.lines:
                self._attached.clear()
                await self._attached.wait()
        return self.lines[call_id]

    async def _note(self, request: Request, command: str) -> Response | None:
        body = await request.body()
        is_json = request.headers.get("content-type") == "application/json"
        self.requests.append((command, json.loads(body) if is_json else body))
        self.headers.append(request.headers)
        if self.delay is not None:
            await self.delay.wait()
        if request.headers.get("authorization") != f"Bearer {KEY}":
            body = {"error": {"message": "Incorrect API key provided.", "type": "invalid_request_error",
                              "code": "invalid_api_key", "param": None}}  # fmt: skip
            return JSONResponse(body, 401)
        refusals = self._refusals.get(command)
        return refusals.pop(0) if refusals else None

    async def _command(self, request: Request) -> Response:
        call_id, command = request.path_params["call_id"], request.path_params["command"]
        refusal = await self._note(request, command)
        if refusal is not None:
            return refusal
        if command == "accept":
            self.calls.add(call_id)
        elif call_id in self.lines and command in ("hangup", "refer"):
            await self.lines[call_id].hang_up(reason=f"ended by {command}")
        return Response()

    async def _create(self, request: Request) -> Response:
        refusal = await self._note(request, "create")
        headers = {"Location": "/v1/realtime/calls/rtc_new?x=1"}
        return refusal or Response("v=0 answer", 201, headers, "application/sdp")

    async def _secret(self, request: Request) -> Response:
        refusal = await self._note(request, "secret")
        return refusal or JSONResponse({"value": "ek_1", "expires_at": 1_800_000_000, "session": {"a": 1}})

    async def _websocket(self, websocket: WebSocket) -> None:
        call_id = websocket.query_params.get("call_id", "")
        if call_id not in self.calls:
            error = {"error": {"message": f"No call {call_id}.", "code": "call_not_found"}}
            await websocket.send_denial_response(JSONResponse(error, 404))
            return
        await websocket.accept()
        line = self.lines[call_id] = Line(call_id, websocket)
        self._attached.set()
        await line.serve()


@pytest.fixture
async def phone() -> AsyncIterator[Phone]:
    """A running service; no task may be left when the test is over."""
    before = asyncio.all_tasks()
    service = Phone()
    async with serving(service.app) as url:
        service.url = url
        yield service
        for line in service.lines.values():
            await line.hang_up()
    async with asyncio.timeout(SECONDS):
        while asyncio.all_tasks() - before - {asyncio.current_task()}:
            await asyncio.sleep(0.005)


@pytest.fixture(name="serving")
def serving_fixture() -> Any:
    """`async with serving(app) as url`."""
    return serving


@pytest.fixture
def incoming() -> Callable[..., IncomingCall]:
    """`incoming(CALL_ID, HEADER=VALUE)`: a call with these headers of its INVITE."""

    def make(call_id: str = "rtc_1", **headers: str) -> IncomingCall:
        given = {
            "From": '"Ann" <sip:+14155550111@example.com>;tag=1',
            "To": "<sip:+15551230000@sip.example.com>",
        }
        pairs = {**given, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return IncomingCall(call_id=call_id, sip_headers=SipHeaders(pairs.items()))

    return make


async def until_true(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def until() -> Callable[..., Any]:
    """`await until(CONDITION)`, with a deadline."""
    return until_true
