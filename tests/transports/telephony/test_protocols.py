"""Sequences of messages as each provider's documentation shows them, read and answered."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxwire.errors import UserError, WireError
from voxwire.protocol.call_events import CallStarted, CallStopped, MarkReturned, TelephonyMessage
from voxwire.protocol.formats import PCM16, PCMA, PCMU, AudioFormat
from voxwire.protocol.transport_events import DtmfReceived
from voxwire.transports.telephony.exotel import ExotelProtocol
from voxwire.transports.telephony.plivo import PlivoProtocol
from voxwire.transports.telephony.protocol import MAX_MESSAGE_BYTES, CallMedia, MediaStreamProtocol
from voxwire.transports.telephony.telnyx import TelnyxProtocol
from voxwire.transports.telephony.twilio import TwilioProtocol
from voxwire.transports.telephony.vonage import VonageProtocol

PROTOCOLS = [TwilioProtocol, TelnyxProtocol, PlivoProtocol, VonageProtocol, ExotelProtocol]
AUDIO = bytes(range(160))
L16_8K = AudioFormat("audio/pcm", 8_000)
L16_16K = AudioFormat("audio/pcm", 16_000)


def b64(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


def read(protocol: MediaStreamProtocol, *messages: dict[str, Any]) -> list[Any]:
    return [protocol.parse(json.dumps(message)).frame for message in messages]


def sent(message: str | bytes) -> Any:
    return json.loads(message)


def test_twilio() -> None:
    """Twilio, "Media Streams - WebSocket Messages", sections "WebSocket messages from Twilio" and "Send ... to Twilio"."""
    stream = "MZXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX"
    start = {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": "ACXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
            "streamSid": stream,
            "callSid": "CAXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"FirstName": "Jane", "LastName": "Doe"},
        },
        "streamSid": stream,
    }
    media = {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": b64(AUDIO)}
    twilio = TwilioProtocol()
    frames = read(
        twilio,
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        start,
        {"event": "media", "sequenceNumber": "3", "media": media, "streamSid": stream},
        {"event": "media", "media": {**media, "track": "outbound"}, "streamSid": stream},
        {
            "event": "dtmf",
            "streamSid": stream,
            "sequenceNumber": "5",
            "dtmf": {"track": "inbound_track", "digit": "1"},
        },
        {"event": "mark", "sequenceNumber": "4", "streamSid": stream, "mark": {"name": "my label"}},
        {
            "event": "stop",
            "sequenceNumber": "5",
            "stop": {"accountSid": "AC", "callSid": "CA"},
            "streamSid": stream,
        },
    )
    assert isinstance(frames[0], TelephonyMessage)
    assert frames[0].provider == "twilio"
    assert frames[1] == CallStarted(
        stream, "CAXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX", PCMU, {"FirstName": "Jane", "LastName": "Doe"}, start
    )
    assert frames[2] == CallMedia(AUDIO, 5)
    assert isinstance(frames[3], TelephonyMessage), "not the caller's voice"
    assert frames[4:6] == [DtmfReceived("1"), MarkReturned("my label")]
    assert isinstance(frames[6], CallStopped)
    assert sent(twilio.media(AUDIO)) == {
        "event": "media",
        "streamSid": stream,
        "media": {"payload": b64(AUDIO)},
    }
    assert sent(twilio.mark('my "label"')) == {
        "event": "mark",
        "streamSid": stream,
        "mark": {"name": 'my "label"'},
    }
    assert sent(twilio.clear()) == {"event": "clear", "streamSid": stream}
    assert (twilio.output_format, twilio.frame_ms) == (PCMU, 20)
    with pytest.raises(UserError, match="twilio cannot send '12'"):
        twilio.dtmf("12")


def test_telnyx() -> None:
    """Telnyx, "Stream call media over WebSocket" (AsyncAPI), sections "Messages" and "Bidirectional Media"."""
    stream, call = (
        "32DE0DEA-53CB-4B21-89A4-9E1819C043BC",
        "v2:T02llQxIyaRkhfRKxgAP8nY511EhFLizdvdUKJiSw8d6A9BborherQ",
    )
    start = {
        "event": "start",
        "sequence_number": "1",
        "stream_id": stream,
        "start": {
            "user_id": "3E6F995F-85F7-4705-9741-53B116D28237",
            "call_control_id": call,
            "call_session_id": "ff55a038-6f5d-11ef-9692-02420aeffb1f",
            "from": "+13122010094",
            "to": "+13122123456",
            "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
            "custom_parameters": {"customer_id": "customer_123"},
            "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
        },
    }
    media = {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": b64(AUDIO)}
    telnyx = TelnyxProtocol()
    frames = read(
        telnyx,
        {"event": "connected", "version": "1.0.0"},
        start,
        {"event": "media", "sequence_number": "4", "media": media, "stream_id": stream},
        {"event": "dtmf", "stream_id": stream, "sequence_number": "5", "dtmf": {"digit": "1"}},
        {"event": "mark", "sequence_number": "4", "mark": {"name": "mark-1"}, "stream_id": stream},
        {"event": "error", "payload": {"code": 100003, "title": "malformed_frame"}, "stream_id": stream},
        {"event": "stop", "sequence_number": "5", "stop": {"call_control_id": call}, "stream_id": stream},
    )
    assert frames[1] == CallStarted(stream, call, PCMU, {"customer_id": "customer_123"}, start)
    assert frames[2:5] == [CallMedia(AUDIO, 5), DtmfReceived("1"), MarkReturned("mark-1")]
    assert isinstance(frames[5], TelephonyMessage)
    assert isinstance(frames[6], CallStopped)
    assert sent(telnyx.media(AUDIO)) == {"event": "media", "media": {"payload": b64(AUDIO)}}
    assert sent(telnyx.mark("m")) == {"event": "mark", "mark": {"name": "m"}}
    assert sent(telnyx.clear()) == {"event": "clear"}


def test_telnyx_codecs() -> None:
    """RTP carries L16 in network byte order (RFC 3551, section 4.5.11); the outgoing codec is the call's own."""

    def start(**format: Any) -> dict[str, Any]:
        return {"event": "start", "stream_id": "s", "start": {"media_format": format}}

    telnyx = TelnyxProtocol(output_format=L16_16K)
    read(telnyx, start(encoding="L16", sample_rate=16000, channels=1))
    [media] = read(
        telnyx, {"event": "media", "media": {"track": "inbound", "payload": b64(b"\x12\x34\x56\x78")}}
    )
    assert (telnyx.format, telnyx.output_format) == (L16_16K, L16_16K)
    assert media.audio == b"\x34\x12\x78\x56"
    assert sent(telnyx.media(b"\x34\x12"))["media"]["payload"] == b64(b"\x12\x34")
    [started] = read(TelnyxProtocol(), start(encoding="PCMA", sample_rate=8000))
    assert started.format == PCMA
    with pytest.raises(WireError, match=r"'OPUS'; G\.711 and linear PCM"):
        read(TelnyxProtocol(), start(encoding="OPUS", sample_rate=16000))
    with pytest.raises(WireError, match="96000 Hz"):
        read(TelnyxProtocol(), start(encoding="L16", sample_rate=96000))


def test_plivo() -> None:
    """Plivo, "Stream Event Protocol", sections "Messages from Plivo" and "Messages to Plivo"."""
    stream, call = "87654321-4321-4321-4321-cba987654321", "12345678-1234-1234-1234-123456789abc"
    start = {
        "event": "start",
        "sequenceNumber": 1,
        "start": {
            "callId": call,
            "streamId": stream,
            "accountId": "MAXXXXXXXXXXXXXXXXXX",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
        },
        "extra_headers": "userId=12345;sessionId=abc-xyz",
    }
    media = {"track": "inbound", "timestamp": "1705312200000", "chunk": 41, "payload": b64(AUDIO)}
    plivo = PlivoProtocol()
    assert plivo.format == L16_8K, "the default of <Stream contentType>"
    frames = read(
        plivo,
        start,
        {"event": "media", "sequenceNumber": 42, "streamId": stream, "media": media},
        {"event": "media", "streamId": stream, "media": {**media, "track": "outbound"}},
        {
            "event": "dtmf",
            "sequenceNumber": 43,
            "streamId": stream,
            "dtmf": {"track": "inbound", "digit": "5"},
        },
        {"event": "playedStream", "streamId": stream, "name": "customer greeting audio"},
        {"event": "clearedAudio", "sequenceNumber": 0, "streamId": stream},
        {"event": "stop", "reason": "hangup"},
    )
    assert frames[0] == CallStarted(stream, call, PCMU, {"userId": "12345", "sessionId": "abc-xyz"}, start)
    assert frames[1] == CallMedia(AUDIO), "the time of day says nothing about gaps"
    assert isinstance(frames[2], TelephonyMessage)
    assert frames[3:5] == [DtmfReceived("5"), MarkReturned("customer greeting audio")]
    assert isinstance(frames[5], TelephonyMessage)
    assert frames[6] == CallStopped("hangup", {"event": "stop", "reason": "hangup"})
    assert sent(plivo.media(AUDIO)) == {
        "event": "playAudio",
        "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": b64(AUDIO)},
    }
    assert sent(plivo.mark("m")) == {"event": "checkpoint", "streamId": stream, "name": "m"}
    assert sent(plivo.clear()) == {"event": "clearAudio", "streamId": stream}
    assert sent(plivo.dtmf("12#")) == {"event": "sendDTMF", "dtmf": "12#"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("test1=12,test2=123", {"test1": "12", "test2": "123"}),
        ("{a=1; b = x=y}", {"a": "1", "b": "x=y"}),
        ("", {}),
        ({"a": 1}, {"a": "1"}),
        (None, {}),
    ],
)
def test_plivo_s_extra_headers_come_in_several_shapes(headers: object, expected: dict[str, str]) -> None:
    start = {"streamId": "s", "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16000}}
    [started] = read(PlivoProtocol(), {"event": "start", "start": start, "extra_headers": headers})
    assert started.custom_parameters == expected
    assert started.format == L16_16K


def test_vonage() -> None:
    """Vonage, "WebSockets in the Vonage Voice API", sections on the first message, DTMF, audio, `clear` and `notify`."""
    connected = {
        "event": "websocket:connected",
        "content-type": "audio/l16;rate=8000",
        "caller-id": "447700900123",
        "uuid": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
    }
    vonage = VonageProtocol()
    assert vonage.format == L16_16K
    frames = read(
        vonage,
        connected,
        {"event": "websocket:dtmf", "digit": "5", "duration": 260},
        {"event": "websocket:notify", "payload": {"mark": "m1"}},
        {"event": "websocket:notify", "payload": {"theirs": "x"}},
        {"event": "websocket:cleared"},
    )
    started = frames[0]
    assert isinstance(started, CallStarted)
    assert (started.call_sid, started.stream_sid, started.format) == (connected["uuid"], "", L16_8K)
    assert started.custom_parameters == {"caller-id": "447700900123", "uuid": connected["uuid"]}
    assert frames[1:3] == [DtmfReceived("5"), MarkReturned("m1")]
    assert all(isinstance(frame, TelephonyMessage) for frame in frames[3:])
    audio = vonage.parse(AUDIO * 2)
    assert (audio.frame, audio.message) == (CallMedia(AUDIO * 2), None)
    with pytest.raises(WireError, match="7 bytes"):
        vonage.parse(bytes(7))
    assert vonage.media(AUDIO) == AUDIO, "binary"
    assert sent(vonage.mark("m1")) == {"action": "notify", "payload": {"mark": "m1"}}
    assert sent(vonage.clear()) == {"action": "clear"}


def test_exotel() -> None:
    """Exotel, "WebSocket protocol", sections "Events" (both directions); chunk sizes from "Stream and Voicebot Applet"."""
    stream = "MZxxxxxxxxxxxxxxxxxxxxxxxx"
    start = {
        "event": "start",
        "sequence_number": "1",
        "stream_sid": stream,
        "start": {
            "stream_sid": stream,
            "call_sid": "CAxxxxxxxxxxxxxxxxxxxxxxxx",
            "account_sid": "ACxxxxxxxxxxxxxxxxxxxxxxxx",
            "from": "+919876543210",
            "to": "+918047491899",
            "custom_parameters": {"key1": "value1"},
            "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
        },
    }
    exotel = ExotelProtocol()
    frames = read(
        exotel,
        {"event": "connected"},
        start,
        {
            "event": "media",
            "sequence_number": "3",
            "stream_sid": stream,
            "media": {"chunk": "2", "timestamp": "200", "payload": b64(AUDIO)},
        },
        {
            "event": "dtmf",
            "sequence_number": "7",
            "stream_sid": stream,
            "dtmf": {"digit": "5", "duration": "100"},
        },
        {"event": "mark", "sequence_number": "15", "stream_sid": stream, "mark": {"name": "m"}},
        {
            "event": "stop",
            "sequence_number": "20",
            "stream_sid": stream,
            "stop": {"call_sid": "CA", "reason": "stopped"},
        },
    )
    assert frames[1] == CallStarted(stream, "CAxxxxxxxxxxxxxxxxxxxxxxxx", L16_8K, {"key1": "value1"}, start)
    assert frames[2:5] == [CallMedia(AUDIO, 200), DtmfReceived("5"), MarkReturned("m")]
    assert frames[5].reason == "stopped"
    assert sent(exotel.media(AUDIO)) == {
        "event": "media",
        "stream_sid": stream,
        "media": {"payload": b64(AUDIO)},
    }
    assert sent(exotel.clear()) == {"event": "clear", "stream_sid": stream}


@pytest.mark.parametrize(("rate", "frame_ms"), [(8000, 200), (16000, 100), (24000, 80)])
def test_exotel_s_chunks(rate: int, frame_ms: float) -> None:
    exotel = ExotelProtocol(output_format=PCM16 if rate == 24000 else AudioFormat("audio/pcm", rate))
    assert exotel.frame_ms == frame_ms
    size = exotel.output_format.size_of(frame_ms)
    assert size >= 3200
    assert size % 320 == 0


@pytest.mark.parametrize("make", PROTOCOLS)
@pytest.mark.parametrize(
    "data",
    ["", "nonsense", "[]", "3", '{"event":"media"', "NaN", "[" * 5000, '"' + "x" * MAX_MESSAGE_BYTES + '"'],
    ids=["empty", "text", "list", "number", "cut", "nan", "deep", "long"],
)
def test_what_is_no_message(make: Any, data: str) -> None:
    with pytest.raises(WireError) as raised:
        make().parse(data)
    assert len(str(raised.value)) < 200
    assert "nonsense" not in str(raised.value), "what was said is not told"


@pytest.mark.parametrize("make", [TwilioProtocol, TelnyxProtocol, PlivoProtocol, ExotelProtocol])
@pytest.mark.parametrize(
    "message",
    [
        {"event": "media"},
        {"event": "media", "media": {"payload": "no base64!"}},
        {"event": "media", "media": {"payload": 3}},
        {"event": "media", "media": []},
        {"event": "dtmf", "dtmf": {"digit": 3}},
        {"event": "start", "start": {}},
        {"event": "start"},
    ],
    ids=str,
)
def test_messages_that_lack_something(make: Any, message: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        read(make(), message)


@pytest.mark.parametrize("make", PROTOCOLS)
def test_text_in_a_binary_message(make: Any) -> None:
    message = b'{"event":"surprise"}'
    if make is not VonageProtocol:
        assert isinstance(make().parse(message).frame, TelephonyMessage)
        with pytest.raises(WireError, match="not text"):
            make().parse(b"\xff\xfe")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
EVENTS = st.sampled_from(
    ["start", "media", "mark", "dtmf", "stop", "playedStream", "websocket:connected", "websocket:notify", "x"]
)
KEYS = st.sampled_from(
    ["start", "media", "mark", "dtmf", "stop", "streamSid", "stream_id", "payload", "name"]
)


@pytest.mark.parametrize("make", PROTOCOLS)
@given(event=EVENTS, fields=st.dictionaries(KEYS, JSON, max_size=5))
def test_any_json_is_read_or_refused(make: Any, event: str, fields: dict[str, Any]) -> None:
    """Whatever a provider may come to send, nothing but a `WireError` comes of it."""
    try:
        parsed = make().parse(json.dumps({**fields, "event": event}))
    except WireError:
        return
    assert parsed.frame is not None


@given(st.binary(max_size=2000))
def test_audio_survives_the_way_there_and_back(audio: bytes) -> None:
    """What we send is what we would read, but for the direction."""
    audio = audio[: len(audio) & ~1]
    for make in (TwilioProtocol, TelnyxProtocol, ExotelProtocol):
        protocol = make()
        assert protocol.parse(protocol.media(audio)).frame == CallMedia(audio)
