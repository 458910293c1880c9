"""Listeners, sink, source and backpressure over a real loopback socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voxwire.audio.sinks import CallbackSink
from voxwire.errors import WireError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.protocol.transport_events import ErrorEvent

SPEECH = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 0}


class Speaker:
    """A sink that plays when the test says so."""

    def __init__(self) -> None:
        self.formats: list[AudioFormat] = []
        self.data = bytearray()
        self.clears: list[float] = []
        self.played = 0.0
        self.max_buffer_ms = 1000.0
        self.broken = False
        self.slow = asyncio.Event()
        self.slow.set()

    async def open(self, format: AudioFormat, /) -> None:
        await self.slow.wait()
        self.formats.append(format)

    def _check(self) -> None:
        if self.broken:
            raise OSError("unplugged")

    def write(self, data: bytes, /) -> None:
        self._check()
        assert self.formats, "not open"
        self.data += data

    def clear(self, heard_ms: float, /) -> None:
        self._check()
        self.clears.append(heard_ms)
        del self.data[int(self.played * 48) :]

    def heard_ms(self) -> float | None:
        self._check()
        return self.played

    def buffered_ms(self) -> float:
        self._check()
        return len(self.data) / 48 - self.played

    async def close(self) -> None:
        raise AssertionError("the sink belongs to the caller")


class Microphone:
    """A source that gives what the test puts in."""

    def __init__(self, *, fails: bool = False) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.format: AudioFormat | None = None
        self.fails = fails

    async def frames(self, format: AudioFormat, /) -> AsyncIterator[bytes]:
        self.format = format
        try:
            while True:
                yield await self.queue.get()
                if self.fails:
                    raise OSError("unplugged")
        finally:
            self.ended.set()

    async def close(self) -> None:
        raise AssertionError("the source belongs to the caller")


def delta(ms: int, item_id: str = "a", response_id: str = "r") -> dict[str, Any]:
    audio = base64.b64encode(bytes(ms * 48)).decode()
    ids = {"response_id": response_id, "item_id": item_id, "content_index": 0}
    return {"type": "response.output_audio.delta", **ids, "delta": audio}


# -- listeners


async def test_behaviour_2_3_the_dict_the_typed_event_and_what_is_sent(bench: Any) -> None:
    client, service = await bench.pair()
    raw: list[dict[str, Any]] = []
    typed: list[Any] = []
    sent: list[dict[str, Any]] = []

    def spoil(event: dict[str, Any]) -> None:
        raw.append(dict(event))
        event["item_id"] = "spoilt"

    client.on("*", spoil)
    client.on(SPEECH["type"], typed.append)
    client.on("sent", sent.append)
    await service.send({**SPEECH, "new_field": 1})
    await bench.until(lambda: typed)
    assert raw[0]["new_field"] == 1
    assert typed[0].item_id == "u"
    await client.send_message("hi", {"x": 1}, trigger_response=False)
    await client.send_audio(bytes(4))
    assert [event["type"] for event in sent] == ["conversation.item.create", "input_audio_buffer.append"]
    assert sent[0]["x"] == 1


async def test_a_wire_event_cannot_pass_for_one_of_ours(bench: Any) -> None:
    client, service = await bench.pair()
    got: list[Any] = []
    seen: list[Any] = []
    for name in ("audio", "connected", "usage_update", "sent"):
        client.on(name, got.append)
    client.on("*", seen.append)
    for name in ("audio", "connected", "usage_update", "sent", "error"):
        await service.send({"type": name})
    await bench.until(lambda: len(seen) == 5)
    assert got == []


async def test_behaviour_42_43_malformed_and_unknown_messages_end_nothing(bench: Any) -> None:
    client, service = await bench.pair()
    errors: list[ErrorEvent] = []
    seen: list[Any] = []
    client.on("error", errors.append)
    client.on("*", seen.append)
    for text in ("not json", "[]", "{}", '{"type": 3}'):
        await service.send_text(text)
    await service.send({"type": "brand.new", "x": {"y": 1}})
    await bench.until(lambda: seen)
    assert [type(event.error) for event in errors] == [WireError] * 4
    assert seen[0]["x"] == {"y": 1}
    assert client.status == "connected"


async def test_an_error_nobody_listens_to_is_logged_without_its_words(bench: Any, caplog: Any) -> None:
    client, service = await bench.pair()
    seen: list[Any] = []
    client.on("*", seen.append)
    await service.send({"type": "error", "error": {"code": "some_code", "message": "secret words"}})
    await bench.until(lambda: seen)
    assert "some_code" in caplog.text
    assert "secret" not in caplog.text


async def test_a_loop_over_the_events_ends_on_close(bench: Any) -> None:
    client, service = await bench.pair()
    names: list[str] = []

    async def read() -> None:
        async for event in client:
            names.append(event.name)  # noqa: PERF401 - looked at meanwhile

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)
    await service.send(SPEECH)
    await bench.until(lambda: names)
    await service.close(1000)
    await asyncio.wait_for(reading, 5)
    assert names[0] == "user_speech_started"
    assert names[-1] == "connection_change"


@pytest.mark.parametrize("consumer", ["listener", "stream"])
async def test_a_slow_consumer_stops_the_reading_not_the_memory(bench: Any, consumer: str) -> None:
    client, service = await bench.pair()
    release, count = asyncio.Event(), 0

    async def slow(event: Any) -> None:
        nonlocal count
        await release.wait()
        count += 1

    stream = client.events("audio") if consumer == "stream" else None
    if stream is None:
        client.on("audio", slow)
    total, piece = 6000, delta(100)

    async def flood() -> None:
        for _ in range(total):
            await service.send(piece)

    flooding = asyncio.create_task(flood())
    await bench.until(lambda: client._link._held)
    for _ in range(20):
        await asyncio.sleep(0.005)
    assert not flooding.done()  # 77 MB: the network is full, and we do not hold it
    held = max(len(box.events) for box in client.listeners._streams) if stream else None
    assert held is None or held < 1500
    release.set()
    if stream is not None:
        for _ in range(total):
            await stream.__anext__()
        stream.close()
    else:
        await bench.until(lambda: count == total, 20)
    await flooding


async def test_who_lagged_behind_in_the_last_connection_holds_the_next(bench: Any) -> None:
    client, _ = await bench.pair()
    laggard = object()
    client.hold(laggard)
    await client.close()
    service = await bench.connect(client)
    seen: list[Any] = []
    client.on("*", seen.append)
    await service.send(SPEECH)
    for _ in range(10):
        await asyncio.sleep(0.002)
    assert seen == []
    client.release(laggard)
    await bench.until(lambda: seen)


# -- the sink


async def test_the_sink_is_opened_before_audio_arrives(bench: Any) -> None:
    sink = Speaker()
    sink.slow.clear()
    client = bench.client(audio_output=sink)
    connecting = asyncio.create_task(client.connect(initial_session_config={"instructions": "x"}))
    service = await bench.server.accept()
    await service.greet()
    await service.send(delta(100))
    for _ in range(10):
        await asyncio.sleep(0.002)
    assert not connecting.done()
    sink.slow.set()
    await connecting
    await bench.until(lambda: len(sink.data) == 4800)
    assert sink.formats == [PCM16]


async def test_the_sink_follows_a_change_of_format(bench: Any) -> None:
    sink = Speaker()
    _, service = await bench.pair(audio_output=sink)
    session = {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}
    await service.send({"type": "session.updated", "session": session})
    await service.send(delta(1))
    await bench.until(lambda: sink.data)
    assert sink.formats == [PCM16, PCMU]


async def test_barge_in_asks_the_sink_and_silences_it(bench: Any) -> None:
    sink = Speaker()
    client, service = await bench.pair(audio_output=sink)
    await service.send({"type": "response.created", "response": {"id": "r"}})
    await service.send(delta(900))
    await bench.until(lambda: sink.data)
    sink.played = 320.0
    assert client.heard_ms == 320
    await service.send(SPEECH)
    truncate = await service.expect("conversation.item.truncate")
    assert truncate["audio_end_ms"] == 320
    assert sink.clears == [320.0]


async def test_a_sink_counts_on_over_connections(bench: Any) -> None:
    sink = Speaker()
    client, service = await bench.pair(audio_output=sink)
    await service.send(delta(900))
    await bench.until(lambda: sink.data)
    sink.played = 500.0
    await client.close()
    assert sink.clears == [500.0]
    service = await bench.connect(client)
    await service.send(delta(900))
    await bench.until(lambda: sink.buffered_ms() > 800)
    sink.played += 200
    assert client.heard_ms == 200
    await client.interrupt()
    assert (await service.expect("conversation.item.truncate"))["audio_end_ms"] == 200
    assert sink.clears == [500.0, 700.0]


async def test_a_full_sink_stops_the_reading_for_a_while(bench: Any) -> None:
    sink = Speaker()
    client, service = await bench.pair(audio_output=sink)
    await service.send(delta(1200))
    await bench.until(lambda: client._link._held)
    await service.send(delta(10))
    sink.played = 600.0
    await bench.until(lambda: len(sink.data) == 1210 * 48)
    assert not client._link._held


async def test_a_broken_sink_does_not_end_the_call(bench: Any) -> None:
    sink = Speaker()
    client, service = await bench.pair(audio_output=sink)
    errors: list[ErrorEvent] = []
    client.on("error", errors.append)
    sink.broken = True
    await service.send(delta(100))
    await service.send(SPEECH)
    await service.expect("conversation.item.truncate")
    assert {type(event.error) for event in errors} == {OSError}
    assert client.status == "connected"


async def test_a_sink_that_cannot_be_opened_fails_the_connect(bench: Any) -> None:
    class Absent(CallbackSink):
        async def open(self, format: AudioFormat, /) -> None:
            raise OSError("no such device")

    client = bench.client(audio_output=Absent(lambda _: None))
    connecting = asyncio.create_task(client.connect())
    service = await bench.server.accept()
    await service.send({"type": "session.created", "session": {}})
    with pytest.raises(OSError, match="no such device"):
        await connecting
    assert client.status == "disconnected"


async def test_the_service_leaves_while_the_sink_is_being_opened(bench: Any) -> None:
    sink = Speaker()
    sink.slow.clear()
    source = Microphone()
    client = bench.client(audio_output=sink, audio_input=source)
    connecting = asyncio.create_task(client.connect())
    service = await bench.server.accept()
    await service.send({"type": "session.created", "session": {}})
    await bench.until(lambda: client.status == "connected")
    client._closed(client._link, client._link.how or _gone())
    sink.slow.set()
    with pytest.raises(Exception, match=r"closed|ended"):
        await connecting
    assert source.format is None


def _gone() -> Any:
    from voxwire.carriers.base import CarrierClosed

    return CarrierClosed(1006, "", clean=False)


# -- the source


async def test_the_source_is_sent_until_the_end_and_mute_is_silence(bench: Any) -> None:
    source = Microphone()
    client, service = await bench.pair(audio_input=source)
    source.queue.put_nowait(b"\x01\x02")
    first = await service.expect("input_audio_buffer.append")
    assert base64.b64decode(first["audio"]) == b"\x01\x02"
    await client.mute(True)
    source.queue.put_nowait(b"\x01\x02\x03\x04")
    second = await service.expect("input_audio_buffer.append")
    assert base64.b64decode(second["audio"]) == bytes(4)
    assert source.format == PCM16
    await client.close()
    assert source.ended.is_set()
    assert client.muted is True


async def test_a_broken_source_does_not_end_the_call(bench: Any) -> None:
    source = Microphone(fails=True)
    client, service = await bench.pair(audio_input=source)
    errors: list[ErrorEvent] = []
    client.on("error", errors.append)
    source.queue.put_nowait(b"\x01\x02")
    await service.expect("input_audio_buffer.append")
    await bench.until(lambda: errors)
    assert isinstance(errors[0].error, OSError)
    assert client.status == "connected"
