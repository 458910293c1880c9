"""Python that runs in a page: one function per test, called by the page's `scenes.play`; what it returns is checked there."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import math
from array import array
from collections.abc import Callable
from typing import Any

import js

from voxwire import (
    DeviceError,
    OpenAIRealtimeWebRTC,
    OpenAIRealtimeWebSocket,
    RealtimeAgent,
    RealtimeSession,
    VoxwireError,
    tool,
)
from voxwire.carriers.base import CarrierClosed, CarrierRequest
from voxwire.carriers.browser import BrowserWebRTCCarrier, BrowserWebSocketCarrier
from voxwire.carriers.signalling import Answer
from voxwire.rtc.base import RtcOptions


async def play(name: str, given: str) -> str:
    result = globals()[name](**json.loads(given))
    return json.dumps(await result if inspect.isawaitable(result) else result)


def covered() -> dict[str, list[tuple[int, int]]]:
    import arcs

    return {path: sorted(found) for path, found in arcs.found.items()}


# -- what scenes share ----------------------------------------------------------------------------

looked_up: list[str] = []


@tool
def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: The city's name.
    """
    looked_up.append(city)
    js.document.body.dataset.city = city
    return f"It is sunny in {city}."


AGENT = RealtimeAgent("Ava", instructions="Talk about the weather.", tools=[get_weather])


async def until(condition: Callable[[], object], seconds: float = 15.0, so_far: object = None) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(
            f"waited {seconds:g} s in vain: {inspect.getsource(condition)} {so_far}"
        ) from None


def told(error: BaseException) -> dict[str, Any]:
    return {"type": type(error).__name__, "words": str(error), "status": getattr(error, "status", None)}


async def failing(work: Any) -> dict[str, Any]:
    """The error of something that has to fail."""
    try:
        await work
    except VoxwireError as error:
        return told(error)
    raise AssertionError("it did not fail")


class Log:
    """What a session told."""

    def __init__(self, session: RealtimeSession) -> None:
        self.pcm = bytearray()
        self.said: list[str] = []
        self.heard: list[str] = []
        self.names: list[str] = []
        session.on("audio", lambda event: self.pcm.extend(event.data))
        session.on("agent_end", lambda event: self.said.append(event.text) if event.text else None)
        session.on("user_transcript", lambda event: self.heard.append(event.text))
        for name in ("audio_start", "audio_stopped", "audio_interrupted", "error"):
            session.on(name, lambda _event, name=name: self.names.append(name))

    def loud_ms(self) -> float:
        """How much of the audio is no silence, ms."""
        frames = (self.pcm[start : start + 960] for start in range(0, len(self.pcm), 960))
        return 20.0 * sum(max(map(abs, array("h", bytes(frame))), default=0) > 1000 for frame in frames)


class Watched:
    """The page's own functions, watched: what was opened has to be given back."""

    NAMES = ("RTCPeerConnection", "AudioContext")

    def __init__(self) -> None:
        js.eval(
            """
            window.made ??= (() => {
              const made = { streams: [], RTCPeerConnection: [], AudioContext: [] };
              const devices = navigator.mediaDevices, real = devices.getUserMedia.bind(devices);
              devices.getUserMedia = async (...given) => {
                const stream = await real(...given);
                made.streams.push(stream);
                return stream;
              };
              for (const name of ["RTCPeerConnection", "AudioContext"]) {
                window[name] = new Proxy(window[name], {
                  construct(kind, given) { const object = new kind(...given); made[name].push(object); return object; },
                });
              }
              return made;
            })();
            for (const list of Object.values(window.made)) list.length = 0;
            """
        )

    def now(self) -> dict[str, Any]:
        made = js.window.made
        return {
            "microphones": [str(t.readyState) for s in made.streams for t in s.getTracks()],
            "connections": [str(each.connectionState) for each in made.RTCPeerConnection],
            "contexts": [str(each.state) for each in made.AudioContext],
        }

    async def given_back(self) -> dict[str, Any]:
        def closed() -> bool:
            return all(state == "closed" for state in self.now()["contexts"])

        await until(closed)
        return self.now()


# -- WebRTC -----------------------------------------------------------------------------------------


async def conversation(url: str, key: str) -> dict[str, Any]:
    """A session as a page has it by default: a typed question, a tool, a spoken answer; mute; the end."""
    watched = Watched()
    session = RealtimeSession(AGENT, model="gpt-realtime", url=url, api_key=key)
    transport = session.transport
    log = Log(session)
    await session.mute(True)
    async with session:
        call_id = transport.call_id
        (sender,) = transport._link.carrier.native.getSenders()
        muted = [sender.track.enabled]
        await session.mute(False)
        muted.append(sender.track.enabled)
        await session.send_message("What is the weather in Tokyo?")
        await until(lambda: "audio_stopped" in log.names, 25)
        heard_ms = transport.heard_ms
        await until(lambda: transport.get_stats().packets_received > 0)
        during = watched.now()
        stats = transport.get_stats()
        await session.send_message("Thank you, goodbye.")
        await until(lambda: log.names.count("audio_start") == 2, so_far=log.__dict__ | {"pcm": 0})
        await session.interrupt()
        await until(lambda: "audio_interrupted" in log.names)
    after = await watched.given_back()
    return {
        "kind": type(transport).__name__,
        "status": transport.status,
        "call_id": call_id,
        "muted": muted,
        "tool": looked_up[-1],
        "shown": str(js.document.body.dataset.city),
        "said": log.said[0],
        "names": log.names,
        "loud_ms": log.loud_ms(),
        "heard_ms": heard_ms,
        "during": during,
        "after": after,
        "packets": [stats.packets_sent, stats.packets_received],
        "rtt_ms": stats.rtt_ms,
        "last_level": transport.get_stats().output_level,
    }


async def own_stream(url: str, key: str, recording: str, prompt: str) -> dict[str, Any]:
    """The page's own stream is sent, and its own element plays; both stay its own."""
    watched = Watched()
    context = js.AudioContext.new()
    await context.resume()
    data = await (await js.fetch(recording)).arrayBuffer()
    buffer = await context.decodeAudioData(data)
    out = context.createMediaStreamDestination()
    element = js.document.createElement("audio")
    transport = OpenAIRealtimeWebRTC(
        base_url=url, api_key=key, media_stream=out.stream, audio_element=element, echo_cancellation="require"
    )
    transcription = {"model": "gpt-4o-mini-transcribe", "prompt": prompt}
    session = RealtimeSession(
        AGENT, transport=transport, config={"audio": {"input": {"transcription": transcription}}}
    )
    log = Log(session)
    async with session:
        question = context.createBufferSource()
        question.buffer = buffer
        question.connect(out)
        question.start()
        await until(lambda: log.said, 25)
        playing = {"paused": element.paused, "stream": bool(element.srcObject)}
        await session.mute(True)
        enabled = out.stream.getAudioTracks()[0].enabled
    (track,) = out.stream.getAudioTracks()
    result = {
        "heard": log.heard,
        "said": log.said,
        "playing": playing,
        "left": bool(element.srcObject),
        "enabled": enabled,
        "track": str(track.readyState),
        "opened": watched.now()["microphones"],
    }
    await context.close()
    return result


async def tones(low: float, high: float) -> dict[str, Any]:
    """What the tap makes of two tones at the sample rate of this machine: levels in dBFS, at 24 kHz."""
    from voxwire.carriers.browser_audio import PageSpeaker
    from voxwire.media.levels import rms_dbfs

    levels: dict[str, Any] = {}
    for name, hertz in (("low", low), ("high", high)):
        context = js.AudioContext.new()
        await context.resume()
        tone, out = context.createOscillator(), context.createMediaStreamDestination()
        tone.frequency.value = hertz
        tone.connect(out)
        tone.start()
        frames: list[bytes] = []
        speaker = PageSpeaker(frames.append, audible=False)
        await speaker.prepare()
        speaker.take(out.stream.getAudioTracks()[0])
        await until(
            lambda frames=frames: len(frames) >= 60,
            so_far=(name, len(frames), str(speaker._context.state), str(context.state)),
        )
        speaker.close()
        pcm = array("h", b"".join(frames[30:60]))
        crossings = sum(a < 0 <= b for a, b in itertools.pairwise(pcm))
        levels[name] = {"dbfs": rms_dbfs(pcm.tobytes()), "hertz": crossings / (len(pcm) / 24_000)}
        levels["rate"] = context.sampleRate
        levels["sizes"] = sorted({len(frame) for frame in frames})
        await context.close()
    return levels


async def nonsense(_request: CarrierRequest, _offer: str) -> Answer:
    return Answer("v=0")


async def refusals(url: str, key: str, nowhere: str) -> dict[str, Any]:
    """What keeps a call from being made, and what is left open then: nothing."""
    watched = Watched()

    def connect(api_key: str | None = key, base_url: str = url, **options: Any) -> Any:
        return failing(OpenAIRealtimeWebRTC(api_key=api_key, base_url=base_url, **options).connect())

    found = {
        "standard": await connect("sk-page"),
        "in a header": await connect(None, headers={"Authorization": "Bearer sk-page"}),
        "unknown": await connect("ek_unknown"),
        "nowhere": await connect(base_url=nowhere),
        "no such place": await connect(base_url=f"{url}/nothing"),
        "timeout": await connect(open_timeout=0.001),
        "ports": await connect(rtc_options=RtcOptions(ports=(1, 2))),
        "ice": await connect(ice_servers=["stun:"]),
        "bad answer": await connect(carrier=lambda: BrowserWebRTCCarrier(signalling=nonsense)),
    }
    for name, options in {
        "source": {"audio_input": object()},
        "sink": {"audio_output": object()},
        "backend": {"backend": "aiortc"},
        "proxy": {"proxy": "http://127.0.0.1:1"},
        "empty stream": {"media_stream": js.MediaStream.new()},
    }.items():
        try:
            await OpenAIRealtimeWebRTC(api_key=key, base_url=url, **options).connect()
        except VoxwireError as error:
            found[name] = told(error)
    after = await watched.given_back()
    return {"found": found, "after": after}


async def standard_key(url: str, key: str) -> str | None:
    """A standard key, allowed: the session goes along with the offer, in a form."""
    transport = OpenAIRealtimeWebRTC(
        base_url=url,
        api_key=key,
        use_insecure_api_key=True,
        audio_input=None,
        audio_output=None,
        ice_servers=[{"urls": "turn:127.0.0.1:9", "username": "u", "credential": "c"}],
        rtc_options=RtcOptions(gather_timeout=0.2),  # nobody answers there
    )
    await transport.connect(initial_session_config={"instructions": "Be brief."})
    call_id, instructions = transport.call_id, transport.session_config["instructions"]
    await transport.close()
    return f"{call_id} {instructions}"


class Receiver:
    """A receiver of a carrier's."""

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.ends: list[CarrierClosed] = []
        self.states: list[str] = []
        self.frames = 0

    def message(self, data: str | bytes, /) -> None:
        self.messages.append(data)

    def closed(self, how: CarrierClosed, /) -> None:
        self.ends.append(how)

    def media(self, _pcm: bytes, /) -> None:
        self.frames += 1

    def media_state(self, state: str, _reason: str, /) -> None:
        self.states.append(state)


def calling(url: str, key: str) -> CarrierRequest:
    return CarrierRequest(f"{url}/realtime/calls", {"Authorization": f"Bearer {key}"})


async def another_connection(url: str, key: str, function: str) -> dict[str, Any]:
    """`change_peer_connection` sees the track and the channel, and gives another connection, or none."""
    seen: dict[str, Any] = {}

    def change(connection: Any) -> Any:
        seen["senders"] = connection.getSenders().length
        seen["first"] = connection
        if function == "same":
            return connection
        if function == "null":
            return js.eval("null")
        if function == "wrong":
            return js.Object.new()
        seen["second"] = js.RTCPeerConnection.new()
        return seen["second"]

    async def change_later(connection: Any) -> Any:
        await asyncio.sleep(0)
        return change(connection)

    hook: Any = change_later if function == "later" else change
    carrier = BrowserWebRTCCarrier(change_peer_connection=hook)
    receiver = Receiver()
    try:
        await carrier.open(calling(url, key), receiver)
    except VoxwireError as error:
        return told(error)
    await until(lambda: receiver.messages)
    used = carrier.native
    result = {
        "senders": seen["senders"],
        "second is used": "second" in seen and used.js_id == seen["second"].js_id,
        "first": str(seen["first"].connectionState),
        "first message": json.loads(receiver.messages[0])["type"],
    }
    await carrier.close()
    again = await failing(carrier.open(calling(url, key), receiver))
    result |= {
        "after": str(used.connectionState),
        "again": again,
        "ends": [end.code for end in receiver.ends],
    }
    return result


async def carrier_rules(url: str, key: str) -> dict[str, Any]:
    """Sending, its limits, and what a page cannot do."""
    carrier = BrowserWebRTCCarrier(microphone=False)
    receiver = Receiver()
    found: dict[str, Any] = {"before": [carrier.call_id, carrier.plays_itself, carrier.media_queued_ms()]}
    try:
        carrier.send("{}")
    except VoxwireError as error:
        found["send early"] = told(error)
    await carrier.open(calling(url, key), receiver)
    await until(lambda: receiver.frames > 10)
    peer = carrier._link.peer
    found["recvonly"] = [str(each.direction) for each in carrier.native.getTransceivers()]
    for name, wrong in {
        "too long": lambda: carrier.send("x" * 300_000),
        "send_media": lambda: carrier.send_media(bytes(960)),
        "adopt": lambda: peer.adopt(js.RTCPeerConnection.new()),
    }.items():
        try:
            wrong()
        except VoxwireError as error:
            found[name] = told(error)
    found["answer"] = await failing(peer.answer("v=0"))
    carrier.mute_media(True)
    event = json.dumps({"type": "input_audio_buffer.append", "audio": "A" * 48_000, "padding": "x" * 12_000})
    for _ in range(8):
        carrier.send(event)
    await carrier.drain()
    found["queue"] = [carrier.media_queued_ms(), peer.sent_ms, peer.queued_ms]
    carrier.pause_reading()
    before = len(receiver.messages)
    carrier.send('{"type": "no_such_event"}')
    await asyncio.sleep(0.3)
    found["paused"] = len(receiver.messages) - before
    carrier.resume_reading()
    await until(lambda: len(receiver.messages) > before)
    await until(lambda: carrier.stats().packets_received > 0)
    peer._channel.close()
    try:
        carrier.send("{}")
    except VoxwireError as error:
        found["send while it closes"] = told(error)
    await carrier.close()
    await carrier.close()
    found["ends"] = [[end.code, end.clean] for end in receiver.ends]
    found["states"] = receiver.states
    try:
        carrier.send("{}")
    except VoxwireError as error:
        found["send late"] = told(error)
    return found


async def no_microphone(url: str, key: str) -> dict[str, Any]:
    """A microphone that is not there; and one that is there too late for a caller who went away."""
    watched = Watched()
    carrier = BrowserWebRTCCarrier(microphone={"deviceId": {"exact": "none such"}})
    missing = await failing(carrier.open(calling(url, key), Receiver()))
    assert issubclass(DeviceError, VoxwireError)
    transport = OpenAIRealtimeWebRTC(base_url=url, api_key=key, echo_cancellation=False)
    connecting = asyncio.ensure_future(transport.connect())
    await until(lambda: transport._link is not None)
    await asyncio.sleep(0)
    await transport.close()
    gone = await failing(connecting)
    await until(lambda: watched.now()["microphones"] == ["ended"])
    return {"missing": missing, "gone": gone, "after": await watched.given_back()}


async def waits_for_the_end(url: str, key: str, kind: str) -> dict[str, Any]:
    """A session that the server ends; `window.connected` says when it is ready for that."""
    if kind == "webrtc":
        transport: Any = OpenAIRealtimeWebRTC(base_url=url, api_key=key, audio_input=None)
    else:
        transport = OpenAIRealtimeWebSocket(url=url, api_key=key)
    session = RealtimeSession(RealtimeAgent("Ava"), transport=transport)
    await session.connect()
    js.window.connected = True
    how = await session.wait_closed()
    js.window.connected = False
    result = {"code": how.code, "reason": how.reason, "error": str(how.error)}
    await session.close()
    return result


async def blocked_sound(url: str, key: str) -> dict[str, Any]:
    """In a page that nobody has touched: it connects, and is silent until the first click."""
    watched = Watched()
    transport = OpenAIRealtimeWebRTC(base_url=url, api_key=key, audio_input=None)
    session = RealtimeSession(AGENT, transport=transport)
    log = Log(session)
    async with session:
        await session.send_message("What is the weather in Tokyo?")
        await until(lambda: log.said, 25)
        before = {"pcm": len(log.pcm), "contexts": watched.now()["contexts"]}
        js.console.log("waiting")  # for the click
        await until(lambda: str(js.window.made.AudioContext[0].state) == "running", 20)
        await session.send_message("What is the weather in Tokyo?")
        await until(lambda: log.loud_ms() > 300, 25)
    return {"before": before, "after": log.loud_ms()}


# -- WebSocket --------------------------------------------------------------------------------------


async def websocket_turn(url: str, key: str) -> dict[str, Any]:
    session = RealtimeSession(AGENT, transport="websocket", url=url, api_key=key, model="gpt-realtime")
    log = Log(session)
    async with session:
        await session.send_message("What is the weather in London?")
        await until(lambda: log.said, 25)
        await until(lambda: log.loud_ms() > 300)
        tone = array("h", (int(3000 * math.sin(n / 10)) for n in range(4800))).tobytes()
        await session.send_audio(tone)
    return {"said": log.said, "tool": looked_up[-1], "status": session.transport.status, "names": log.names}


async def websocket_refusals(url: str, key: str, nowhere: str, silent: str) -> dict[str, Any]:
    def connect(api_key: str | None = key, address: str = url, **options: Any) -> Any:
        return failing(OpenAIRealtimeWebSocket(api_key=api_key, url=address, **options).connect())

    found = {
        "standard": await connect("sk-page"),
        "unknown": await connect("ek_unknown"),
        "nowhere": await connect(address=nowhere),
        "silent": await connect(address=silent, open_timeout=0.5),
        "header": await connect(headers={"X-Team": "voice"}),
        "bad key": await connect("ek_with space"),
    }
    transport = OpenAIRealtimeWebSocket(api_key=key, url=silent, open_timeout=20)
    connecting = asyncio.ensure_future(transport.connect())
    await until(lambda: transport._link is not None)
    await asyncio.sleep(0)
    await transport.close()
    found["closed"] = await failing(connecting)
    return found


async def websocket_rules(url: str, key: str) -> dict[str, Any]:
    carrier = BrowserWebSocketCarrier()
    receiver = Receiver()
    found: dict[str, Any] = {}
    for name in ("send", "drain"):
        try:
            carrier.send("{}") if name == "send" else await carrier.drain()
        except VoxwireError as error:
            found[name] = told(error)
    request = CarrierRequest(
        f"{url}?model=gpt-realtime", {"Authorization": f"Bearer {key}"}, max_message_bytes=100_000
    )
    await carrier.open(request, receiver)
    await until(lambda: receiver.messages)
    carrier.send("no JSON")
    await carrier.drain()
    await until(lambda: len(receiver.messages) >= 2)
    await carrier.close(1001, "going away")
    found["types"] = [json.loads(message)["type"] for message in receiver.messages]
    found["ends"] = [[end.code, end.clean] for end in receiver.ends]
    short, other = BrowserWebSocketCarrier(), Receiver()
    await short.open(CarrierRequest(request.url, request.headers, max_message_bytes=10), other)
    await until(lambda: other.ends)
    found["too long"] = [other.ends[0].code, other.ends[0].reason]
    return found
