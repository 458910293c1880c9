"""Whole sessions over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from typing import Any

import pytest
import websockets

from voxwire.errors import UserError
from voxwire.server import EmbeddedServer, Limits
from voxwire.server.speech.base import Delay, Disconnect, Failure, Incomplete, ToolCallPart

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


async def test_text_turn(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["Hello there. How are ", "you today?"]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        assert (await client.next())["type"] == "session.created"
        await client.update(output_modalities=["text"])
        await client.say("hi")
        done = await client.until("response.done")
        await client.until("rate_limits.updated")
        assert done["response"]["output"][0]["content"][0]["text"] == "Hello there. How are you today?"
        assert [event["delta"] for event in client.of("response.output_text.delta")] == [
            "Hello there. How are ",
            "you today?",
        ]
        assert kit["responder"].requests[0].items[0]["content"][0]["text"] == "hi"
        assert kit["synthesizer"].requests == []


async def test_audio_turn(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["It is noon. Lunch", " is ready!"]]
    kit["transcriber"].texts = ["what time is it"]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        transcription = {"model": "whisper-1", "keywords": ["noon"], "language": "en"}
        await client.update(
            audio={"input": {"transcription": transcription}, "output": {"voice": "cedar", "speed": 1.25}}
        )
        for chunk in (lab.quiet(500), lab.loud(800), lab.quiet(900)):
            for start in range(0, len(chunk), 960):
                await client.append(chunk[start : start + 960])
        done = await client.until("response.done")
        await client.until("rate_limits.updated")
        types = client.types()
        order = [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
            "response.output_item.added",
        ]
        at = types.index(order[0])
        assert types[at : at + len(order)] == order
        started = client.of("input_audio_buffer.speech_started")[0]["audio_start_ms"]
        assert started == pytest.approx(200, abs=40)
        assert done["response"]["output"][0]["content"][0]["transcript"] == "It is noon. Lunch is ready!"
        deltas = [event["delta"] for event in client.of("response.output_audio_transcript.delta")]
        assert deltas == ["It", " is", " noon.", " Lunch", " is", " ready!"]
        audio = b"".join(
            base64.b64decode(event["delta"]) for event in client.of("response.output_audio.delta")
        )
        assert len(audio) == pytest.approx(600 * 48, abs=48)
        assert [request.text for request in kit["synthesizer"].requests] == ["It is noon.", "Lunch is ready!"]
        assert kit["synthesizer"].requests[0].voice == "cedar"
        assert kit["synthesizer"].requests[0].speed == 1.25
        assert kit["synthesizer"].requests[0].language == "en"
        assert "noon" in kit["transcriber"].hints[0].phrases
        assert kit["transcriber"].started[0].size / 32 == pytest.approx(800 + 300 + 500, abs=60)


@pytest.mark.parametrize(
    ("format", "bytes_per_second"),
    [
        ({"type": "audio/pcmu"}, 8_000),
        ({"type": "audio/pcma"}, 8_000),
        ({"type": "audio/pcm", "rate": 8_000}, 16_000),
        ({"type": "audio/pcm", "rate": 16_000}, 32_000),
        ({"type": "audio/pcm", "rate": 48_000}, 96_000),
    ],
    ids=str,
)
async def test_formats(lab: Any, kit: dict[str, Any], format: dict[str, Any], bytes_per_second: int) -> None:
    from voxwire.audio.resample import convert
    from voxwire.protocol.formats import PCM16, parse_format

    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.update(audio={"input": {"format": format}, "output": {"format": format}})
        await client.append(
            convert(lab.quiet(300) + lab.loud(500) + lab.quiet(800), PCM16, parse_format(format))
        )
        await client.until("response.done")
        stopped = client.of("input_audio_buffer.speech_stopped")[0]["audio_end_ms"]
        assert stopped == pytest.approx(1300, abs=60)
        audio = b"".join(
            base64.b64decode(event["delta"]) for event in client.of("response.output_audio.delta")
        )
        assert len(audio) / bytes_per_second == pytest.approx(0.2, abs=0.01)
        item_id = client.of("response.output_item.added")[0]["item"]["id"]
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=120)
        await client.until("conversation.item.truncated")
        await client.send("conversation.item.retrieve", item_id=item_id)
        part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
        assert part["transcript"] == "Very"
        assert base64.b64decode(part["audio"]) == audio[: bytes_per_second * 12 // 100]


async def test_tool_calls_and_their_outputs(lab: Any, kit: dict[str, Any]) -> None:
    calls = [ToolCallPart("get_weather", '{"city":"Rome"}'), ToolCallPart("get_weather", '{"city":"Oslo"}')]
    kit["responder"].replies = [["One moment.", *calls], ["Sunny in both."]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.update(tools=[TOOL], output_modalities=["text"])
        await client.say("weather in Rome and Oslo?")
        done = (await client.until("response.done"))["response"]
        assert [item["type"] for item in done["output"]] == ["message", "function_call", "function_call"]
        for item in done["output"][1:]:
            output = {"type": "function_call_output", "call_id": item["call_id"], "output": "sunny"}
            await client.send("conversation.item.create", item=output)
        await client.send("response.create")
        done = (await client.until("response.done"))["response"]
        assert done["output"][0]["content"][0]["text"] == "Sunny in both."
        kinds = [item["type"] for item in kit["responder"].requests[1].items]
        assert kinds == ["message", "message", *["function_call"] * 2, *["function_call_output"] * 2]
        assert kit["responder"].requests[1].response_number == 1
        assert kit["responder"].requests[0].tools[0]["name"] == "get_weather"


async def test_barge_in_stops_the_reply(lab: Any, kit: dict[str, Any]) -> None:
    gate = asyncio.Event()
    kit["synthesizer"] = lab.BeepSynthesizer(gate=gate)
    kit["responder"].replies = [["One two three four. Five", " six."], ["Yes?"]]
    kit["transcriber"].texts = ["wait"]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.say("count")
        item_id = (await client.until("response.output_audio.delta"))["item_id"]
        await client.append(lab.loud(500))
        done = (await client.until("response.done"))["response"]
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert done["output"][0]["content"][0]["transcript"] == "One"
        gate.set()
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=20)
        await client.until("conversation.item.truncated")
        await client.append(lab.quiet(800))
        done = (await client.until("response.done"))["response"]
        assert done["output"][0]["content"][0]["transcript"] == "Yes?"
        assert kit["responder"].cancelled == 1
        told = kit["responder"].requests[1].items
        assert told[1]["content"][0]["transcript"] == ""
        assert told[2]["content"][0]["transcript"] == "wait"


async def test_out_of_band_beside_the_default_response(lab: Any, kit: dict[str, Any]) -> None:
    gate = asyncio.Event()
    kit["responder"].replies = [[gate, "slow"], ["fast"]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.update(output_modalities=["text"])
        await client.say("hello")
        await client.until("response.created")
        await client.send(
            "response.create", response={"conversation": "none", "metadata": {"topic": "t"}, "input": []}
        )
        done = (await client.until("response.done"))["response"]
        assert done["metadata"] == {"topic": "t"}
        assert done["conversation_id"] is None
        assert done["output"][0]["content"][0]["text"] == "fast"
        assert kit["responder"].requests[1].items == ()
        gate.set()
        done = (await client.until("response.done"))["response"]
        assert done["output"][0]["content"][0]["text"] == "slow"


async def test_words_are_spread_where_nobody_says_where_they_are(lab: Any, kit: dict[str, Any]) -> None:
    kit["synthesizer"] = lab.BeepSynthesizer(words=False)
    kit["responder"].replies = [["aaaa bbbb. cccc dddd."]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.say("x")
        await client.until("response.done")
        assert [event["delta"] for event in client.of("response.output_audio_transcript.delta")] == [
            "aaaa bbbb.",
            " cccc dddd.",
        ]
        item_id = client.of("response.output_item.added")[0]["item"]["id"]
        await client.send("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=310)
        await client.send("conversation.item.retrieve", item_id=item_id)
        part = (await client.until("conversation.item.retrieved"))["item"]["content"][0]
        assert part["transcript"] == "aaaa bbbb. cccc"


@pytest.mark.parametrize(
    ("reply", "status", "details"),
    [
        (["Well.", Incomplete("content_filter")], "incomplete", {"reason": "content_filter"}),
        (
            [Failure("overloaded", "busy")],
            "failed",
            {"error": {"code": "busy", "message": "overloaded", "type": "server_error"}},
        ),
        (["A.", Delay(0.01), "B."], "completed", None),
    ],
)
async def test_ends(
    lab: Any, kit: dict[str, Any], reply: list[Any], status: str, details: dict[str, Any] | None
) -> None:
    kit["responder"].replies = [reply]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.say("x")
        done = (await client.until("response.done"))["response"]
        assert done["status"] == status
        assert done["status_details"] == (None if details is None else {"type": status, **details})


async def test_a_responder_that_raises_fails_its_response_only(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["Well.", RuntimeError("boom")], ["Better."]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.say("x")
        done = (await client.until("response.done"))["response"]
        assert done["status"] == "failed"
        assert "boom" in done["status_details"]["error"]["message"]
        await client.say("y")
        assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_transcriber_that_raises_is_told(lab: Any, kit: dict[str, Any]) -> None:
    kit["transcriber"].texts = [ValueError("no ears")]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.update(audio={"input": {"transcription": {"model": "whisper-1"}}})
        await client.append(lab.loud(500) + lab.quiet(700))
        failed = await client.until("conversation.item.input_audio_transcription.failed")
        assert "no ears" in failed["error"]["message"]
        assert (await client.until("response.done"))["response"]["status"] == "completed"


async def test_a_transcriber_that_never_ends_is_given_up(lab: Any, kit: dict[str, Any]) -> None:
    kit["transcriber"].gate = asyncio.Event()
    limits = Limits(transcription_seconds=0.05)
    async with EmbeddedServer(limits=limits, **kit) as server, lab.connect(server) as client:
        await client.append(lab.loud(500) + lab.quiet(700))
        assert (await client.until("response.done"))["response"]["status"] == "completed"
        assert kit["transcriber"].started[0].cancelled


async def test_a_synthesizer_that_hangs_fails_the_response(lab: Any, kit: dict[str, Any]) -> None:
    kit["synthesizer"] = lab.BeepSynthesizer(gate=asyncio.Event())
    async with (
        EmbeddedServer(limits=Limits(synthesis_seconds=0.05), **kit) as server,
        lab.connect(server) as client,
    ):
        await client.say("x")
        assert (await client.until("response.done"))["response"]["status"] == "failed"


@pytest.mark.parametrize("code", [1011, None])
async def test_disconnect(lab: Any, kit: dict[str, Any], code: int | None) -> None:
    kit["responder"].replies = [["Bye.", Disconnect(code, "scripted")]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.say("x")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await client.until("never")
        assert client.of("response.output_audio.delta")
        received = caught.value.rcvd
        assert (received.code if received else None) == code
        if received:
            assert received.reason == "scripted"


async def test_long_push_to_talk_audio_in_one_message(lab: Any, kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.update(audio={"input": {"turn_detection": None}})
        await client.append(lab.loud(20_000))
        await client.send("input_audio_buffer.commit")
        await client.send("response.create")
        await client.until("response.done")
        assert kit["transcriber"].started[0].size == pytest.approx(20_000 * 32, abs=64)


async def test_paced_audio_is_not_early(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["word " * 30 + "."]]
    async with EmbeddedServer(pace=4.0, **kit) as server, lab.connect(server) as client:
        began = time.monotonic()
        await client.say("x")
        await client.until("response.output_audio.done")
        # 3.1 s at four times real time; the last 100 ms may go out when they begin, 300 ms early.
        assert time.monotonic() - began >= 3.0 / 4 - 0.3


async def test_unpaced_audio_is_faster_than_real_time(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["word " * 300 + "."]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.say("x")
        began = time.monotonic()
        await client.until("response.done")
        assert time.monotonic() - began < 15  # 30 s of audio


async def test_a_slow_client_stops_the_reply_not_the_server(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["word " * 600 + "."]]  # 60 s of audio, 4 MB on the wire
    synthesizer = kit["synthesizer"]
    spoken = 0
    speak = synthesizer.speak

    async def counting(request: Any) -> Any:
        nonlocal spoken
        async for piece in speak(request):
            spoken += 1
            yield piece

    synthesizer.speak = counting

    class NarrowServer(EmbeddedServer):
        def _bind(self) -> socket.socket:
            listener = super()._bind()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # the sessions' sockets inherit it
            return listener

    async with NarrowServer(limits=Limits(outgoing_bytes=100_000), **kit) as server:
        url = f"{server.url}?model=m"
        async with websockets.connect(url, max_queue=1, max_size=None) as slow:
            client = lab.Client(slow)
            await client.say("x")
            deadline = time.monotonic() + 10
            seen = -1
            while seen != spoken or spoken == 0:  # until nothing more is made
                assert time.monotonic() < deadline
                seen = spoken
                await asyncio.sleep(0.2)
            stopped_at = spoken
            async with lab.connect(server) as other:  # others are served meanwhile
                await other.next()
            done = (await client.until("response.done"))["response"]
            await client.until("rate_limits.updated")
    assert done["status"] == "completed"
    assert stopped_at < spoken == 601


async def test_malformed_input_never_ends_the_session(lab: Any, kit: dict[str, Any]) -> None:
    async with (
        EmbeddedServer(limits=Limits(message_bytes=2000), **kit) as server,
        lab.connect(server) as client,
    ):
        await client.next()
        for message in (
            "{",
            "[]",
            '{"type":"no"}',
            b"\xff\xfe",
            '{"type":"input_audio_buffer.append","audio":"%"}',
            "x" * 2500,
        ):
            await client.socket.send(message)
            assert (await client.next())["type"] == "error", message
        assert client.events[-1]["error"]["code"] == "message_too_large"
        await client.send("response.cancel", event_id="mine")
        assert (await client.next())["error"]["event_id"] == "mine"
        await client.socket.send("x" * 5000)
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await client.next()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


async def test_expiry(lab: Any, kit: dict[str, Any]) -> None:
    async with (
        EmbeddedServer(limits=Limits(session_seconds=0.06), **kit) as server,
        lab.connect(server) as client,
    ):
        error = await client.until("error")
        assert error["error"]["code"] == "session_expired"
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await client.next()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        assert caught.value.rcvd.reason == "Your session hit the maximum duration of 0.001 minutes."


async def test_idle_user_is_prompted(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [["Hi."], ["Still there?"]]
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        await client.update(
            audio={"input": {"turn_detection": {"type": "server_vad", "idle_timeout_ms": 100}}}
        )
        await client.say("x")
        await client.until("input_audio_buffer.timeout_triggered")
        done = (await client.until("response.done"))["response"]
        assert done["output"][0]["content"][0]["transcript"] == "Still there?"


async def test_transcription_session(lab: Any, kit: dict[str, Any]) -> None:
    kit["transcriber"].texts = ["note this"]
    async with EmbeddedServer(**kit) as server, lab.connect(server, "intent=transcription") as client:
        assert (await client.next())["session"]["type"] == "transcription"
        await client.append(lab.loud(500) + lab.quiet(700))
        completed = await client.until("conversation.item.input_audio_transcription.completed")
        assert completed["transcript"] == "note this"
        assert kit["responder"].requests == []


async def test_stopping_closes_sessions_and_leaves_no_task(lab: Any, kit: dict[str, Any]) -> None:
    before = asyncio.all_tasks()
    kit["responder"].replies = [[asyncio.Event()]]
    server = EmbeddedServer(**kit)
    async with server:
        async with lab.connect(server) as client:
            await client.say("x")
            await client.until("response.created")
            stopping = asyncio.create_task(server.stop())
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await client.next()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
        await stopping
    leftover = {task for task in asyncio.all_tasks() - before if not task.done()}
    assert {task.get_name() for task in leftover if "voxwire" in task.get_name()} == set()
    assert not kit["responder"].closed  # it is ours


async def test_stopping_that_is_cancelled_leaves_nothing_open(lab: Any, kit: dict[str, Any]) -> None:
    before = asyncio.all_tasks()
    kit["responder"].replies = [[asyncio.Event()]]
    server = await EmbeddedServer(**kit).__aenter__()
    async with lab.connect(server) as client:
        await client.say("x")
        await client.until("response.created")
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0)  # it waits for the session
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(server.host, server.port)
        assert {
            task.get_name() for task in asyncio.all_tasks() - before if "voxwire" in task.get_name()
        } == set()
    with pytest.raises(UserError):
        _ = server.service


async def test_starting_that_is_cancelled_leaves_nothing_open(kit: dict[str, Any]) -> None:
    before = asyncio.all_tasks()
    server = EmbeddedServer(**kit)
    starting = asyncio.create_task(server.__aenter__())
    while not server.port:
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)
    assert {task.get_name() for task in asyncio.all_tasks() - before if "voxwire" in task.get_name()} == set()


async def test_client_that_vanishes_is_cleaned_up(lab: Any, kit: dict[str, Any]) -> None:
    kit["responder"].replies = [[asyncio.Event()]]
    async with EmbeddedServer(**kit) as server:
        async with lab.connect(server) as client:
            await client.say("x")
            await client.until("response.created")
            assert server.service.sessions == 1
            client.socket.transport.abort()
        async with asyncio.timeout(10):
            while server.service.sessions or not kit["responder"].cancelled:
                await asyncio.sleep(0.01)


async def test_events_are_plain_json_text(lab: Any, kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server, lab.connect(server) as client:
        message = await client.socket.recv()
        assert isinstance(message, str)
        assert json.loads(message)["session"]["model"] == "gpt-realtime"
