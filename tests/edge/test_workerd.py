"""The Cloudflare transport, and a session on it, inside real workerd; the services are real sockets on this machine."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from voxwire.audio import convert, read_wav
from voxwire.protocol.formats import PCM16
from voxwire.server import EmbeddedServer
from voxwire.testing import ScriptedServer, TwilioCaller

KEY = "sk-edge"
RECORDINGS = Path(__file__).resolve().parents[2] / "src" / "voxwire" / "cli" / "demo_audio"
PROMPT = json.loads((RECORDINGS / "dialogue.json").read_text())["prompt"]


def spoken(name: str, silence_ms: int = 1500) -> str:
    """A recording of the demo and the silence after it, as base64 of PCM16."""
    wav = read_wav(RECORDINGS / name)
    return base64.b64encode(
        convert(wav.pcm + bytes(wav.format.size_of(silence_ms)), wav.format, PCM16)
    ).decode()


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """The server as `voxwire serve` starts it, with a key."""
    async with EmbeddedServer(
        api_keys=[KEY], vad="silero", transcriber="pocketsphinx", responder="rules", synthesizer="espeak"
    ) as running:
        yield running


@pytest.fixture
def play(workerd: Any) -> Any:
    """Run one of the scenes, while this loop serves what it talks to."""

    async def run(name: str, **arguments: Any) -> dict[str, Any]:
        answer = await asyncio.to_thread(workerd.play, name, **arguments)
        assert isinstance(answer, dict)
        return answer

    return run


async def test_nothing_compiled_is_needed(play: Any) -> None:
    about = await play("about")
    assert about["python"].startswith("3.14.")
    assert about["loaded"] == []


async def test_a_text_turn(play: Any, server: EmbeddedServer) -> None:
    result = await play("text_turn", url=server.url, key=KEY)
    assert "assistant" in result["said"][0]
    assert result["history"] == ["message", "message"]
    assert result["audio_bytes"] > 24_000
    assert [entry["event"] for entry in result["log"]] == ["agent_end"]


async def test_an_audio_turn(play: Any, server: EmbeddedServer) -> None:
    """Speech goes up, is heard, answered with a tool that is a plain function, and spoken."""
    result = await play("audio_turn", url=server.url, key=KEY, pcm=spoken("1-weather.wav"), prompt=PROMPT)
    heard = [entry for entry in result["log"] if entry["event"] == "user_transcript"]
    assert "weather" in heard[0]["text"].lower()
    assert [entry["result"] for entry in result["log"] if entry["event"] == "agent_tool_end"] == [
        "It is sunny in Tokyo."
    ]
    assert "sunny" in result["said"][-1]
    assert result["audio_bytes"] > 24_000


async def test_a_tool_call(play: Any, server: EmbeddedServer) -> None:
    """Its schema comes from the signature and the docstring alone."""
    result = await play("tool_call", url=server.url, key=KEY)
    assert result["history"] == ["message", "function_call", "message"]
    assert result["said"] == ["Booked for 2 on Friday."]
    assert result["schema"]["description"] == "Book a table."
    assert result["schema"]["parameters"] == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "description": "The day of the week."},
            "people": {"type": "integer", "description": "How many will come.", "default": 2},
        },
        "required": ["day"],
        "additionalProperties": False,
    }


async def test_a_barge_in(play: Any, server: EmbeddedServer) -> None:
    """The reply is cut where it was heard, long before where it was received."""
    result = await play(
        "barge_in", url=server.url, key=KEY, story="Tell me a long story.", stop=spoken("5-stop.wav")
    )
    assert [entry for entry in result["log"] if entry["event"] == "audio_interrupted"]
    assert 0 < result["cut_ms"] < result["received_ms"] - 1000


async def test_a_refused_key(play: Any, server: EmbeddedServer) -> None:
    result = await play("refused_key", url=server.url, key="sk-wrong")
    assert (result["type"], result["status"], result["code"]) == (
        "AuthenticationError",
        401,
        "invalid_api_key",
    )
    assert "Incorrect API key provided" in result["message"]
    assert "sk-wrong" not in result["message"]


async def test_nobody_there(play: Any) -> None:
    with socket.socket() as reserved:  # bound and not listening: a connection is refused
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        result = await play("nobody_there", url=f"ws://127.0.0.1:{port}/v1/realtime", key=KEY)
    assert result["type"] == "ConnectError"
    assert f"cannot connect to 127.0.0.1:{port}" in result["message"]


async def test_a_peer_that_does_not_answer(play: Any) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(4096):  # until the fetch was aborted, and the connection with it
            pass
        writer.close()
        gone.set()

    gone = asyncio.Event()
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        result = await play("slow_peer", url=f"ws://127.0.0.1:{port}/v1/realtime", key=KEY)
        await asyncio.wait_for(gone.wait(), 10)
    assert result["type"] == "ConnectTimeout"
    assert "did not answer within 0.3 s" in result["message"]


@pytest.mark.parametrize("politely", [True, False])
async def test_the_service_goes_away_in_the_middle_of_a_reply(play: Any, politely: bool) -> None:
    async with ScriptedServer() as service:
        playing = asyncio.ensure_future(play("goes_away", url=service.url, key=KEY))
        connection = await service.accept()
        assert connection.headers["authorization"] == f"Bearer {KEY}"
        assert connection.subprotocols == ("realtime",)
        await connection.greet()
        await connection.expect("conversation.item.create")
        await connection.expect("response.create")
        await connection.send({"type": "response.created", "response": {"id": "r1"}})
        delta = {
            "type": "response.output_audio.delta",
            "response_id": "r1",
            "item_id": "i1",
            "content_index": 0,
        }
        await connection.send({**delta, "delta": base64.b64encode(bytes(960)).decode()})
        if politely:
            await connection.close(1012, "restarting")
        else:
            connection.drop()
        result = await playing
    assert (result["code"], result["reason"]) == (1012, "restarting") if politely else result["code"] == 1006
    assert result["error"] == "ConnectionLost"
    assert result["audio_bytes"] == 960 or not politely  # a reset takes along what was not read yet
    assert result["late"]["type"] == "NotConnectedError"
    assert not result["kept"]


async def test_the_embedded_server_stops_in_the_middle_of_a_reply(play: Any) -> None:
    heard = asyncio.Event()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        heard.set()
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    door = await asyncio.start_server(note, "127.0.0.1", 0)
    async with door:
        signal = f"http://127.0.0.1:{door.sockets[0].getsockname()[1]}/"
        async with EmbeddedServer(
            api_keys=[KEY],
            vad="energy",
            transcriber="none",
            responder="rules",
            synthesizer="espeak",
            pace=1.0,
        ) as server:
            playing = asyncio.ensure_future(play("goes_away", url=server.url, key=KEY, signal=signal))
            await asyncio.wait_for(heard.wait(), 30)
        result = await playing
    assert (result["code"], result["error"]) == (1001, "ConnectionLost")
    assert result["said"] == []
    assert 0 < result["audio_bytes"] < 120_000


async def ended(server: EmbeddedServer) -> None:
    """The caller has left: so does the agent."""
    async with asyncio.timeout(10):
        while server.service.sessions:
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def a_peer(handle: Any) -> AsyncIterator[str]:
    from websockets.asyncio.server import serve

    async with serve(handle, "127.0.0.1", 0, compression=None, max_size=None, close_timeout=1) as running:
        yield f"ws://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}/"


async def test_the_carrier_keeps_its_promises(play: Any) -> None:
    from websockets.exceptions import ConnectionClosedError

    told: list[tuple[int | None, str | None]] = []

    async def echo(socket: Any) -> None:
        try:
            async for message in socket:
                await socket.send(b"\x00\xff" if message == "binary, please" else message)
        except ConnectionClosedError:  # 4002 is an error to this library
            told.append((socket.close_code, socket.close_reason))

    async with a_peer(echo) as url:
        result = await play("carrier_checks", url=url)
    assert result == {
        "same": True,
        "held": True,
        "binary": "00ff",
        "how": [4002, "enough", True],
        "proxies": 0,
    }
    assert told == [(4002, "enough")]


async def test_a_peer_that_does_not_read(play: Any) -> None:
    over = asyncio.Event()

    async def deaf(socket: Any) -> None:
        socket.transport.pause_reading()
        await over.wait()
        socket.transport.abort()

    async with a_peer(deaf) as url:
        result = await play("unread", url=url)
        over.set()
    assert result["waited"]
    assert "the peer does not read" in result["lost"]
    assert result["ended"] == 1


async def test_the_examples_relay_for_a_phone(workerd: Any, server: EmbeddedServer) -> None:
    """Twilio's messages come in, mu-law both ways; the agent answers and the caller hangs up."""
    asked = urllib.parse.urlencode({"url": server.url, "key": KEY})
    caller = TwilioCaller(f"{workerd.url.replace('http', 'ws', 1)}/phone?{asked}")
    async with caller:
        caller.say(RECORDINGS / "6-follow-up.wav")
        await caller.until(lambda: caller.playout.heard_ms > 500)
        assert caller.marks > 0
        assert caller.unknown == []
    await ended(server)


async def test_the_examples_relay_for_a_web_page(workerd: Any, server: EmbeddedServer) -> None:
    """A socket comes in, `AcceptedWebSocket` takes it, and an agent with tools answers on it."""
    from websockets.asyncio.client import connect

    asked = urllib.parse.urlencode({"url": server.url, "key": KEY})
    address = workerd.url.replace("http", "ws", 1)
    said: list[dict[str, Any]] = []
    audio = 0
    async with connect(f"{address}/page?{asked}", compression=None) as page, asyncio.timeout(30):
        await page.send(json.dumps({"text": "Please book a table for two on Friday."}))
        while not any(event["type"] == "said" and event["text"] for event in said):
            message = await page.recv()
            if isinstance(message, bytes):
                audio += len(message)
            else:
                said.append(json.loads(message))
    assert {
        "type": "tool",
        "name": "book_table",
        "result": "Booked for 2 on Friday. The code is FRI-2.",
    } in said
    assert audio > 24_000
    await ended(server)
