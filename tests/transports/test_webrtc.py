"""Making a WebRTC call: the request, shared attempts, cancellation at every step, devices, sessions on it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire import (
    ConnectError,
    DeviceError,
    GuardrailSettings,
    OpenAIRealtimeWebRTC,
    RealtimeAgent,
    RealtimeSession,
    Recorder,
    UserError,
    tool,
)
from voxwire.audio import AudioDropped, DeviceChanged, PacedSink, SequenceSource
from voxwire.audio.wav import read_wav
from voxwire.carriers.base import CarrierRequest
from voxwire.errors import ConfigError
from voxwire.protocol.engine import EngineOptions
from voxwire.protocol.replay import replay
from voxwire.protocol.transport_events import ConnectionChange
from voxwire.rtc.base import IceServer, RtcOptions
from voxwire.testing import run_virtual
from voxwire.transports import default_audio, webrtc
from voxwire.transports.default_audio import DEFAULT, open_default_audio
from voxwire.transports.endpoint import calls_endpoint, calls_url, is_loopback

CONFIG = {"instructions": "be brief"}
TONE = b"\x88\x13" * 24


def client(service: Any, **options: Any) -> OpenAIRealtimeWebRTC:
    given = {"audio_input": None, "audio_output": None, "api_key": "ek_test", **options}
    return OpenAIRealtimeWebRTC(carrier=service.connect, **given)


def request_of(service: Any) -> CarrierRequest:
    request = service.clients[-1].request
    assert isinstance(request, CarrierRequest)
    return request


# -- where, and what is shown


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (None, "https://api.openai.com/v1/realtime/calls"),
        ("https://api.openai.com/v1/realtime/calls", "https://api.openai.com/v1/realtime/calls"),
        ("http://127.0.0.1:8089", "http://127.0.0.1:8089/v1/realtime/calls"),
        ("http://127.0.0.1:8089/v1/", "http://127.0.0.1:8089/v1/realtime/calls"),
        ("ws://127.0.0.1:8089/v1/realtime?model=m", "http://127.0.0.1:8089/v1/realtime/calls"),
        ("wss://x.example/realtime?a=1&model=m", "https://x.example/v1/realtime/calls?a=1"),
        ("https://n.openai.azure.com/openai/v1", "https://n.openai.azure.com/openai/v1/realtime/calls"),
        ("https://x.example/my/offers?room=2", "https://x.example/my/offers?room=2"),
    ],
)
def test_where_calls_are_made(address: str | None, url: str) -> None:
    assert calls_url(address) == url
    assert OpenAIRealtimeWebRTC(base_url=address).url == url


@pytest.mark.parametrize("address", ["localhost:8089", "ftp://x.example", "http://[::1"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UserError, match="base_url"):
        calls_url(address)


def test_who_is_asked_for_a_key() -> None:
    with pytest.raises(UserError, match="no API key"):
        calls_endpoint(None, key=None, headers={})
    assert calls_endpoint("http://127.0.0.1:1", key=None, headers={}).headers == {}
    azure = "https://n.openai.azure.com/openai/v1"
    assert calls_endpoint(azure, key="ek_1", headers={}).headers == {"Authorization": "Bearer ek_1"}
    assert calls_endpoint(azure, key="k", headers={}).headers == {"api-key": "k"}


def test_this_machine() -> None:
    assert is_loopback("http://localhost:1/")
    assert is_loopback("http://127.0.0.2/")
    assert is_loopback("http://[::1]:80/")
    assert not is_loopback("https://api.openai.com/v1")


def test_a_full_key_describes_the_session_and_an_ephemeral_one_brings_it(
    media_service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = client(
            service, api_key="sk-1", model="m-1", proxy=None, open_timeout=3, headers={"X": "y"}
        )
        await transport.connect(initial_session_config=CONFIG)
        request = request_of(service)
        assert request.url == "https://api.openai.com/v1/realtime/calls"
        assert request.headers == {"Authorization": "Bearer sk-1", "X": "y"}
        assert request.session == {"type": "realtime", "model": "m-1", **CONFIG}
        assert (request.proxy, request.open_timeout) == (None, 3)
        assert service.events[0]["session"] == {"type": "realtime", **CONFIG}, "and confirmed on the channel"
        await transport.close()
        await transport.connect(api_key="ek_2", url="http://127.0.0.1:9/v1", model="m-2")
        request = request_of(service)
        assert (request.url, request.session) == ("http://127.0.0.1:9/v1/realtime/calls", None)
        assert transport.model == "m-2"
        await transport.close()
        monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
        transport = client(service, api_key=None)
        await transport.connect()
        assert request_of(service).headers["Authorization"] == "Bearer sk-env"
        await transport.close()

    run_virtual(scenario())


def test_attaching_to_a_call_is_not_for_webrtc(media_service: Any) -> None:
    async def scenario() -> None:
        transport = client(media_service())
        with pytest.raises(UserError, match="cannot attach to 'rtc_1'"):
            await transport.connect(call_id="rtc_1")
        assert transport.status == "disconnected"
        await transport.connect()
        await transport.close()

    run_virtual(scenario())


def test_two_names_for_one_thing() -> None:
    sink = PacedSink()
    assert OpenAIRealtimeWebRTC(audio_element=sink).audio_output is sink
    for options in ({"audio_element": sink, "audio_output": sink}, {"media_stream": 1, "audio_input": None}):
        with pytest.raises(UserError, match="two names for the same thing"):
            OpenAIRealtimeWebRTC(**options)


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("http://x", "'http://x' is no ICE server"),
        ("turn:x", "'turn:x' needs a username and a credential"),
        ({"urls": "stun:x", "user": "u"}, "and nothing else"),
        ({"username": "u"}, "an ICE server has urls"),
    ],
)
def test_what_is_no_ice_server(server: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        OpenAIRealtimeWebRTC(ice_servers=[server])


def test_the_default_carrier_gets_the_options() -> None:
    hook = print
    transport = OpenAIRealtimeWebRTC(
        ice_servers=["stun:a.example", {"urls": ["turn:b.example"], "username": "u", "credential": "c"}],
        rtc_options=RtcOptions(ports=(5000, 5010)),
        change_peer_connection=hook,
        backend="aiortc",
    )
    transport._loopback = True
    carrier: Any = transport._webrtc()
    assert carrier._options.ice_servers == (
        IceServer(("stun:a.example",)),
        IceServer(("turn:b.example",), "u", "c"),
    )
    assert carrier._options.loopback is True
    assert carrier._options.ports == (5000, 5010)
    assert carrier._change is hook
    assert OpenAIRealtimeWebRTC()._rtc_options.max_queue_ms == webrtc.MAX_QUEUE_MS
    assert OpenAIRealtimeWebRTC(options=EngineOptions(max_items=3)).engine_options == EngineOptions(
        max_items=3, media_plane=True
    )


# -- attempts


def test_behaviour_80_overlapping_connects_share_one_attempt(media_service: Any) -> None:
    async def scenario() -> None:
        keys: list[str] = []

        async def key(name: str) -> str:
            keys.append(name)
            await asyncio.sleep(1)
            return "ek_" + name

        service = media_service()
        transport = client(service)
        told: list[ConnectionChange] = []
        transport.on("connection_change", told.append)
        await asyncio.gather(
            transport.connect(api_key=lambda: key("a"), model="first"),
            transport.connect(api_key=lambda: key("b"), model="second"),
        )
        assert keys == ["a"]
        assert transport.model == "first"
        assert len(service.calls) == 1
        assert [event.status for event in told] == ["connecting", "connected"]
        with pytest.raises(UserError, match="connected already"):
            await transport.connect()
        await transport.close()
        await transport.connect()
        await transport.close()
        assert len(service.calls) == 2

    run_virtual(scenario())


def test_one_of_two_gives_up(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service(greets=False)
        transport = client(service)
        one, other = (asyncio.ensure_future(transport.connect()) for _ in range(2))
        await asyncio.sleep(0.1)
        one.cancel()
        await asyncio.sleep(0.1)
        assert one.cancelled()
        service.send("session.created", session={})
        await other
        assert transport.status == "connected"
        await transport.close()

    run_virtual(scenario())


def test_both_give_up(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service(greets=False)
        transport = client(service)
        waiting = [asyncio.ensure_future(transport.connect()) for _ in range(2)]
        await asyncio.sleep(0.1)
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert transport.status == "disconnected"
        assert service.how is not None, "the call was hung up"
        service.greets = True
        await transport.connect()
        await transport.close()

    run_virtual(scenario())


@pytest.mark.parametrize("after", [0.0, 0.05, 0.5, 1.5])
@pytest.mark.parametrize("how", ["close", "cancel"])
def test_behaviour_84_giving_up_at_every_step(media_service: Any, after: float, how: str) -> None:
    """Before it begins, while the key is awaited, while the call opens, while the session is configured."""

    async def scenario() -> None:
        class Slow(type(media_service())):  # type: ignore[misc]
            def connect(self) -> Any:
                near = super().connect()
                really = near.open

                async def slowly(*arguments: Any) -> None:
                    await asyncio.sleep(0.5)
                    await really(*arguments)

                near.open = slowly
                return near

        async def key() -> str:
            await asyncio.sleep(0.3)
            return "ek_slow"

        service = Slow(greets=False)
        transport = client(service, api_key=key)
        connecting = asyncio.ensure_future(transport.connect(initial_session_config=CONFIG))
        await asyncio.sleep(after)
        if how == "close":
            await transport.close()
            with pytest.raises(ConnectError, match="closed before"):
                await connecting
        else:
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        assert transport.status == "disconnected"
        service.greets = True
        retry = asyncio.ensure_future(transport.connect())
        await asyncio.sleep(3)
        await retry
        assert transport.status == "connected"
        await transport.close()

    run_virtual(scenario())


def test_behaviour_83_no_confirmation(media_service: Any) -> None:
    async def scenario() -> None:
        transport = client(media_service(greets=False), configure_timeout=2)
        with pytest.raises(ConnectError, match=r"did not send session.created within 2 s"):
            await transport.connect(initial_session_config=CONFIG)
        tolerant = client(media_service(greets=False), configure_timeout=2, configure_required=False)
        await tolerant.connect(initial_session_config=CONFIG)
        assert tolerant.status == "connected"
        await tolerant.close()

    run_virtual(scenario())


def test_behaviour_53_85_86_a_retry_from_the_observer_of_the_failure(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        attempts = 0

        def key() -> str:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                raise RuntimeError("no key today")
            return "ek_2"

        transport = client(service, api_key=key, model="old")
        seen: list[Any] = []

        async def again(event: ConnectionChange) -> None:
            if event.status == "disconnected" and not seen:
                seen.append((transport.status, transport.model))
                await transport.connect()
                seen.append(transport.status)

        transport.on("connection_change", again)
        with pytest.raises(RuntimeError, match="no key today"):
            await transport.connect(model="new")
        await asyncio.sleep(1)
        assert seen == [("disconnected", "old"), "connected"]
        await transport.close()

    run_virtual(scenario())


def test_behaviour_87_an_old_connection_has_nothing_to_say(media_service: Any) -> None:
    async def scenario() -> None:
        transport = client(media_service())
        told: list[Any] = []
        await transport.connect()
        old: Any = transport._link
        await transport.close()
        await transport.connect()
        for name in ("audio", "media_state", "*"):
            transport.on(name, told.append)
        old.media(TONE * 20)
        old.media_state("lost", "late")
        old.message('{"type":"error"}')
        await asyncio.sleep(0.1)
        assert not told
        assert transport.status == "connected"
        await transport.close()

    run_virtual(scenario())


@pytest.mark.needs_module("aiortc")
async def test_behaviour_90_a_track_of_the_caller_s_is_sent_and_left_alone(media_service: Any) -> None:
    from voxwire.rtc.tracks import pcm_track

    track = pcm_track()
    track.write(TONE * 200)
    service = media_service()
    transport = OpenAIRealtimeWebRTC(
        media_stream=track, audio_output=None, api_key="ek_x", carrier=service.connect
    )
    await transport.connect()
    async with asyncio.timeout(10):
        while len(bytes(service.heard).strip(b"\0")) < 48 * 190:
            await asyncio.sleep(0.01)
    await transport.close()
    assert track.readyState == "live"
    track.stop()


def test_the_reason_of_the_end_is_told(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = client(service)
        told: list[ConnectionChange] = []
        transport.on("disconnected", told.append)
        await transport.connect()
        await service.calls[-1].close(1001, "session expired")
        await asyncio.sleep(0.1)
        assert (told[0].code, told[0].reason) == (1001, "session expired")
        assert told[0].error is not None

    run_virtual(scenario())


# -- devices


class Device:
    """In place of the machine's: a source of silence, or a sink, which says what was done to it."""

    made: list[Device]

    def __init__(self, echo_canceller: object = None, on_event: Any = None) -> None:
        self.echo_canceller = echo_canceller
        self.on_event = on_event
        self.slow: asyncio.Event | None = None
        self.source, self.sink = SequenceSource(), PacedSink()
        self.closed = 0
        type(self).made.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sink if hasattr(self.sink, name) else self.source, name)

    async def close(self) -> None:
        if self.slow is not None:
            await self.slow.wait()
        self.closed += 1


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    Device.made = []
    monkeypatch.setattr("voxwire.audio.devices_microphone.Microphone", Device)
    monkeypatch.setattr("voxwire.audio.devices_speaker.Speaker", Device)

    async def found(**_which: bool) -> None: ...

    monkeypatch.setattr(default_audio, "_look_for", found)
    return Device.made


def test_microphone_and_loudspeaker_are_opened_for_the_call_and_given_back(
    media_service: Any, devices: list[Device]
) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = client(service, audio_input=DEFAULT, audio_output=DEFAULT, echo_cancellation=False)
        assert not devices
        await transport.connect()
        assert [device.closed for device in devices] == [0, 0]
        await transport.close()
        assert [device.closed for device in devices] == [1, 1]
        await transport.connect()
        assert len(devices) == 4
        service.calls[-1].drop()
        await asyncio.sleep(0.1)
        assert [device.closed for device in devices] == [1, 1, 1, 1], "also when the other side ends it"
        service.greets = False
        with pytest.raises(ConnectError):
            await transport.connect()
        await asyncio.sleep(0.1)
        assert devices[-1].closed == 1, "also when it fails"
        await transport.close()
        assert repr(DEFAULT) == "DEFAULT"

    run_virtual(scenario())


def test_devices_are_given_back_also_where_closing_is_cancelled(
    media_service: Any, devices: list[Device]
) -> None:
    async def scenario() -> None:
        service = media_service()
        transport = client(service, audio_input=DEFAULT, audio_output=DEFAULT, echo_cancellation=False)
        await transport.connect()
        devices[0].slow = asyncio.Event()
        closing = asyncio.create_task(transport.close())
        await asyncio.sleep(1)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        devices[0].slow.set()
        await asyncio.sleep(0.1)
        assert [device.closed for device in devices] == [1, 1]
        await transport.connect()
        assert len(devices) == 4, "and they can be opened again"
        await transport.close()

    run_virtual(scenario())


def test_one_device_that_cannot_be_closed(
    media_service: Any, devices: list[Device], caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> None:
        raise OSError("pulled out")

    async def scenario() -> None:
        transport = client(
            media_service(), audio_input=DEFAULT, audio_output=DEFAULT, echo_cancellation=False
        )
        await transport.connect()
        devices[0].close = broken  # type: ignore[method-assign]
        await transport.close()
        assert devices[1].closed == 1
        await transport.connect()
        await transport.close()

    run_virtual(scenario())
    assert "the Device could not be closed" in caplog.text


def test_what_happens_to_the_devices_is_told(media_service: Any, devices: list[Device]) -> None:
    async def scenario() -> None:
        transport = client(
            media_service(), audio_input=DEFAULT, audio_output=DEFAULT, echo_cancellation=False
        )
        session = RealtimeSession(RealtimeAgent("Ava"), transport=transport)
        told: list[Any] = []
        session.on("device_changed", told.append)
        session.on("audio_dropped", told.append)
        async with session:
            events = [DeviceChanged("input", None, None, "unplugged"), AudioDropped("output", 20.0)]
            for device, event in zip(devices, events, strict=True):
                device.on_event(event)
        assert told == events

    run_virtual(scenario())


async def test_the_microphone_hears_what_the_loudspeaker_plays(
    devices: list[Device], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def make(**options: Any) -> str:
        asked.append(options)
        return "canceller"

    monkeypatch.setattr("voxwire.audio.echo.make_echo_canceller", make)
    await open_default_audio(source=True, sink=True, echo_cancellation=True)
    await open_default_audio(source=True, sink=True, echo_cancellation="require")
    await open_default_audio(source=True, sink=False, echo_cancellation=True)
    await open_default_audio(source=True, sink=True, echo_cancellation=False)
    nothing = await open_default_audio(source=False, sink=False, echo_cancellation=True)
    await nothing.close()
    assert asked == [{}, {"required": True}]
    cancellers = [device.echo_canceller for device in devices]
    assert cancellers == ["canceller"] * 4 + [None] * 3


def test_a_machine_without_devices(media_service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxwire.audio.devices.list_devices", list)

    async def scenario() -> None:
        for options in ({"audio_input": DEFAULT}, {"audio_output": DEFAULT}):
            service = media_service()
            transport = client(service, **options)
            with pytest.raises(DeviceError, match="transport='websocket'") as caught:
                await transport.connect()
            assert next(iter(options)) + "=None" in str(caught.value)
            assert not service.calls, "nobody was called"
            assert transport.status == "disconnected"

    asyncio.run(scenario())


# -- sessions


@tool
async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_a_session_on_a_call(media_service: Any, tmp_path: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        source = SequenceSource()
        transport = client(service, audio_input=source, audio_output=PacedSink(), api_key="sk-1")
        session = RealtimeSession(RealtimeAgent("Ada", tools=[add]), transport=transport)
        states: list[Any] = []
        session.on("media_state", states.append)
        async with Recorder(session, tmp_path), session:
            assert states
            item = {
                "id": "f",
                "type": "function_call",
                "call_id": "c",
                "name": "add",
                "arguments": '{"a":1,"b":2}',
            }
            service.send("response.created", response={"id": "r1", "conversation_id": "conv"})
            service.send("response.output_item.done", response_id="r1", item={**item, "status": "completed"})
            service.send("response.done", response={"id": "r1", "status": "completed", "output": []})
            await asyncio.sleep(0.1)
            assert service.kinds() == ["conversation.item.create", "response.create"]
            assert service.events[-2]["item"]["output"] == "3"
            assert request_of(service).session is not None
            await source.say(TONE * 500)
            await service.say("r2", "a", TONE * 700)
            await asyncio.sleep(1)
        assert session.metrics.turns

    run_virtual(scenario())
    sound = read_wav(tmp_path / "recording.wav", channel=0), read_wav(tmp_path / "recording.wav", channel=1)
    lengths = [len(one.pcm.strip(b"\0")) / 48 for one in sound]
    assert lengths == pytest.approx([500, 700], abs=1)
    with (tmp_path / "events.jsonl").open(encoding="utf-8") as log:
        replayed = replay(log)
    assert replayed.same, replayed.differences
    assert replayed.steps > 40, "frames are steps as well"


def test_guardrails_cannot_hold_back_what_the_service_plays(media_service: Any) -> None:
    async def scenario() -> None:
        service = media_service()
        session = RealtimeSession(
            RealtimeAgent("Ada"),
            transport=client(service),
            output_guardrails=[lambda text, context: False],
            output_guardrail_settings=GuardrailSettings(hold_back_ms=500),
        )
        with pytest.raises(UserError, match="leave hold_back_ms unset, or use transport='websocket'"):
            await session.connect()
        assert not service.calls
        await session.close()

    run_virtual(scenario())
