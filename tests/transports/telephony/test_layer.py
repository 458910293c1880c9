"""A transport between a phone that does as it is told and a scripted service on a real socket."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from voxwire import RealtimeAgent, RealtimeSession, end_call, tool
from voxwire.audio import CallbackSink, convert
from voxwire.errors import ConfigError, ConnectError, ConnectionLost, ConnectTimeout, UserError, WireError
from voxwire.protocol.formats import PCM16, PCMU, AudioFormat
from voxwire.testing import check_sink, check_transport, response_events
from voxwire.transports.telephony.layer import TelephonyTransportLayer
from voxwire.transports.telephony.providers import (
    ExotelRealtimeTransportLayer,
    PlivoRealtimeTransportLayer,
    TelnyxRealtimeTransportLayer,
    VonageRealtimeTransportLayer,
)
from voxwire.transports.telephony.twilio import TwilioProtocol
from voxwire.transports.twilio import TwilioRealtimeTransportLayer

ULAW = {"type": "audio/pcmu"}
ALAW = {"type": "audio/pcma"}
PCM24 = {"type": "audio/pcm", "rate": 24000}
PCM8 = {"type": "audio/pcm", "rate": 8000}
AGENT = RealtimeAgent("Ava", instructions="Be brief.", voice="marin")


def formats(session: dict[str, Any]) -> tuple[Any, Any]:
    audio = session.get("audio", {})
    return audio.get("input", {}).get("format"), audio.get("output", {}).get("format")


def log_of(transport: Any, *names: str) -> list[Any]:
    log: list[Any] = []
    for name in names:
        transport.on(name, log.append)
    return log


async def appended(service: Any) -> bytes:
    event = await service.expect("input_audio_buffer.append")
    return base64.b64decode(event["audio"])


# -- formats ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, (ULAW, ULAW)),
        ({"audio": {"output": {"voice": "cedar"}}}, (ULAW, ULAW)),
        ({"audio": {"input": {"format": "pcm16"}, "output": {"format": PCM24}}}, (ULAW, ULAW)),
        ({"audio": {"input": {"format": "g711_alaw"}}}, (ALAW, ULAW)),
        ({"audio": {"output": {"format": PCM8}}}, (ULAW, PCM8)),
        ({"input_audio_format": "pcm16", "output_audio_format": "g711_alaw"}, (ULAW, ALAW)),
    ],
)
async def test_the_first_configuration_asks_for_what_suits_a_phone(
    bench: Any, phone: Any, given: Any, expected: Any
) -> None:  # 98
    transport = bench.transport(phone)
    await bench.connect(transport.connect(initial_session_config=given))
    assert formats(bench.update) == expected


async def test_a_session_s_defaults_do_not_bring_noise(bench: Any, phone: Any) -> None:
    session = RealtimeSession(AGENT, transport=bench.transport(phone))
    await bench.connect(session.connect())
    assert formats(bench.update) == (ULAW, ULAW)
    assert bench.update["audio"]["output"]["voice"] == "marin", "the rest of the defaults is untouched"
    assert bench.update["audio"]["input"]["turn_detection"]
    await session.close()


async def test_an_explicit_format_goes_through_a_session(bench: Any, phone: Any) -> None:
    config = {"audio": {"input": {"format": "g711_alaw"}, "output": {"format": "g711_alaw"}}}
    session = RealtimeSession(AGENT, transport=bench.transport(phone), config=config)
    await bench.connect(session.connect())
    assert formats(bench.update) == (ALAW, ALAW)
    await session.close()


async def test_a_handoff_and_later_updates_leave_the_format_alone(bench: Any, phone: Any) -> None:
    tutor = RealtimeAgent("Tutor", instructions="Do sums.")
    greeter = RealtimeAgent("Greeter", instructions="Greet.", handoffs=[tutor])
    session = RealtimeSession(greeter, transport=bench.transport(phone))
    service = await bench.connect(session.connect())
    await service.respond(call=("transfer_to_Tutor", "{}"))
    update = await service.confirm_update()
    assert update["session"]["instructions"] == "Do sums."
    assert formats(update["session"]) == (None, None)
    await service.expect("conversation.item.create")
    await service.expect("response.create")
    await session.transport.update_session_config(
        {"audio": {"input": {"format": "pcm16"}}, "tool_choice": "none"}
    )
    update = await service.confirm_update()
    assert update["session"] == {"type": "realtime", "tool_choice": "none"}
    await session.close()


async def test_formats_that_do_not_exist(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone)
    with pytest.raises(ConfigError, match="mp3"):
        await transport.connect(initial_session_config={"audio": {"input": {"format": "mp3"}}})


async def test_a_model_without_g711_gets_pcm(bench: Any) -> None:
    phone, _transport, service = await bench.call(model_format="pcm16")
    assert formats(bench.update) == (PCM24, PCM24)
    tone = bytes(range(160)) * 10
    phone.media(tone[:800])
    phone.media(tone[800:])
    heard = await appended(service) + await appended(service)
    assert heard == convert(tone, PCMU, PCM16)[: len(heard)]
    assert len(heard) > 0.8 * PCM16.size_of(200), "the filter holds a little back"
    speech = convert(tone, PCMU, PCM16)
    await service.respond(audio=speech, text="Hi.")
    await bench.until(lambda: len(phone.of("media")) == 10)
    assert phone.audio()[:1600] == convert(speech, PCM16, PCMU)[:1600]
    assert {len(base64.b64decode(m["media"]["payload"])) for m in phone.of("media")} == {160}


async def test_the_model_s_format_may_change_during_the_call(bench: Any) -> None:
    phone, transport, service = await bench.call()
    await transport.send_event(
        {"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"format": PCM24}}}}
    )
    await service.confirm_update()
    await bench.until(lambda: formats(transport.session_config)[0] == PCM24)
    phone.media(bytes(1600))
    assert len(await appended(service)) > 6000


@pytest.mark.parametrize(
    ("make", "start", "expected"),
    [
        (TelnyxRealtimeTransportLayer, {"event": "start", "stream_id": "s", "start": {"media_format": {"encoding": "PCMA", "sample_rate": 8000}}}, (ALAW, ULAW)),
        (PlivoRealtimeTransportLayer, {"event": "start", "start": {"streamId": "s", "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000}}}, (PCM24, PCM24)),
        (VonageRealtimeTransportLayer, {"event": "websocket:connected", "content-type": "audio/l16;rate=8000"}, (ULAW, ULAW)),
        (ExotelRealtimeTransportLayer, {"event": "start", "stream_sid": "s", "start": {"media_format": {"encoding": "raw/slin", "sample_rate": "8000"}}}, (ULAW, ULAW)),
    ],
)  # fmt: skip
async def test_each_provider_s_line_gets_what_suits_it(
    bench: Any, phone: Any, make: Any, start: Any, expected: Any
) -> None:
    transport = bench.transport(phone, make)
    phone.post(start)
    call = await transport.started(2)
    await bench.connect(transport.connect())
    assert formats(bench.update) == expected
    assert transport.call is call


async def test_telnyx_sends_in_the_codec_the_call_was_set_up_with(bench: Any, phone: Any) -> None:
    transport = bench.transport(
        phone, TelnyxRealtimeTransportLayer, output_format={"type": "audio/pcm", "rate": 16000}
    )
    phone.post(
        {
            "event": "start",
            "stream_id": "s",
            "start": {"media_format": {"encoding": "PCMU", "sample_rate": 8000}},
        }
    )
    await transport.started(2)
    service = await bench.connect(transport.connect())
    assert formats(bench.update) == (ULAW, PCM24)
    await service.respond(audio=bytes(9600), text="Hi.")
    await bench.until(lambda: len(phone.of("media")) == 10)
    assert len(phone.audio()) == 10 * 640


# -- the beginning ------------------------------------------------------------------------------------


async def test_what_the_call_says_of_itself(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone)
    started = log_of(transport, "start")
    assert (transport.call, transport.call_sid, transport.stream_sid) == (None, "", "")
    assert transport.custom_parameters == {}
    waiting = asyncio.create_task(transport.started())
    phone.post({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    phone.start(customer="42")
    call = await waiting
    assert (transport.call_sid, transport.stream_sid) == ("CA1", "MZ1")
    assert transport.custom_parameters == {"customer": "42"}
    assert call == transport.call == await transport.started()
    assert started == [call]


@pytest.mark.parametrize(
    "timestamp",
    [10**400, -1, "9" * 400, 1.5, [1]],
    ids=["huge", "negative", "many digits", "fraction", "list"],
)
async def test_a_timestamp_that_is_none(bench: Any, timestamp: Any) -> None:
    """The audio is heard all the same, and the call goes on."""
    phone, transport, service = await bench.call()
    ends = log_of(transport, "stop")
    media = {"track": "inbound", "payload": base64.b64encode(bytes(160)).decode()}
    phone.media(bytes(160), 20)
    phone.post({"event": "media", "media": {**media, "timestamp": timestamp}})
    phone.media(bytes(160), 60)
    heard = b""
    while len(heard) < 3 * 160:
        heard += await appended(service)
    assert (heard, ends) == (bytes(480), [])


async def test_a_start_that_does_not_come(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone)
    with pytest.raises(ConnectTimeout, match=r"within 0\.05 s"):
        await transport.started(0.05)
    phone.end()
    with pytest.raises(ConnectionLost, match="before"):
        await transport.started(2)
    with pytest.raises(ConnectError, match="the call is over"):
        await transport.connect()


async def test_what_is_said_before_the_model_is_there_is_kept(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone, max_waiting_ms=100)
    phone.start()
    for number in range(8):
        phone.media(bytes([number]) * 160)
    await transport.started(2)
    await bench.until(lambda: transport._line.incoming.dropped_ms == 60)
    service = await bench.connect(transport.connect())
    assert [(await appended(service))[0] for _ in range(5)] == [3, 4, 5, 6, 7]
    phone.media(bytes([8]) * 160)
    assert (await appended(service))[0] == 8


async def test_what_the_agent_says_before_the_stream_began_is_kept(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone)
    service = await bench.connect(transport.connect())
    greeting = bytes([5]) * 800
    await service.respond(audio=greeting, text="Hello.")
    done = transport.events("turn_done")
    await anext(done)
    assert phone.sent == []
    phone.start()
    await bench.until(lambda: len(phone.of("media")) == 5)
    assert phone.audio() == greeting


async def test_the_model_refuses(bench: Any, phone: Any) -> None:
    bench.server.refuse(500)
    transport = bench.transport(phone)
    phone.start()
    with pytest.raises(Exception, match="500"):
        await transport.connect()
    assert phone.closed == 0, "what to do with the caller is not ours to decide"
    await bench.connect(transport.connect())
    assert transport.status == "connected"


async def test_the_caller_hangs_up_while_the_model_is_being_reached(bench: Any, phone: Any) -> None:
    bench.server.stall()
    transport = bench.transport(phone)
    phone.start()
    connecting = asyncio.create_task(transport.connect())
    await transport.started(2)
    phone.end()
    with pytest.raises(ConnectError):
        await connecting
    assert transport.status == "disconnected"


# -- talking ------------------------------------------------------------------------------------------


async def test_a_reply_leaves_in_frames_each_with_its_mark(bench: Any) -> None:
    phone, transport, service = await bench.call()
    log = log_of(transport, "audio", "audio_start", "audio_stopped")
    speech = bytes(index % 251 for index in range(1610))
    await service.respond(audio=speech, text="Hi.", piece_bytes=333)
    await bench.until(lambda: len(phone.marks()) == 11)
    assert [message["event"] for message in phone.sent] == ["media", "mark"] * 11
    assert phone.audio() == speech + b"\xff" * 150
    assert len(set(phone.marks())) == 11
    assert {message["streamSid"] for message in phone.sent} == {"MZ1"}
    assert transport.heard_ms == 0
    for mark in phone.marks():
        phone.heard(mark)
    await bench.until(lambda: log and log[-1].name == "audio_stopped")
    assert transport.heard_ms == pytest.approx(201.25)


async def interrupt(bench: Any, service: Any) -> None:
    await service.send({"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 0})


async def speak(service: Any, audio: bytes, response: str, item: str) -> None:
    """All of a reply's audio, and no end of it."""
    for event in response_events(
        response_id=response, item_id=item, audio=audio, text="word", piece_bytes=160
    ):
        if event["type"] == "response.output_audio.done":
            return
        await service.send(event)


async def test_a_barge_in_after_everything_was_sent_cuts_at_what_was_heard(
    bench: Any,
) -> None:  # 107 but for the slack
    phone, transport, service = await bench.call()
    log = log_of(transport, "audio_interrupted")
    await service.respond(audio=bytes(8000), text="One two three.")
    await bench.until(lambda: len(phone.marks()) == 50)
    for mark in phone.marks()[:17]:
        phone.heard(mark)
    await bench.until(lambda: transport.heard_ms >= 340)
    await interrupt(bench, service)
    truncate = await service.expect("conversation.item.truncate")
    # The next frame was being played when it was cut.
    assert 340 <= truncate["audio_end_ms"] <= 360
    assert (truncate["item_id"], truncate["content_index"]) == ("item_1", 0)
    await bench.until(lambda: phone.of("clear"))
    assert phone.of("clear") == [{"event": "clear", "streamSid": "MZ1"}]
    assert log[0].truncations[0].audio_end_ms == truncate["audio_end_ms"]
    heard = transport.heard_ms
    for mark in phone.marks()[17:]:
        phone.heard(mark)  # as Twilio does for a clear
    keys = log_of(transport, "dtmf")
    phone.post({"event": "dtmf", "dtmf": {"digit": "1"}})
    await bench.until(lambda: keys)
    assert transport.heard_ms == heard  # 110


async def test_items_are_cut_each_for_itself(bench: Any) -> None:  # 109, 114
    phone, transport, service = await bench.call()
    await service.respond(audio=bytes(1600), text="First.", response_id="r1", item_id="i1")
    await service.respond(audio=bytes(1600), text="Second.", response_id="r2", item_id="i2")
    await service.respond(audio=bytes(1600), text="Third.", response_id="r3", item_id="i3")
    await bench.until(lambda: len(phone.marks()) == 30)
    phone.heard(phone.marks()[11])
    await bench.until(lambda: transport.heard_ms >= 240)
    await interrupt(bench, service)
    cuts = [await service.expect("conversation.item.truncate") for _ in range(2)]
    assert [cut["item_id"] for cut in cuts] == ["i2", "i3"], "the first was heard to its end"
    assert 40 <= cuts[0]["audio_end_ms"] <= 60
    assert cuts[1]["audio_end_ms"] == 0


async def test_late_audio_of_an_interrupted_reply_goes_nowhere_and_the_next_one_plays(
    bench: Any,
) -> None:  # 111
    phone, transport, service = await bench.call()
    await speak(service, bytes(1600), "r1", "i1")
    await bench.until(lambda: len(phone.marks()) == 10)
    phone.heard(phone.marks()[4])
    await bench.until(lambda: transport.heard_ms >= 100)
    await transport.interrupt()
    assert (await service.expect("response.cancel"))["response_id"] == "r1"
    await service.expect("conversation.item.truncate")
    await bench.until(lambda: phone.of("clear"))
    audio = log_of(transport, "audio")
    late = base64.b64encode(bytes(1600)).decode()
    await service.send(
        {
            "type": "response.output_audio.delta",
            "response_id": "r1",
            "item_id": "i1",
            "content_index": 0,
            "delta": late,
        }
    )
    await service.respond(audio=bytes([9]) * 320, text="Next.", response_id="r2", item_id="i2")
    await bench.until(lambda: len(phone.marks()) == 12)
    assert phone.audio()[1600:] == bytes([9]) * 320
    assert [event.response_id for event in audio] == ["r2"]
    kinds = [message["event"] for message in phone.sent]
    assert kinds.index("clear") == 20, "before anything of the next reply"
    for mark in phone.marks()[10:]:
        phone.heard(mark)
    stopped = transport.events("audio_stopped")
    assert not (await anext(stopped)).interrupted


async def test_nobody_is_interrupted_when_nothing_is_said(bench: Any) -> None:  # 106
    phone, transport, service = await bench.call()
    await interrupt(bench, service)
    await bench.settled(transport, service)
    assert phone.sent == []
    await transport.send_event({"type": "test.marker"})
    await service.expect("test.marker")


async def test_two_interruptions_are_one(bench: Any) -> None:  # 108
    phone, transport, service = await bench.call()
    await speak(service, bytes(1600), "r1", "i1")
    await bench.until(lambda: len(phone.marks()) == 10)
    await transport.interrupt()
    await interrupt(bench, service)
    await service.expect("response.cancel")
    await service.expect("conversation.item.truncate")
    await bench.settled(transport, service)
    await transport.send_event({"type": "test.marker"})
    await service.expect("test.marker")
    await bench.until(lambda: phone.of("clear"))
    assert len(phone.of("clear")) == 1


async def test_a_reply_that_has_not_begun_can_be_interrupted(bench: Any) -> None:  # 112
    phone, transport, service = await bench.call()
    await service.send({"type": "response.created", "response": {"id": "r1", "status": "in_progress"}})
    await bench.settled(transport, service)
    await transport.interrupt()
    await service.expect("response.cancel")
    await speak(service, bytes(320), "r1", "i1")
    await service.respond(audio=bytes([9]) * 160, text="Next.", response_id="r2", item_id="i2")
    await bench.until(phone.marks)
    assert phone.audio() == bytes([9]) * 160


async def test_marks_that_never_come_are_told_once(bench: Any, caplog: Any) -> None:
    _phone, transport, service = await bench.call()
    transport._line.outgoing.patience_ms = 50
    await service.respond(audio=bytes(1600), text="Hi.")
    stopped = transport.events("audio_stopped")
    async with asyncio.timeout(5):
        await anext(stopped)
    assert transport.heard_ms == 200
    assert caplog.text.count("does not return marks") == 1


async def test_a_recording_beside_the_phone(bench: Any) -> None:
    recorded = bytearray()
    phone, _transport, service = await bench.call(audio_output=CallbackSink(recorded.extend))
    await service.respond(audio=bytes([7]) * 320, text="Hi.")
    await bench.until(lambda: len(phone.marks()) == 2)
    assert bytes(recorded) == phone.audio() == bytes([7]) * 320


# -- gaps -----------------------------------------------------------------------------------------------


async def test_a_gap_is_filled_before_the_late_frame(bench: Any) -> None:
    phone, _transport, service = await bench.call()
    phone.media(bytes(160), 0)
    phone.media(bytes(160), 100)
    assert await appended(service) == bytes(160)
    assert await appended(service) == b"\xff" * 640
    assert await appended(service) == bytes(160)


async def test_an_utterance_that_stops_coming_is_ended(bench: Any) -> None:
    phone, transport, service = await bench.call(inactivity_timeout_ms=60)
    phone.media(bytes(160), 0)
    await appended(service)
    await interrupt(bench, service)
    assert await appended(service) == b"\xff" * 8000
    await service.send({"type": "input_audio_buffer.speech_stopped", "item_id": "u1", "audio_end_ms": 900})
    await bench.settled(transport, service)
    assert transport._line._stall is None


async def test_muted_the_model_hears_silence(bench: Any) -> None:
    phone, transport, service = await bench.call()
    await transport.mute(True)
    phone.media(bytes(160))
    assert await appended(service) == b"\xff" * 160


# -- events ---------------------------------------------------------------------------------------------


async def test_keys_marks_and_the_rest(bench: Any) -> None:
    phone, transport, _service = await bench.call()
    log = log_of(transport, "dtmf", "mark", "twilio_message", "telephony_message")
    wire = log_of(transport, "*")
    await transport.send_mark("welcome")
    await bench.until(lambda: phone.marks() == ["welcome"])
    phone.heard("welcome")
    phone.post({"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}})
    phone.post({"event": "novelty", "x": 1})
    phone.media(bytes(160))
    await bench.until(lambda: len(wire) == 4)
    assert [event.name for event in log] == ["mark", "dtmf", "telephony_message", "telephony_message"]
    assert (log[0].mark, log[0].cleared, log[1].digit) == ("welcome", False, "#")
    assert log[2] == log[3]
    assert (log[2].provider, log[2].message) == ("twilio", {"event": "novelty", "x": 1})
    assert [event["type"] for event in wire] == ["twilio_message"] * 4
    assert wire[3]["message"]["event"] == "media"


async def test_a_session_passes_on_keys_and_wire_events(bench: Any, phone: Any) -> None:
    session = RealtimeSession(AGENT, transport=bench.transport(phone))
    keys: list[str] = []
    session.on("dtmf", lambda event: keys.append(event.digit))
    await bench.connect(session.connect())
    phone.start()
    phone.post({"event": "dtmf", "dtmf": {"digit": "7"}})
    await bench.until(lambda: keys == ["7"])
    await session.close()


async def test_a_service_cannot_speak_for_the_phone(bench: Any) -> None:
    _phone, transport, service = await bench.call()
    log = log_of(transport, "start", "stop", "mark", "dtmf")
    for kind in ("start", "stop", "mark", "dtmf"):
        await service.send({"type": kind})
    await service.respond(text="Hi.")
    await bench.settled(transport, service)
    assert log == []


async def test_broken_messages_are_told_and_the_call_goes_on(bench: Any) -> None:  # 105
    phone, transport, service = await bench.call()
    errors = log_of(transport, "error")
    phone.post("secret words that are no json")
    phone.post({"event": "media", "media": {"payload": "!"}})
    phone.media(bytes(160))
    await appended(service)
    assert [type(event.error) for event in errors] == [WireError, WireError]
    assert "secret" not in str(errors[0].error)


async def test_broken_messages_nobody_listens_to_are_logged_without_their_words(
    bench: Any, caplog: Any
) -> None:
    phone, _transport, service = await bench.call()
    phone.post("secret words that are no json")
    phone.media(bytes(160))
    await appended(service)
    assert "WireError" in caplog.text
    assert "secret" not in caplog.text


async def test_what_a_provider_can_be_sent(bench: Any) -> None:
    phone, transport, _service = await bench.call()
    await transport.send_call_message({"event": "mark", "streamSid": "MZ1", "mark": {"name": "raw"}})
    await bench.until(lambda: phone.marks() == ["raw"])
    with pytest.raises(UserError, match="twilio cannot send"):
        await transport.send_dtmf("1")
    with pytest.raises(UserError, match="begin with something else"):
        await transport.send_mark("voxwire-1")
    await transport.close()
    for send in (transport.send_mark("late"), transport.send_call_message({})):
        with pytest.raises(UserError, match="the call is over"):
            await send


async def test_plivo_plays_keys(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone, PlivoRealtimeTransportLayer)
    phone.post({"event": "start", "start": {"streamId": "s"}})
    await transport.started(2)
    await transport.send_dtmf("12#")
    await bench.until(lambda: phone.sent == [{"event": "sendDTMF", "dtmf": "12#"}])


async def test_messages_that_nobody_takes_are_bounded(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone)
    for _ in range(256):
        await transport.send_call_message({"event": "x"})
    with pytest.raises(UserError, match="256 messages"):
        await transport.send_call_message({"event": "x"})


# -- the end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", [True, False], ids=["stop", "socket"])
async def test_the_call_ends_and_with_it_the_model(bench: Any, phone: Any, word: bool) -> None:
    transport = bench.transport(phone)
    session = RealtimeSession(AGENT, transport=transport)
    stops = log_of(transport, "stop")
    service = await bench.connect(session.connect())
    phone.start()
    await transport.started(2)
    if word:
        phone.post({"event": "stop", "stop": {"callSid": "CA1"}})
    phone.end()
    how = await asyncio.wait_for(session.wait_closed(), 5)
    assert how is not None
    assert how.error is None
    await asyncio.wait_for(service.closed.wait(), 5)
    assert service.close_code == 1000
    assert len(stops) == 1
    await session.close()


async def test_the_model_ends_and_with_it_the_call(bench: Any) -> None:
    phone, transport, service = await bench.call()
    stops = log_of(transport, "stop")
    await service.close(1000, "session expired")
    await bench.until(lambda: phone.closed)
    await bench.until(lambda: transport.status == "disconnected")
    await bench.until(lambda: stops)
    with pytest.raises(ConnectError, match="serves one call"):
        await transport.connect()


async def test_a_model_that_vanishes_ends_the_call_as_well(bench: Any) -> None:
    phone, _transport, service = await bench.call()
    service.drop()
    await bench.until(lambda: phone.closed)


async def test_the_call_may_outlive_the_model(bench: Any) -> None:  # 113
    phone, transport, service = await bench.call(hang_up=False)
    await service.respond(audio=bytes(1600), text="Hi.")
    await bench.until(lambda: len(phone.marks()) == 10)
    for mark in phone.marks()[:5]:
        phone.heard(mark)
    await bench.until(lambda: transport.heard_ms >= 100)
    service.drop()
    await bench.until(lambda: transport.status == "disconnected")
    await bench.until(lambda: phone.of("clear"))
    phone.media(bytes([3]) * 160)
    again = await bench.connect(transport.connect())
    assert (await appended(again))[0] == 3
    assert transport.heard_ms == 0, "of this connection"
    await again.respond(audio=bytes(320), text="Again.")
    await bench.until(lambda: len(phone.marks()) == 12)
    for mark in phone.marks()[5:]:
        phone.heard(mark)
    await bench.until(lambda: transport.heard_ms == pytest.approx(40))
    await transport.close()
    assert phone.closed == 0
    phone.media(bytes(160))


async def test_a_phone_that_is_gone_in_the_middle_of_a_reply(bench: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "voxwire")
    phone, transport, service = await bench.call()
    errors = log_of(transport, "error")
    await service.respond(audio=bytes(80_000), text="A long story.")
    await bench.until(lambda: len(phone.marks()) >= 50)
    phone.broken = True
    await bench.until(lambda: transport._line.outgoing.wake_at() is None)
    tries = phone.sending
    await service.respond(audio=bytes(80_000), text="More of it.", response_id="r2", item_id="i2")
    await interrupt(bench, service)
    await bench.settled(transport, service)
    assert phone.sending == tries, "it is not tried again"
    assert transport.status == "connected", "until the reader learns of it, too"
    phone.end()
    await bench.until(lambda: transport.status == "disconnected")
    assert errors == []
    assert [record for record in caplog.records if record.name.startswith("voxwire")] == []


async def test_a_phone_that_never_hangs_up_its_socket(bench: Any) -> None:
    _phone, transport, _service = await bench.call()

    async def never() -> None:
        await asyncio.Event().wait()

    transport._line._socket._close = never
    import voxwire.transports.telephony.line as line

    original, line.CLOSE_TIMEOUT = line.CLOSE_TIMEOUT, 0.05  # type: ignore[misc]
    try:
        await asyncio.wait_for(transport.close(), 2)
    finally:
        line.CLOSE_TIMEOUT = original  # type: ignore[misc]
    assert transport.status == "disconnected"


async def test_closing_twice_and_before_anything(bench: Any, phone: Any) -> None:
    transport = bench.transport(phone)
    await transport.close()
    await transport.close()
    assert transport.status == "disconnected"


async def test_a_tool_hangs_up_once_the_caller_has_heard_the_goodbye(bench: Any, phone: Any) -> None:
    agent = RealtimeAgent("Ava", instructions="Be brief.", tools=[end_call()])
    transport = bench.transport(phone)
    session = RealtimeSession(agent, transport=transport)
    service = await bench.connect(session.connect())
    phone.start()
    await service.respond(audio=bytes(1600), text="Goodbye.")
    await service.respond(call=("end_call", "{}"), response_id="r2", item_id="i2")
    await bench.until(lambda: len(phone.marks()) == 10)
    await bench.settled(transport, service)
    assert phone.closed == 0, "nobody knows yet that it was heard"
    for mark in phone.marks():
        phone.heard(mark)
    await bench.until(lambda: phone.closed)
    assert phone.of("clear") == []
    await session.wait_closed()
    await session.close()


async def test_a_model_that_talks_for_minutes_is_read_no_faster_than_it_is_heard(bench: Any) -> None:
    phone, transport, service = await bench.call()
    transport._line.max_buffer_ms = 500
    speech = bytes(index // 1600 % 251 for index in range(40_000))
    await service.respond(audio=speech, text="A very long story.", piece_bytes=1600)
    await bench.until(lambda: transport._link._held)
    answered = 0
    while len(phone.marks()) < 250:
        marks = phone.marks()
        for mark in marks[answered:]:
            phone.heard(mark)
        answered = len(marks)
        transport._line.outgoing._model.clear(
            asyncio.get_running_loop().time()
        )  # played as fast as it is sent
        transport._line._to_send.set()
        await asyncio.sleep(0.001)
    assert phone.audio() == speech
    assert transport._line.outgoing.dropped_ms == 0


@pytest.mark.parametrize("started", [True, False])
async def test_the_line_is_a_sink_like_any_other(bench: Any, phone: Any, started: bool) -> None:
    lines: list[Any] = []

    def make() -> Any:
        line = bench.transport(phone)._line
        if started:
            line.outgoing.start(PCMU, 20, asyncio.get_running_loop().time())
        lines.append(line)
        return line

    await check_sink(make, PCMU)
    await check_sink(make, PCM16)
    assert len(lines) == 2


async def test_the_promises_of_every_transport(bench: Any, make_phone: Any) -> None:
    """With the call left open: a transport that hangs up serves one connection only."""

    @asynccontextmanager
    async def make() -> AsyncIterator[tuple[Any, dict[str, Any]]]:
        async def greet() -> None:
            while True:
                await (await bench.server.accept(60)).greet()

        greeting = asyncio.create_task(greet())
        phone = make_phone()
        phone.start()
        yield bench.transport(phone, hang_up=False), {"initial_session_config": {"instructions": "Hi."}}
        greeting.cancel()
        await asyncio.wait([greeting])

    await check_transport(make)


# -- options --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -5, 2_147_483_648])
def test_timeouts_that_cannot_be_used(phone: Any, value: float) -> None:  # 99
    with pytest.raises(ConfigError, match="inactivity_timeout_ms"):
        TwilioRealtimeTransportLayer(twilio_websocket=phone.socket, inactivity_timeout_ms=value)


def test_a_model_format_that_does_not_exist(phone: Any) -> None:
    with pytest.raises(ConfigError, match="mp3"):
        TwilioRealtimeTransportLayer(twilio_websocket=phone.socket, model_format="mp3")


async def test_a_protocol_of_one_s_own(bench: Any, phone: Any) -> None:
    class Acme(TwilioProtocol):
        provider = "acme"
        default_format = AudioFormat("audio/pcm", 16_000)

    transport = TelephonyTransportLayer(
        websocket=phone.socket, protocol=Acme(), url=bench.server.url, api_key="k", proxy=None
    )
    bench.transports.append(transport)
    log = log_of(transport, "acme_message")
    phone.post({"event": "start", "start": {"streamSid": "s"}})
    phone.post({"event": "hello"})
    await transport.started(2)
    await bench.until(lambda: log)
    await bench.connect(transport.connect())
    assert formats(bench.update) == (PCM24, PCM24)


async def test_tools_run_on_the_phone(bench: Any, phone: Any) -> None:
    @tool
    async def get_weather(city: str) -> str:
        """Return the weather for a city."""
        return f"It is sunny in {city}."

    agent = RealtimeAgent("Ava", instructions="Be brief.", tools=[get_weather])
    session = RealtimeSession(agent, transport=bench.transport(phone))
    service = await bench.connect(session.connect())
    await service.respond(call=("get_weather", '{"city": "Oslo"}'))
    output = await service.expect("conversation.item.create")
    assert output["item"]["output"] == "It is sunny in Oslo."
    await session.close()
