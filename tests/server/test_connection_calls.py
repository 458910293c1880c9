"""The shell around an engine with a media plane, and with more than one client; on sockets made of queues."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire.errors import ConnectionLost, UserError
from voxwire.rtc.base import PeerState
from voxwire.server.connection import Connection, Speech
from voxwire.server.engine import ServerEngine
from voxwire.server.limits import Limits
from voxwire.server.media import RtcMedia
from voxwire.server.rtc_caller import RtcCaller


class Plane:
    """A media plane that plays when it is told to."""

    def __init__(self) -> None:
        self.queue = bytearray()
        self.played_ms = 0.0
        self.hear: Callable[[bytes], None] = lambda _pcm: None

    def write(self, pcm: bytes, /) -> None:
        self.queue += pcm

    def clear(self) -> float:
        self.queue.clear()
        return self.played_ms

    def listen(self, hear: Callable[[bytes], None], /) -> None:
        self.hear = hear

    def play(self, ms: int) -> None:
        taken = min(len(self.queue), ms * 48)
        del self.queue[:taken]
        self.played_ms += taken / 48


class QueueSocket:
    """A client that takes messages only while `reading` is set."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self.events: list[dict[str, Any]] = []
        self.arrived = asyncio.Condition()
        self.reading = asyncio.Event()
        self.reading.set()
        self.closed: tuple[int, str] | None = None

    async def receive(self) -> str | None:
        return await self.incoming.get()

    async def send(self, message: str) -> None:
        await self.reading.wait()
        async with self.arrived:
            self.events.append(json.loads(message))
            self.arrived.notify_all()

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def put(self, type: str, **fields: Any) -> None:
        self.incoming.put_nowait(json.dumps({"type": type, **fields}))

    async def until(self, type: str) -> dict[str, Any]:
        def found() -> bool:
            return any(event["type"] == type for event in self.events)

        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(found)
        return next(event for event in self.events if event["type"] == type)


class Running:
    """A session on a plane, with a first client or without."""

    def __init__(self, kit: dict[str, Any], *, first: bool = True, **limits: Any) -> None:
        ids = iter(range(10**9))
        now = asyncio.get_running_loop().time()
        self.plane = Plane()
        engine = ServerEngine(
            ids=lambda p: f"{p}{next(ids)}",
            now=now,
            unix_now=0,
            limits=Limits(**limits),
            played=lambda: self.plane.played_ms,
        )
        self.engine = engine
        self.socket = QueueSocket()
        speech = Speech(kit["vad"](), kit["transcriber"], kit["responder"], kit["synthesizer"])
        self.connection = Connection(
            engine, self.socket if first else None, speech, Limits(**limits), media=self.plane
        )
        self.task = asyncio.create_task(self.connection.run())
        self.others: list[asyncio.Task[None]] = []

    def attach(self) -> QueueSocket:
        socket = QueueSocket()
        self.others.append(asyncio.create_task(self.connection.attach(socket)))
        return socket

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await self.task


@contextlib.asynccontextmanager
async def running(kit: dict[str, Any], **options: Any) -> AsyncIterator[Running]:
    before = asyncio.all_tasks()
    run = Running(kit, **options)
    try:
        yield run
        run.socket.incoming.put_nowait(None)
        run.connection.end(1000, "bye")
        await run.end()
        async with asyncio.timeout(10):
            await asyncio.gather(*run.others)
    finally:
        run.task.cancel()
        await asyncio.gather(run.task, *run.others, return_exceptions=True)
        assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()


async def test_a_call_without_a_first_client_lives_until_it_is_ended(lab: Any, kit: dict[str, Any]) -> None:
    async with running(kit, first=False) as run:
        side = run.attach()
        created = await side.until("session.created")
        assert created["session"]["object"] == "realtime.session"
        for at in range(0, 48 * 400, 960):
            run.plane.hear(lab.loud(400)[at : at + 960])
        await side.until("input_audio_buffer.speech_started")
        side.put("response.create")
        await side.until("response.output_audio_transcript.delta")
        side.incoming.put_nowait(None)
        await asyncio.wait(run.others, timeout=10)
        assert not run.task.done()
        assert run.connection.attached == 0


async def test_audio_of_the_call_waits_while_a_long_append_is_heard(lab: Any, kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        await run.socket.until("session.created")
        audio = base64.b64encode(lab.quiet(2000)).decode()
        run.socket.put("input_audio_buffer.append", audio=audio)
        reading = run.connection._reading
        async with asyncio.timeout(10):
            while not reading.locked():
                await asyncio.sleep(0)
        run.plane.hear(lab.quiet(20))
        assert run.engine._input.buffer.end_ms == 2000  # the frame has to wait
        run.socket.put("input_audio_buffer.append", audio="AAAA" * 8)
        async with asyncio.timeout(10):
            while run.engine._input.buffer.end_ms < 2020.5:
                await asyncio.sleep(0)


async def test_a_fault_in_hearing_ends_the_call(
    lab: Any, kit: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Deaf(lab.LoudnessDetector):  # type: ignore[name-defined,misc]
        def probabilities(self, pcm: bytes, /) -> list[float]:
            raise RuntimeError("no ear")

    kit["vad"] = Deaf
    with caplog.at_level(logging.ERROR):
        async with running(kit) as run:
            await run.socket.until("session.created")
            run.plane.hear(lab.quiet(20))
            run.plane.hear(lab.quiet(20))  # it is over: nobody listens
            await run.end()
            assert run.socket.closed == (1011, "Internal error")
    assert caplog.text.count("RuntimeError: no ear") == 1


async def test_replies_are_made_ahead_only_so_far(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"] = lab.CannedResponder(["word " * 50])
    async with running(kit, playout_ms=500) as run:
        run.socket.put("response.create")
        async with asyncio.timeout(10):
            while len(run.plane.queue) < 500 * 48:
                await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(run.plane.queue) <= 800 * 48  # of 5000 ms: one piece of up to 200 ms more
        run.plane.play(400)
        await run.socket.until("output_audio_buffer.started")
        async with asyncio.timeout(10):
            while len(run.plane.queue) + 400 * 48 < 900 * 48:
                await asyncio.sleep(0.001)


async def test_a_sideband_that_takes_nothing_is_closed_and_nobody_waits_for_it(
    lab: Any, kit: dict[str, Any]
) -> None:
    async with running(kit, outgoing_bytes=3000, send_seconds=30) as run:
        side = run.attach()
        await side.until("session.created")
        side.reading.clear()
        for number in range(20):
            text = "x" * 1000
            item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            run.socket.put("conversation.item.create", item=item, event_id=str(number))
        run.socket.put("response.create", response={"output_modalities": ["text"]})
        await run.socket.until("response.done")
        side.reading.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*run.others)
        assert side.closed == (1013, "This client takes events too slowly.")
        assert len(side.events) < 10


async def test_one_who_comes_too_late_is_told_why(kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        await run.socket.until("session.created")
        run.connection.end(1001, "closing time")
        await run.end()
        late = run.attach()
        async with asyncio.timeout(10):
            await asyncio.gather(*run.others)
        assert late.closed == (1001, "closing time")


async def test_events_after_the_end_do_nothing(lab: Any, kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        side = run.attach()
        await side.until("session.created")
        side.reading.clear()
        side.put("nonsense")  # its answer blocks the writer
        await asyncio.sleep(0)
        run.socket.incoming.put_nowait(None)
        await run.end()
        side.put("response.create")
        side.reading.set()
        async with asyncio.timeout(10):
            await asyncio.gather(*run.others)
        assert side.closed == (1000, "The client has left.")
        assert kit["responder"].requests == []


async def test_a_script_may_drop_everyone(lab: Any, kit: dict[str, Any]) -> None:
    from voxwire.server.speech.base import Disconnect

    kit["responder"] = lab.CannedResponder([Disconnect(None, "")])
    async with running(kit) as run:
        side = run.attach()
        await side.until("session.created")
        run.socket.put("response.create")
        await run.end()
        async with asyncio.timeout(10):
            await asyncio.gather(*run.others)
        assert run.socket.closed is None
        assert side.closed is None


# -- the caller of a peer connection ----------------------------------------------------------------------


class Wire:
    """What a caller needs of a peer, and what it did to it."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.error: Exception | None = None
        self.item_limit = 10_000  # characters of a message about an item
        self.queued_ms = 0.0
        self.cleared = 0
        self.closed = False

    def send(self, text: str, /) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        if "conversation.item" in text[:40] and len(text) > self.item_limit:
            raise UserError(f"a message of {len(text)} bytes is longer than the peer takes")
        self.sent.append(text)

    async def drain(self) -> None:
        pass

    def send_audio(self, pcm: bytes, /) -> None:
        self.queued_ms += len(pcm) / 48

    def clear_audio(self) -> None:
        self.queued_ms = 0.0
        self.cleared += 1

    async def close(self) -> None:
        self.closed = True


def caller_on(wire: Wire | None = None, limits: Limits | None = None) -> tuple[RtcCaller, Wire, list[str]]:
    wire = wire or Wire()
    reasons: list[str] = []
    caller = RtcCaller(limits or Limits())
    caller.connect(wire, has_channel=True, on_gone=reasons.append)  # type: ignore[arg-type]
    return caller, wire, reasons


async def test_what_is_sent_before_the_channel_opens_waits() -> None:
    caller, wire, _ = caller_on()
    sending = asyncio.create_task(caller.send('{"type":"a"}'))
    await asyncio.sleep(0)
    assert wire.sent == []
    caller.state("connected", "")
    assert not caller.here.is_set()
    caller.channel("open")
    assert caller.here.is_set()
    await sending
    assert wire.sent == ['{"type":"a"}']


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (lambda caller: caller.channel("closed"), "the data channel was closed"),
        (lambda caller: caller.state("failed", "no consent"), "no consent"),
        (lambda caller: caller.state("closed", ""), "the connection failed"),
    ],
)
async def test_a_caller_who_leaves(happens: Callable[[RtcCaller], None], reason: str) -> None:
    caller, _, reasons = caller_on()
    receiving = asyncio.create_task(caller.receive())
    sending = asyncio.create_task(caller.send("{}"))
    await asyncio.sleep(0)
    happens(caller)
    happens(caller)
    assert await receiving is None
    with pytest.raises(ConnectionResetError):
        await sending
    assert reasons == [reason]
    caller.message("late")
    assert await caller.receive() is None


async def test_a_caller_who_left_before_the_call_began() -> None:
    caller = RtcCaller(Limits())
    state: PeerState = "failed"
    caller.state(state, "unreachable")
    reasons: list[str] = []
    caller.connect(Wire(), has_channel=True, on_gone=reasons.append)  # type: ignore[arg-type]
    assert reasons == ["unreachable"]


async def test_messages_that_nobody_takes_are_bounded() -> None:
    caller, _, reasons = caller_on(limits=Limits(message_bytes=100))
    for _ in range(4):
        caller.message("x" * 50)
    assert reasons == []
    caller.message(b"x")
    assert "faster than they could be taken" in reasons[0]


async def test_a_lost_channel_and_a_long_event() -> None:
    caller, wire, _ = caller_on()
    caller.channel("open")
    wire.error = ConnectionLost("gone")
    with pytest.raises(ConnectionResetError, match="gone"):
        await caller.send("{}")
    wire.error = UserError("a message of 9 bytes is longer than the peer takes (5 bytes)")
    await caller.send('{"type":"session.updated","event_id":"event_1"}')
    (told,) = map(json.loads, wire.sent)
    assert (told["type"], told["error"]["code"]) == ("error", "event_too_long")
    assert "'session.updated'" in told["error"]["message"]
    await caller.close(1000, "")
    assert wire.closed


@pytest.mark.parametrize(("limit", "told"), [(300, "conversation.item.retrieved"), (90, "error")])
async def test_an_item_goes_without_its_audio_rather_than_not_at_all(limit: int, told: str) -> None:
    caller, wire, _ = caller_on()
    caller.channel("open")
    wire.item_limit = limit
    content = [{"type": "output_audio", "transcript": "Once upon a time", "audio": "A" * 400}]
    item = {"id": "item_1", "type": "message", "role": "assistant", "content": content}
    await caller.send(
        json.dumps({"type": "conversation.item.retrieved", "event_id": "event_1", "item": item})
    )
    (event,) = map(json.loads, wire.sent)
    assert event["type"] == told
    if told != "error":
        assert event["item"]["content"] == [{"type": "output_audio", "transcript": "Once upon a time"}]


async def test_an_item_with_its_audio_where_that_fits() -> None:
    caller, wire, _ = caller_on()
    caller.channel("open")
    content = [{"type": "output_audio", "audio": "AAAA"}]
    message = json.dumps(
        {"type": "conversation.item.retrieved", "event_id": "e", "item": {"content": content}}
    )
    await caller.send(message)
    assert wire.sent == [message]


def test_positions_of_a_peer_s_audio() -> None:
    media = RtcMedia()
    media.write(bytes(960))  # nobody there yet
    assert (media.clear(), media.played_ms) == (0, 0)
    wire = Wire()
    media.connect(wire)  # type: ignore[arg-type]
    media.write(bytes(48 * 100))
    assert media.played_ms == 0
    wire.queued_ms = 70
    assert media.played_ms == 30
    assert media.clear() == 30
    media.write(bytes(48 * 10))
    assert (media.played_ms, wire.queued_ms) == (30, 10)
    wire.queued_ms = 0
    assert media.played_ms == 40
    heard: list[bytes] = []
    media.heard(b"early")
    media.listen(heard.append)
    media.heard(b"on time")
    assert heard == [b"on time"]


async def test_clients_that_come_at_once_take_no_more_places_than_there_are(kit: dict[str, Any]) -> None:
    async with running(kit, sidebands=2) as run:
        sockets = [run.attach() for _ in range(4)]
        async with asyncio.timeout(5):
            await asyncio.gather(*run.others[2:])
        assert [socket.closed and socket.closed[0] for socket in sockets] == [None, None, 1013, 1013]
        assert run.connection.attached == 2
        await sockets[0].until("session.created")
