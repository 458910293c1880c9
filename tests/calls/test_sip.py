"""The transport for calls whose audio takes another way. Numbers are those of docs/differences.md."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from voxwire import (
    AudioConfig,
    AudioInput,
    OpenAIRealtimeSideband,
    OpenAIRealtimeSIP,
    RealtimeAgent,
    RealtimeSession,
    SemanticVad,
    ServerVad,
    SessionConfig,
    tool,
)
from voxwire.errors import AuthenticationError, ProviderError, UserError
from voxwire.transports.sip_config import accept_payload, refuse_unsupported, without_formats

KEY = "sk-calls"


@tool
def get_weather(city: str) -> str:
    """Get the weather."""
    return f"sunny in {city}"


AGENT = RealtimeAgent("Ava", instructions="You are Ava.", tools=[get_weather], voice="marin")


def transport(phone: Any, **options: Any) -> OpenAIRealtimeSIP:
    return OpenAIRealtimeSIP(url=phone.base_url + "/realtime", api_key=KEY, proxy=None, **options)


# -- the configuration -------------------------------------------------------------------------


async def test_the_payload_is_what_the_session_sends(phone: Any) -> None:
    """But for what the call has already (formats), and what is set once (tracing)."""
    config = SessionConfig(audio=AudioConfig(input=AudioInput(turn_detection=SemanticVad(eagerness="low"))))
    payload = await OpenAIRealtimeSIP.build_initial_config(AGENT, config=config, model="gpt-realtime")
    async with phone.control() as calls:
        await calls.accept("rtc_1", payload)
    [accepted] = phone.commands("accept")
    assert accepted == payload

    session = RealtimeSession(AGENT, transport=transport(phone), config=config, model="gpt-realtime")
    await session.connect(call_id="rtc_1")
    line = await phone.line("rtc_1")
    assert line.websocket.query_params.get("model") is None
    update = await line.expect("session.update")
    sent = update["session"]
    assert sent.pop("tracing") == "auto"
    assert sent == accepted
    assert sent["audio"] == {
        "input": {
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad", "eagerness": "low"},
        },
        "output": {"voice": "marin"},
    }
    assert [entry["name"] for entry in sent["tools"]] == ["get_weather"]
    await session.close()


async def test_the_payload_names_a_model_and_takes_overrides() -> None:
    payload = await OpenAIRealtimeSIP.build_initial_config(
        AGENT, overrides={"max_output_tokens": 200, "audio": {"output": {"format": "pcm16", "speed": 1.2}}}
    )
    assert (payload["type"], payload["model"]) == ("realtime", "gpt-realtime")
    assert payload["max_output_tokens"] == 200
    assert payload["audio"]["output"] == {"voice": "marin", "speed": 1.2}
    assert "tracing" not in payload
    other = await OpenAIRealtimeSIP.build_initial_config(AGENT, overrides={"model": "gpt-realtime-mini"})
    assert other["model"] == "gpt-realtime-mini"


@pytest.mark.parametrize(
    ("fields", "listed"),
    [
        ({"threshold": 0.4}, "threshold, which"),
        ({"threshold": 0.4, "silence_duration_ms": 300}, "threshold and silence_duration_ms, which"),
        (
            {"threshold": 0.4, "prefix_padding_ms": 100, "silence_duration_ms": 300},
            "threshold, prefix_padding_ms, and silence_duration_ms, which",
        ),
    ],
)
async def test_fields_that_sip_has_not_are_refused_by_name(fields: dict[str, Any], listed: str) -> None:
    # 93
    vad = ServerVad(interrupt_response=True, idle_timeout_ms=6000, **fields)
    config = SessionConfig(audio=AudioConfig(input=AudioInput(turn_detection=vad)))
    with pytest.raises(UserError, match=listed):
        await OpenAIRealtimeSIP.build_initial_config(AGENT, config=config)


@pytest.mark.parametrize("spelling", ["silenceDurationMs", "silence_duration_ms"])
async def test_either_spelling_is_refused(spelling: str) -> None:
    config = {"audio": {"input": {"turnDetection": {"type": "server_vad", spelling: 300}}}}
    with pytest.raises(UserError, match="silence_duration_ms"):
        await OpenAIRealtimeSIP.build_initial_config(AGENT, config=config)


async def test_other_fields_of_turn_detection_are_fine() -> None:
    vad = ServerVad(interrupt_response=False, create_response=True, idle_timeout_ms=6000)
    config = SessionConfig(audio=AudioConfig(input=AudioInput(turn_detection=vad)))
    payload = await OpenAIRealtimeSIP.build_initial_config(AGENT, config=config)
    assert payload["audio"]["input"]["turn_detection"] == vad.to_wire()


def test_configurations() -> None:
    whole = {
        "instructions": "x",
        "audio": {"input": {"format": {"type": "audio/pcm", "rate": 24000}}, "output": None},
    }
    assert without_formats(whole) == {"instructions": "x", "audio": {"output": None}}
    assert without_formats({"audio": {"input": {"format": {}}}}) == {}
    assert without_formats({"audio": None}) == {"audio": None}
    assert "format" in whole["audio"]["input"], "not changed"  # type: ignore[index]
    refuse_unsupported({})
    refuse_unsupported({"audio": {"input": {"turn_detection": None}}})
    refuse_unsupported({"audio": {"input": {"turn_detection": {"threshold": None}}}})
    assert accept_payload({}) == {"type": "realtime", "model": "gpt-realtime"}


# -- the connection ------------------------------------------------------------------------------


@pytest.mark.parametrize("call_id", [None, ""])
async def test_it_attaches_to_a_call_and_nothing_else(call_id: str | None) -> None:
    # 92
    client = OpenAIRealtimeSIP(api_key=KEY)
    with pytest.raises(UserError, match="call_id"):
        await client.connect(call_id=call_id)
    assert (client.status, client.call_id) == ("disconnected", None)


async def test_audio_cannot_be_sent(phone: Any) -> None:
    # 94
    client = transport(phone)
    with pytest.raises(UserError, match="does not support sending audio"):
        await client.send_audio(b"\0\0")
    phone.calls.add("rtc_1")
    await client.connect(call_id="rtc_1")
    with pytest.raises(UserError, match="does not support sending audio"):
        await client.send_audio(b"", commit=True)
    assert client.muted is None
    await client.mute(False)
    with pytest.raises(UserError, match="cannot mute"):
        await client.mute(True)
    line = await phone.line("rtc_1")
    await client.close()
    await line.closed.wait()
    assert [event["type"] for event in line.received] == []


async def test_a_call_that_does_not_exist(phone: Any) -> None:
    client = transport(phone)
    with pytest.raises(ProviderError, match="No call rtc_7") as caught:
        await client.connect(call_id="rtc_7")
    assert (caught.value.status, caught.value.code) == (404, "call_not_found")
    assert not isinstance(caught.value, AuthenticationError)
    assert client.status == "disconnected"


async def test_unsupported_fields_are_refused_before_anything_is_sent(phone: Any) -> None:
    phone.calls.add("rtc_1")
    client = transport(phone)
    config = {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.5}}}}
    with pytest.raises(UserError, match="threshold"):
        await client.connect(call_id="rtc_1", initial_session_config=config)
    assert phone.lines == {}
    # A page's call over WebRTC takes them.
    page = OpenAIRealtimeSideband(url=phone.base_url + "/realtime", api_key=KEY, proxy=None)
    await page.connect(call_id="rtc_1", initial_session_config=config)
    update = await (await phone.line("rtc_1")).expect("session.update")
    assert update["session"]["audio"]["input"]["turn_detection"]["threshold"] == 0.5
    await page.close()


async def test_updates_leave_the_formats_alone(phone: Any) -> None:
    phone.calls.add("rtc_1")
    client = transport(phone)
    await client.connect(call_id="rtc_1", initial_session_config={"instructions": "a"})
    line = await phone.line("rtc_1")
    await line.expect("session.update")
    await client.update_session_config(
        {"instructions": "b", "audio": {"input": {"format": "g711_ulaw"}, "output": {"format": "pcm16"}}}
    )
    assert (await line.expect("session.update"))["session"] == {"type": "realtime", "instructions": "b"}
    with pytest.raises(UserError, match="prefix_padding_ms"):
        await client.update_session_config(
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "prefix_padding_ms": 1}}}}
        )
    await client.close()


async def test_the_hang_up_ends_the_session_with_its_reason(phone: Any) -> None:
    phone.calls.add("rtc_1")
    session = RealtimeSession(AGENT, transport=transport(phone))
    await session.connect(call_id="rtc_1")
    assert session.transport.call_id == "rtc_1"
    await (await phone.line("rtc_1")).hang_up(1000, "the caller hung up")
    async with asyncio.timeout(5):
        ended = await session.wait_closed()
    assert ended is not None
    assert (ended.code, ended.reason, ended.error) == (1000, "the caller hung up", None)
    assert session.transport.call_id == "rtc_1"


async def test_what_is_heard_is_what_the_service_says(phone: Any, until: Any) -> None:
    """No audio comes by; `output_audio_buffer.*` stands for it."""
    phone.calls.add("rtc_1")
    client = transport(phone)
    await client.connect(call_id="rtc_1")
    heard: list[str] = []
    for name in ("audio_start", "audio_stopped", "audio_interrupted", "audio"):
        client.on(name, lambda event: heard.append(event.name))
    line = await phone.line("rtc_1")

    await line.speak("resp_1")
    await until(lambda: client.speaking)
    assert heard == ["audio_start"]
    await line.send("output_audio_buffer.stopped", response_id="resp_1")
    await until(lambda: not client.speaking)
    assert heard == ["audio_start", "audio_stopped"]

    heard.clear()
    await line.speak("resp_2")
    await until(lambda: client.speaking)
    await line.send("output_audio_buffer.cleared", response_id="resp_2")
    await until(lambda: not client.speaking)
    assert sorted(heard) == ["audio_interrupted", "audio_start", "audio_stopped"]
    await client.close()


async def test_interrupting_clears_what_the_service_plays(phone: Any, until: Any) -> None:
    phone.calls.add("rtc_1")
    client = transport(phone)
    await client.connect(call_id="rtc_1")
    line = await phone.line("rtc_1")
    await line.send("response.created", response={"id": "resp_1", "status": "in_progress"})
    await line.send("output_audio_buffer.started", response_id="resp_1")
    await until(lambda: client.speaking)
    await client.interrupt()
    await line.expect("response.cancel")
    await line.expect("output_audio_buffer.clear")
    assert "conversation.item.truncate" not in [event["type"] for event in line.received]
    assert not client.speaking
    await client.close()


async def test_a_tool_for_a_call(phone: Any) -> None:
    phone.calls.add("rtc_1")
    session = RealtimeSession(AGENT, transport=transport(phone))
    await session.connect(call_id="rtc_1")
    line = await phone.line("rtc_1")
    await line.speak("resp_1", call=("get_weather", '{"city": "Oslo"}'))
    answer = await line.expect("conversation.item.create")
    assert answer["item"]["output"] == "sunny in Oslo"
    await line.expect("response.create")
    await session.close()
