from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire.testing.server import ScriptedConnection, ScriptedServer
from voxwire.transports.telephony.layer import TelephonyTransportLayer
from voxwire.transports.twilio import TwilioRealtimeTransportLayer


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Poll, with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)


class Phone:
    """The provider's end of a media stream, as two functions. It plays nothing: marks come back when a test says so."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed = 0
        self.broken = False
        self.sending = 0
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    async def receive(self) -> str | bytes | None:
        return await self._inbox.get()

    async def send(self, data: str | bytes) -> None:
        self.sending += 1
        if self.broken:
            raise ConnectionResetError("gone")
        self.sent.append(json.loads(data))

    async def close(self) -> None:
        self.closed += 1
        self._inbox.put_nowait(None)

    @property
    def socket(self) -> Any:
        return self.receive, self.send, self.close

    def post(self, message: dict[str, Any] | str) -> None:
        self._inbox.put_nowait(message if isinstance(message, str) else json.dumps(message))

    def start(self, **parameters: str) -> None:
        sound = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {"streamSid": "MZ1", "callSid": "CA1", "mediaFormat": sound, "customParameters": parameters}
        self.post({"event": "start", "streamSid": "MZ1", "start": start})

    def media(self, audio: bytes, timestamp: int | None = None) -> None:
        payload = base64.b64encode(audio).decode()
        extra = {} if timestamp is None else {"timestamp": str(timestamp)}
        self.post({"event": "media", "media": {"track": "inbound", "payload": payload, **extra}})

    def end(self) -> None:
        """The socket ends without a word."""
        self._inbox.put_nowait(None)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["event"] == kind]

    def audio(self) -> bytes:
        return b"".join(base64.b64decode(message["media"]["payload"]) for message in self.of("media"))

    def marks(self) -> list[str]:
        return [message["mark"]["name"] for message in self.of("mark")]

    def heard(self, mark: str) -> None:
        """The caller has heard everything before this mark."""
        self.post({"event": "mark", "streamSid": "MZ1", "mark": {"name": mark}})


class Bench:
    """A scripted service, phones and transports between them."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server = server
        self.transports: list[TelephonyTransportLayer] = []
        self.until = until

    def transport(self, phone: Phone, make: Any = None, **options: Any) -> Any:
        options = {"url": self.server.url, "api_key": "sk-test", "proxy": None, **options}
        if make is None:
            transport: Any = TwilioRealtimeTransportLayer(twilio_websocket=phone.socket, **options)
        else:
            transport = make(websocket=phone.socket, **options)
        self.transports.append(transport)
        return transport

    async def connect(self, connecting: Any, session: dict[str, Any] | None = None) -> ScriptedConnection:
        """The service's end of a transport or session that connects."""
        task = asyncio.ensure_future(connecting)
        service = await self.server.accept()
        self.update = (await service.greet(session))["session"]
        await task
        return service

    async def settled(self, transport: Any, service: ScriptedConnection) -> None:
        """Everything the service sent until now was taken in."""
        seen: list[Any] = []
        transport.on("*", seen.append)
        await service.send({"type": "test.settled"})
        await until(lambda: any(event["type"] == "test.settled" for event in seen))
        transport.off("*", seen.append)

    async def call(self, make: Any = None, **options: Any) -> tuple[Phone, Any, ScriptedConnection]:
        """A call that has begun, on a model that is connected."""
        phone = Phone()
        transport = self.transport(phone, make, **options)
        phone.start(customer="42")
        service = await self.connect(transport.connect())
        await transport.started(2)
        return phone, transport, service


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """No task and no socket may be left when a test is over."""
    before = asyncio.all_tasks()
    async with ScriptedServer() as server:
        bench = Bench(server)
        yield bench
        for transport in bench.transports:
            await transport.close()
    known = before | {asyncio.current_task()}
    with contextlib.suppress(TimeoutError):
        await until(lambda: not asyncio.all_tasks() - known, 2)
    assert not asyncio.all_tasks() - known
    bench.transports.clear()
    gc.collect()  # a socket that was not closed warns now, and a warning is an error


@pytest.fixture
def phone() -> Phone:
    return Phone()


@pytest.fixture
def make_phone() -> type[Phone]:
    return Phone
