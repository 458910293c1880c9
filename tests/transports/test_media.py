"""Audio as frames beside the events, both ways, in virtual time: sink, source, hooks, backpressure, statistics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from voxwire import NotConnectedError, OpenAIRealtimeWebRTC, UserError
from voxwire.audio import PacedSink, QueueSource, SequenceSource, WavSource
from voxwire.audio.resample import convert
from voxwire.audio.wav_writer import WavWriter
from voxwire.carriers.base import CarrierRequest
from voxwire.carriers.memory_media import MemoryMediaCarrier, memory_media_pair
from voxwire.errors import ConnectionLost
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioSent,
    AudioStarted,
    AudioStopped,
    ErrorEvent,
    MediaStateChange,
)
from voxwire.rtc.base import RtcStats
from voxwire.testing import check_transport, run_virtual

CONFIG = {"instructions": "be brief"}


def tone(ms: int, value: int = 5000) -> bytes:
    return value.to_bytes(2, "little", signed=True) * (24 * ms)


def client(service: Any, **options: Any) -> OpenAIRealtimeWebRTC:
    given = {"audio_input": None, "audio_output": None, "api_key": "ek_test", **options}
    return OpenAIRealtimeWebRTC(carrier=service.connect, **given)


async def called(service: Any, **options: Any) -> OpenAIRealtimeWebRTC:
    transport = client(service, **options)
    await transport.connect(initial_session_config=CONFIG)
    return transport


async def rounds(count: int = 20) -> None:
    """Let messages that are under way arrive."""
    for _ in range(count):
        await asyncio.sleep(0)


class Broken:
    async def frames(self, _format: AudioFormat, /) -> AsyncIterator[bytes]:
        yield bytes(960)
        raise OSError("unplugged")

    async def close(self) -> None:
        raise AssertionError("the source belongs to the caller")


# -- what is heard


def test_a_reply_reaches_sink_and_listeners(media_service: Any) -> None:
    async def scenario() -> None:
        heard = bytearray()
        service = media_service()
        transport = await called(service, audio_output=PacedSink(heard.extend))
        events: list[Any] = []
        for name in ("audio", "audio_start", "audio_stopped"):
            transport.on(name, events.append)
        await asyncio.sleep(0.5)
        assert not events, "silence is nothing"
        await service.say("r", "a", tone(1000))
        assert transport.speaking
        await asyncio.sleep(0.5)
        audio = [event for event in events if isinstance(event, AudioEvent)]
        assert {(one.item_id, one.response_id, one.format) for one in audio} == {("a", "r", PCM16)}
        assert [type(event) for event in events if not isinstance(event, AudioEvent)] == [
            AudioStarted,
            AudioStopped,
        ]
        assert bytes(heard).strip(b"\0") == tone(1000)
        assert b"".join(one.data for one in audio) == bytes(heard)
        assert transport.heard_ms == pytest.approx(len(heard) / 48)
        assert transport.history[0].item_id == "a"
        await transport.close()

    run_virtual(scenario())


def test_barge_in_empties_the_loudspeaker_before_anybody_hears_of_it(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        sink = PacedSink()
        transport = await called(service, audio_output=sink)
        told: list[Any] = []

        def interrupted(event: AudioInterrupted) -> None:
            told.append((event, sink.buffered_ms()))

        transport.on("audio_interrupted", interrupted)
        saying = asyncio.ensure_future(service.say("r", "a", tone(3000)))
        await asyncio.sleep(1.0)
        before = service.kinds()
        service.send("input_audio_buffer.speech_started", item_id="u", audio_start_ms=0)
        await rounds()
        ((event, waiting),) = told
        assert waiting == 0
        assert event.truncations[0].item_id == "a"
        assert abs(event.truncations[0].audio_end_ms - 1000) <= 60
        assert service.kinds() == before, "the service truncates by itself"
        at = transport.heard_ms
        await asyncio.sleep(0.5)
        assert transport.heard_ms == at, "late frames are not played"
        service.send("output_audio_buffer.cleared", response_id="r")
        service.send("conversation.item.truncated", item_id="a", content_index=0, audio_end_ms=980)
        await rounds()
        part = transport.history[0].content[0]  # type: ignore[union-attr]
        assert part.heard_ms == 980  # type: ignore[union-attr]
        assert part.full_transcript == "one two three four"  # type: ignore[union-attr]
        saying.cancel()
        await transport.close()

    run_virtual(scenario())


def test_interrupt_clears_at_the_service_and_here(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = await called(service, audio_output=PacedSink())
        saying = asyncio.ensure_future(service.say("r", "a", tone(3000)))
        await asyncio.sleep(0.5)
        await transport.interrupt()
        await rounds()
        assert service.kinds() == ["output_audio_buffer.clear"], "it was generated long ago"
        assert not transport.speaking
        saying.cancel()
        await transport.close()
        with pytest.raises(NotConnectedError):
            await transport.interrupt()

    run_virtual(scenario())


def test_a_listener_far_behind_misses_audio_and_the_loudspeaker_does_not(media_service: Any) -> None:
    async def scenario() -> None:
        heard = bytearray()
        service = media_service()
        transport = await called(service, audio_output=PacedSink(heard.extend))
        stream = transport.events("audio")
        saying = asyncio.ensure_future(service.say("r", "a", tone(60_000)))
        await asyncio.sleep(70)
        assert saying.done()
        assert transport.skipped_ms > 0
        assert len(bytes(heard).strip(b"\0")) == 60_000 * 48
        for _ in range(250):
            assert (await anext(stream)).item_id == "a"
        await rounds()
        await service.say("r2", "b", tone(100))
        async for event in stream:
            if event.item_id == "b":
                break  # it has caught up
        await transport.close()

    run_virtual(scenario())


def test_the_path_of_the_audio_is_told(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = client(service)
        told: list[MediaStateChange] = []
        transport.on("media_state", told.append)
        await transport.connect()
        service.clients[-1].media_state("disconnected", "consent expired")
        service.clients[-1].media_state("connected")
        await transport.close()
        service.clients[-1].media_state("lost")
        assert told == [
            MediaStateChange("connected"),
            MediaStateChange("disconnected", "consent expired"),
            MediaStateChange("connected"),
        ]

    run_virtual(scenario())


# -- what is said


@pytest.mark.parametrize("realtime", [True, False])
def test_a_source_is_sent_in_real_time_and_told(media_service: Any, tmp_path: Any, realtime: bool) -> None:
    path = tmp_path / "question.wav"
    with WavWriter(path, rate=24_000) as file:
        file.write(tone(1500))

    async def scenario() -> None:
        service = media_service()
        transport = client(service, audio_input=WavSource(path, realtime=realtime))
        sent: list[AudioSent] = []
        transport.on("audio_sent", sent.append)
        await transport.connect(initial_session_config=CONFIG)
        await asyncio.sleep(0.7)
        assert len(bytes(service.heard).strip(b"\0")) < 48 * 800, "no faster than real time"
        await asyncio.sleep(1.5)
        assert bytes(service.heard).strip(b"\0") == tone(1500)
        assert b"".join(event.data for event in sent) == tone(1500)
        assert service.kinds() == [], "no appends"
        await transport.close()

    run_virtual(scenario())


def test_mute_before_and_during_the_call(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        source = SequenceSource()
        transport = client(service, audio_input=source)
        sent: list[AudioSent] = []
        transport.on("audio_sent", sent.append)
        await transport.mute(True)
        assert transport.muted is True
        await transport.connect()
        await source.say(tone(200))
        await asyncio.sleep(0.1)
        assert not bytes(service.heard).strip(b"\0")
        assert not b"".join(event.data for event in sent).strip(b"\0")
        await transport.mute(False)
        await source.say(tone(200))
        await asyncio.sleep(0.1)
        assert bytes(service.heard).strip(b"\0") == tone(200)
        await transport.close()
        assert transport.muted is False

    run_virtual(scenario())


def test_a_broken_source_does_not_end_the_call(media_service: Any) -> None:
    async def scenario() -> None:
        transport = client(media_service(), audio_input=Broken())
        errors: list[ErrorEvent] = []
        transport.on("error", errors.append)
        await transport.connect()
        await rounds()
        assert [str(event.error) for event in errors] == ["unplugged"]
        assert transport.status == "connected"
        await transport.close()

    run_virtual(scenario())


def test_send_audio_without_a_source_feeds_the_track_and_commits_behind_it(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = await called(service)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(
            transport.send_audio(tone(1000, 1000)), transport.send_audio(tone(1000, 2000), commit=True)
        )
        assert bytes(service.heard).strip(b"\0") == tone(1000, 1000) + tone(1000, 2000), "in order, complete"
        assert loop.time() - began >= 2.0
        await rounds()
        assert service.kinds() == ["input_audio_buffer.commit"]
        await transport.close()
        await transport.send_audio(tone(20))  # dropped, as on every wire
        assert service.how is not None

    run_virtual(scenario())


def test_send_audio_in_another_format_is_converted(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        service.sessions = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
        transport = await called(service)
        spoken = convert(tone(500), PCM16, PCMU)
        await transport.send_audio(spoken[:2000])
        await transport.send_audio(spoken[2000:], commit=True)
        middle = bytes(service.heard).strip(b"\0")
        assert abs(len(middle) / 48 - 500) < 40
        value = int.from_bytes(middle[12000:12002], "little", signed=True)
        assert value == pytest.approx(5000, rel=0.05)
        await transport.close()

    run_virtual(scenario())


def test_send_audio_beside_a_source_is_appended_by_events(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = await called(service, audio_input=QueueSource())
        await transport.send_audio(tone(2500), commit=True)
        await rounds()
        assert service.kinds() == ["input_audio_buffer.append"] * 3 + ["input_audio_buffer.commit"]
        assert not bytes(service.heard).strip(b"\0")
        await transport.close()

    run_virtual(scenario())


def test_the_connection_ends_while_audio_waits(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = await called(service)
        sending = asyncio.ensure_future(transport.send_audio(tone(5000)))
        await asyncio.sleep(1)
        service.calls[-1].drop()
        with pytest.raises(ConnectionLost, match="before all audio was sent"):
            await sending
        assert transport.status == "disconnected"

    run_virtual(scenario())


def test_old_audio_gives_way_when_the_queue_is_full(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service(max_queue_ms=100)
        transport = await called(service, audio_input=Burst())
        await asyncio.sleep(0.5)
        assert bytes(service.heard).lstrip(b"\0")[:4800] == tone(100, 9)
        await transport.close()

    class Burst:
        async def frames(self, _format: AudioFormat, /) -> AsyncIterator[bytes]:
            for value in range(10):
                yield tone(100, value)

        async def close(self) -> None: ...

    run_virtual(scenario())


# -- statistics, names


def test_behaviour_91_the_call_and_its_statistics(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service(call_id="rtc_1")
        transport = client(service)
        assert transport.call_id is None
        assert transport.get_stats() == RtcStats()
        await transport.connect()
        assert transport.call_id == "rtc_1"
        await transport.send_audio(tone(200))
        await asyncio.sleep(0.05)
        assert transport.input_level == pytest.approx(-16.3, abs=0.2)
        service.calls[-1].send_media(tone(60, 100))
        await asyncio.sleep(0.05)
        assert transport.output_level == pytest.approx(-50.3, abs=0.2)
        sent = transport.get_stats().packets_sent
        assert sent >= 4
        await transport.close()
        assert transport.call_id is None
        assert transport.get_stats().packets_sent == sent

    run_virtual(scenario())


def test_a_carrier_with_devices_of_its_own() -> None:
    class Service:
        """Only what a page's own connection has: messages."""

        def __init__(self) -> None:
            self.near, self.far = memory_media_pair()
            self.near._plays_itself = True
            self.task = asyncio.ensure_future(self.far.open(CarrierRequest("memory:"), self))

        def message(self, data: str | bytes, /) -> None:
            self.last = data

        def closed(self, how: Any, /) -> None: ...

    async def scenario() -> None:
        services: list[Service] = []

        def connect() -> MemoryMediaCarrier:
            services.append(Service())
            services[-1].far.send('{"type":"session.created","session":{}}') if services[
                -1
            ].task.done() else None
            asyncio.get_running_loop().call_later(
                0.1, services[-1].far.send, '{"type":"session.created","session":{}}'
            )
            return services[-1].near

        transport = OpenAIRealtimeWebRTC(carrier=connect, audio_input=None, audio_output=None, api_key="ek_x")
        await transport.connect()
        await transport.send_audio(tone(20))
        await rounds()
        assert b"input_audio_buffer.append" in str(services[0].last).encode()
        await transport.close()
        given = OpenAIRealtimeWebRTC(
            carrier=connect, audio_input=None, audio_output=PacedSink(), api_key="ek_x"
        )
        with pytest.raises(UserError, match="carrier's own"):
            await given.connect()
        assert given.status == "disconnected"

    run_virtual(scenario())


async def test_the_transport_keeps_its_promises(media_service: Any) -> None:
    import contextlib

    @contextlib.asynccontextmanager
    async def make() -> Any:
        transport = client(media_service())
        yield transport, {"initial_session_config": CONFIG}
        await transport.close()

    await check_transport(make)
