"""The shell around the engine, on a socket made of queues."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voxwire.server.connection import Connection, Speech
from voxwire.server.engine import ServerEngine
from voxwire.server.limits import Limits


class QueueSocket:
    """A client that takes messages only while `reading` is set."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[str | None] = asyncio.Queue()
        self.events: list[dict[str, Any]] = []
        self.arrived = asyncio.Condition()
        self.reading = asyncio.Event()
        self.reading.set()
        self.error: Exception | None = None
        self.closed: tuple[int, str] | None = None

    async def receive(self) -> str | None:
        return await self.incoming.get()

    async def send(self, message: str) -> None:
        if self.error is not None:
            raise self.error
        await self.reading.wait()
        async with self.arrived:
            self.events.append(json.loads(message))
            self.arrived.notify_all()

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def put(self, type: str, **fields: Any) -> None:
        self.incoming.put_nowait(json.dumps({"type": type, **fields}))

    def append(self, pcm: bytes) -> None:
        self.put("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    async def until(self, type: str) -> dict[str, Any]:
        def found() -> bool:
            return any(event["type"] == type for event in self.events)

        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(found)
        return next(event for event in self.events if event["type"] == type)


class Running:
    def __init__(self, kit: dict[str, Any], limits: Limits) -> None:
        ids = iter(range(10**9))
        now = asyncio.get_running_loop().time()
        self.engine = ServerEngine(ids=lambda p: f"{p}{next(ids)}", now=now, unix_now=0, limits=limits)
        self.socket = QueueSocket()
        speech = Speech(kit["vad"](), kit["transcriber"], kit["responder"], kit["synthesizer"])
        self.connection = Connection(self.engine, self.socket, speech, limits)
        self.task = asyncio.create_task(self.connection.run())

    async def end(self) -> None:
        async with asyncio.timeout(10):
            await self.task


@contextlib.asynccontextmanager
async def running(kit: dict[str, Any], **limits: Any) -> AsyncIterator[Running]:
    before = asyncio.all_tasks()
    run = Running(kit, Limits(**limits))
    try:
        yield run
        run.socket.incoming.put_nowait(None)
        await run.end()
    finally:
        run.task.cancel()
        await asyncio.gather(run.task, return_exceptions=True)
        assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()


async def test_recognition_of_an_abandoned_turn_is_cancelled(lab: Any, kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        run.socket.append(lab.loud(400))
        await run.socket.until("input_audio_buffer.speech_started")
        run.socket.put("input_audio_buffer.clear")
        await run.socket.until("input_audio_buffer.cleared")
        assert kit["transcriber"].started[0].cancelled


async def test_recognition_of_a_deleted_item_is_cancelled(lab: Any, kit: dict[str, Any]) -> None:
    kit["transcriber"].gate = asyncio.Event()
    async with running(kit) as run:
        run.socket.append(lab.loud(400) + lab.quiet(600))
        item_id = (await run.socket.until("input_audio_buffer.committed"))["item_id"]
        run.socket.put("conversation.item.delete", item_id=item_id)
        await run.socket.until("response.done")
        assert kit["transcriber"].started[0].cancelled
        assert kit["responder"].requests[0].items == ()


async def test_recognition_still_running_at_the_end_is_cancelled(lab: Any, kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        run.socket.append(lab.loud(400))
        await run.socket.until("input_audio_buffer.speech_started")
    assert kit["transcriber"].started[0].cancelled


@pytest.mark.parametrize("where", ["start", "feed"])
async def test_a_transcriber_that_raises_early(lab: Any, kit: dict[str, Any], where: str) -> None:
    class Broken(lab.SetTranscriber):  # type: ignore[name-defined,misc]
        def start(self, hints: Any, on_partial: Any, /) -> Any:
            if where == "start":
                raise RuntimeError("cannot start")
            made = super().start(hints, on_partial)
            made.feed = self.fail
            return made

        def fail(self, pcm: bytes) -> None:
            raise RuntimeError("cannot feed")

    kit["transcriber"] = Broken()
    async with running(kit) as run:
        run.socket.put(
            "session.update", session={"type": "realtime", "audio": {"input": {"transcription": {}}}}
        )
        run.socket.append(lab.loud(400) + lab.quiet(600))
        failed = await run.socket.until("conversation.item.input_audio_transcription.failed")
        assert f"cannot {where}" in failed["error"]["message"]
        await run.socket.until("response.done")


async def test_a_client_that_takes_nothing_is_dropped(kit: dict[str, Any]) -> None:
    async with running(kit, send_seconds=0.05) as run:
        run.socket.reading.clear()
        run.socket.put("response.cancel")
        await run.end()
        assert run.socket.closed is None


async def test_a_client_that_is_gone_ends_the_session(kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        await run.socket.until("session.created")
        run.socket.error = ConnectionResetError("gone")
        run.socket.put("response.cancel")
        await run.end()


async def test_reading_pauses_while_the_client_is_slow(kit: dict[str, Any]) -> None:
    async with running(kit, outgoing_bytes=3000) as run:
        await run.socket.until("session.created")
        run.socket.reading.clear()
        for _ in range(500):
            run.socket.put("nonsense")
        left = -1
        async with asyncio.timeout(10):
            while left != run.socket.incoming.qsize():
                left = run.socket.incoming.qsize()
                for _ in range(20):
                    await asyncio.sleep(0)
        assert left > 450
        run.socket.reading.set()
        run.socket.put("response.create", response={"output_modalities": ["text"]})
        await run.socket.until("response.done")
        assert sum(event["type"] == "error" for event in run.socket.events) == 500


async def test_a_fault_of_ours_closes_with_1011(
    kit: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf:
        frame_ms = 20

        def probabilities(self, pcm: bytes, /) -> list[float]:
            raise RuntimeError("no ear")

        def reset(self) -> None:
            pass

    kit["vad"] = Deaf
    with caplog.at_level(logging.ERROR):
        async with running(kit) as run:
            run.socket.append(bytes(9600))
            await run.end()
            assert run.socket.closed == (1011, "Internal error")
    assert "a session failed" in caplog.text


async def test_much_audio_in_one_event_lets_others_run(lab: Any, kit: dict[str, Any]) -> None:
    turns = 0
    done = False

    async def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    async with running(kit) as run:
        await run.socket.until("session.created")
        beside = asyncio.create_task(other())
        run.socket.append(lab.quiet(20_000) + lab.loud(500) + lab.quiet(600))
        await run.socket.until("input_audio_buffer.speech_started")
        done = True
        await beside
    assert turns >= 100


async def test_late_partials_do_no_harm(lab: Any, kit: dict[str, Any]) -> None:
    async with running(kit) as run:
        run.socket.append(lab.loud(400) + lab.quiet(600))
        await run.socket.until("response.done")
        kit["transcriber"].started[0].on_partial("much too late")
        run.socket.put("response.cancel")
        await run.socket.until("error")
