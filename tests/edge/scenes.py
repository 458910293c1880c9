"""Python that runs in Pyodide inside workerd: one function per test. `pyodide_worker.js` calls `play`.

What a function returns is the answer of the request, as JSON; the tests check it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

from voxwire import (
    AudioConfig,
    AudioInput,
    CloudflareRealtimeTransportLayer,
    RealtimeAgent,
    RealtimeSession,
    ServerVad,
    SessionConfig,
    Transcription,
    VoxwireError,
    tool,
)

City = Literal["Tokyo", "Oslo"]


@tool
def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: The city's name.
    """
    return f"It is sunny in {city}."


@tool
async def book_table(day: str, people: int = 2) -> str:
    """Book a table.

    Args:
        day: The day of the week.
        people: How many will come.
    """
    return f"Booked for {people} on {day}."


STORYTELLER = RealtimeAgent("Leo", instructions="You tell stories.", handoff_description="Tells stories.")
AGENT = RealtimeAgent(
    "Ava",
    instructions="You are a receptionist.",
    tools=[get_weather, book_table],
    handoffs=[STORYTELLER],
)
FRAME = 960  # bytes: 20 ms of 24 kHz PCM16


class Stage:
    """A session on the Cloudflare transport, and what it told."""

    def __init__(self, url: str, key: str, prompt: str = "", **options: Any) -> None:
        self.transport = CloudflareRealtimeTransportLayer(url=url, api_key=key, **options)
        transcription = Transcription(model="gpt-4o-transcribe", prompt=prompt)
        config = SessionConfig(
            audio=AudioConfig(input=AudioInput(transcription=transcription, turn_detection=ServerVad()))
        )
        self.session = RealtimeSession(AGENT, transport=self.transport, config=config)
        self.log: list[dict[str, Any]] = []
        self.wire: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []
        self.audio_bytes = 0
        self._changed = asyncio.Event()
        for name in (
            "agent_end",
            "agent_tool_end",
            "agent_handoff",
            "user_transcript",
            "audio_interrupted",
            "error",
        ):
            self.session.on(name, self._note(name))
        self.session.on("audio", self._heard)
        self.transport.on("*", lambda event: self._keep(self.wire, event))
        self.transport.on("sent", lambda event: self._keep(self.sent, event))

    def _keep(self, log: list[dict[str, Any]], event: dict[str, Any]) -> None:
        log.append(event)
        self._changed.set()

    def _note(self, name: str) -> Callable[[Any], None]:
        def note(event: Any) -> None:
            fields = {"text", "result", "error", "item_id"}
            told = {key: str(getattr(event, key)) for key in fields if hasattr(event, key)}
            self._keep(self.log, {"event": name, **told})

        return note

    def _heard(self, event: Any) -> None:
        self.audio_bytes += len(event.data)
        self._changed.set()

    async def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def of(self, name: str) -> list[dict[str, Any]]:
        return [entry for entry in self.log if entry["event"] == name]

    def said(self) -> list[str]:
        return [entry["text"] for entry in self.of("agent_end") if entry["text"]]

    def wired(self, type: str, log: str = "wire") -> list[dict[str, Any]]:
        return [event for event in getattr(self, log) if event["type"] == type]

    async def speak(self, pcm: bytes) -> None:
        """Send audio in real time."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        for number, offset in enumerate(range(0, len(pcm), FRAME)):
            await asyncio.sleep(max(0.0, start + number * 0.02 - loop.time()))
            await self.session.send_audio(pcm[offset : offset + FRAME])

    def report(self, **more: Any) -> dict[str, Any]:
        return {
            "log": self.log,
            "said": self.said(),
            "audio_bytes": self.audio_bytes,
            "history": [item.type for item in self.session.history],
            **more,
        }


async def play(name: str, arguments: str) -> str:
    """Run one of the functions below."""
    return json.dumps(await globals()[name](**json.loads(arguments)))


async def about() -> dict[str, Any]:
    """What this is, and what it has loaded."""
    import js

    heavy = {"pydantic", "pydantic_core", "websockets", "httpx", "numpy", "msgspec"}
    return {
        "python": sys.version,
        "platform": sys.platform,
        "agent": str(js.navigator.userAgent),
        "loaded": sorted(heavy & sys.modules.keys()),
    }


async def text_turn(url: str, key: str) -> dict[str, Any]:
    stage = Stage(url, key)
    async with stage.session as session:
        started = time.monotonic()
        await session.send_message("Hello.")
        await stage.until(stage.said)
    return stage.report(status=session.status, seconds=time.monotonic() - started)


async def audio_turn(url: str, key: str, pcm: str, prompt: str) -> dict[str, Any]:
    """A spoken question, which the agent answers with a tool."""
    stage = Stage(url, key, prompt)
    async with stage.session:
        await stage.speak(base64.b64decode(pcm))
        await stage.until(lambda: stage.said() and stage.wired("response.done"))
    return stage.report()


async def tool_call(url: str, key: str) -> dict[str, Any]:
    stage = Stage(url, key)
    async with stage.session as session:
        await session.send_message("Please book a table for two on Friday.")
        await stage.until(stage.said)
        tools = stage.wired("session.update", "sent")[0]["session"]["tools"]
    return stage.report(schema=next(entry for entry in tools if entry["name"] == "book_table"))


async def barge_in(url: str, key: str, story: str, stop: str) -> dict[str, Any]:
    """A long reply, cut off by the user's voice."""
    stage = Stage(url, key)
    async with stage.session as session:
        await session.send_message(story)
        await stage.until(lambda: stage.audio_bytes > 24_000 * 2 * 3)
        await stage.speak(base64.b64decode(stop))
        await stage.until(lambda: stage.wired("conversation.item.truncated"))
    cut = stage.wired("conversation.item.truncate", "sent")[0]["audio_end_ms"]
    return stage.report(cut_ms=cut, received_ms=stage.audio_bytes / 48)


async def refused_key(url: str, key: str) -> dict[str, Any]:
    stage = Stage(url, key)
    return await _failure(stage.session.connect())


async def nobody_there(url: str, key: str) -> dict[str, Any]:
    return await _failure(Stage(url, key).session.connect())


async def slow_peer(url: str, key: str) -> dict[str, Any]:
    return await _failure(Stage(url, key, open_timeout=0.3).session.connect())


async def _failure(attempt: Any) -> dict[str, Any]:
    try:
        await attempt
    except VoxwireError as error:
        return {
            "type": type(error).__name__,
            "message": str(error),
            "status": getattr(error, "status", None),
            "code": getattr(error, "code", None),
        }
    return {"type": None}


async def goes_away(url: str, key: str, signal: str | None = None) -> dict[str, Any]:
    """The service leaves in the middle of a reply, once it was told of its first sound; sending afterwards fails."""
    import js

    stage = Stage(url, key)
    await stage.session.connect()
    await stage.session.send_message("Hello.")
    if signal is not None:
        await stage.until(lambda: stage.audio_bytes)
        await js.fetch(signal)
    how = await asyncio.wait_for(stage.session.wait_closed(), 30)
    assert how is not None
    proxies = stage.transport._link
    late = await _failure(stage.session.send_message("Are you there?"))
    return stage.report(
        code=how.code, reason=how.reason, error=type(how.error).__name__, late=late, kept=proxies is not None
    )


async def carrier_checks(url: str) -> dict[str, Any]:
    """The carrier on an echoing peer: order, size, binary, a goodbye with a code."""
    from voxwire.carriers.base import CarrierClosed, CarrierRequest
    from voxwire.carriers.workers import WorkersCarrier

    got: list[str | bytes] = []
    ended: asyncio.Future[CarrierClosed] = asyncio.get_running_loop().create_future()

    class Receiver:
        def message(self, data: str | bytes, /) -> None:
            got.append(data)

        def closed(self, how: CarrierClosed, /) -> None:
            ended.set_result(how)

    carrier = WorkersCarrier()
    await carrier.open(CarrierRequest(url), Receiver())
    texts = ["ümläut 🎙", "", "x" * 300_000, *map(str, range(200))]
    for text in texts:
        carrier.send(text)
    while len(got) < len(texts):
        await asyncio.sleep(0.005)
    paused = len(got)
    carrier.pause_reading()
    carrier.send("held")
    await asyncio.sleep(0.2)
    held = len(got) == paused
    carrier.resume_reading()
    while len(got) == paused:
        await asyncio.sleep(0.005)
    carrier.send("binary, please")
    while not isinstance(got[-1], bytes):
        await asyncio.sleep(0.005)
    binary = got[-1]
    await carrier.close(4002, "enough")
    how = await ended
    proxies = carrier._link.proxies
    await asyncio.sleep(0.01)
    return {
        "same": got[: len(texts)] == texts,
        "held": held,
        "binary": binary.hex(),
        "how": [how.code, how.reason, how.clean],
        "proxies": len(proxies._made),
    }


async def unread(url: str) -> dict[str, Any]:
    """A peer that does not read: `drain` waits, and at last the connection is dropped."""
    from voxwire.carriers.base import CarrierClosed, CarrierRequest
    from voxwire.carriers.workers import WorkersCarrier
    from voxwire.errors import ConnectionLost

    ended: list[CarrierClosed] = []

    class Receiver:
        def message(self, data: str | bytes, /) -> None: ...

        def closed(self, how: CarrierClosed, /) -> None:
            ended.append(how)

    carrier = WorkersCarrier()
    await carrier.open(CarrierRequest(url, close_timeout=0.5), Receiver())
    sent, waited = 0, False
    try:
        while sent < 400:
            carrier.send("y" * 65_536)
            sent += 1
            if not waited:
                try:
                    await asyncio.wait_for(carrier.drain(), 0.2)
                except TimeoutError:
                    waited = True
    except ConnectionLost as error:
        lost = str(error)
    else:
        lost = ""
    return {"sent": sent, "waited": waited, "lost": lost, "ended": len(ended)}


_relays: set[asyncio.Future[Any]] = set()


async def answer_upgrade(server: Any, kind: str, url: str, key: str) -> None:
    """Hand an inbound socket to the example's relay."""
    import relay

    from voxwire.carriers.workers import AcceptedWebSocket

    socket = AcceptedWebSocket(server)
    serve = relay.relay_phone if kind == "phone" else relay.relay_page
    task = asyncio.ensure_future(serve(socket, api_key=key, url=url))
    _relays.add(task)
    task.add_done_callback(_relays.discard)


async def event_cost(count: int) -> dict[str, Any]:
    """Time to bring one frame of audio out, and one delta in, through the whole session; no socket."""
    from voxwire.carriers.base import CarrierRequest
    from voxwire.carriers.memory import memory_pair
    from voxwire.transports.websocket import OpenAIRealtimeWebSocket

    near, far = memory_pair()

    class Far:
        def message(self, data: str | bytes, /) -> None:
            if '"session.update"' in str(data):
                far.send('{"type": "session.updated", "event_id": "e2", "session": {}}')

        def closed(self, how: Any, /) -> None: ...

    await far.open(CarrierRequest("memory:"), Far())
    transport = OpenAIRealtimeWebSocket(url="ws://127.0.0.1/", api_key="sk-x", connect=lambda: near)
    session = RealtimeSession(AGENT, transport=transport)
    heard: list[int] = []
    session.on("audio", lambda event: heard.append(len(event.data)))
    connecting = asyncio.ensure_future(session.connect())
    await asyncio.sleep(0)
    far.send('{"type": "session.created", "event_id": "e1", "session": {}}')
    await connecting
    frame = bytes(FRAME)
    start = time.perf_counter()
    for _ in range(count):
        await session.send_audio(frame)
    out = time.perf_counter() - start
    far.send('{"type": "response.created", "event_id": "e3", "response": {"id": "r1"}}')
    delta = json.dumps(
        {
            "type": "response.output_audio.delta",
            "event_id": "e4",
            "response_id": "r1",
            "item_id": "i1",
            "output_index": 0,
            "content_index": 0,
            "delta": base64.b64encode(frame).decode(),
        }
    )
    start = time.perf_counter()
    for _ in range(count):
        far.send(delta)
    while len(heard) < count:
        await asyncio.sleep(0)
    into = time.perf_counter() - start
    await session.close()
    return {"out_us": out / count * 1e6, "in_us": into / count * 1e6, "heard": len(heard)}


async def open_session(url: str, key: str) -> dict[str, Any]:
    """Connect, and leave again."""
    stage = Stage(url, key)
    async with stage.session:
        pass
    return {"opened": True}
