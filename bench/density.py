"""Many talking sessions in one process, over real sockets and in real time.

Every session receives and sends a frame of 20 ms (16 bit, 24 kHz) every 20 ms; its peer is `peer.py`, on another
core where there is one. Measured: CPU time of this process, ms per second and session; how late frames
arrive (from the peer's send to the consumer) and leave (after they were due); memory that a session adds.

    python density.py --variant "voxwire session, picows" --sessions 100 --seconds 5
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import gc
import json
import os
import resource
import struct
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

from common import FRAME, MODEL, has, official_session, percentile, print_json

Send = Callable[[bytes], Awaitable[Any]]
Opened = tuple[Send, Callable[[], Awaitable[Any]]]
Heard = Callable[[bytes], None]

UPDATE = '{"type":"session.update","session":{"type":"realtime","instructions":"You are helpful."}}'


async def bare_websockets(url: str, heard: Heard) -> Opened:
    """What anybody would write: `websockets`, `json`, `base64`."""
    from websockets.asyncio.client import connect

    socket = await connect(url, compression=None)
    await socket.send(UPDATE)

    async def read() -> None:
        async for message in socket:
            event = json.loads(message)
            if event["type"] == "response.output_audio.delta":
                heard(base64.b64decode(event["delta"]))

    async def send(pcm: bytes) -> None:
        audio = base64.b64encode(pcm).decode("ascii")
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    task = asyncio.ensure_future(read())

    async def close() -> None:
        await socket.close()
        await task

    return send, close


async def bare_picows(url: str, heard: Heard) -> Opened:
    """The same on `picows`."""
    from picows import WSListener, WSMsgType, ws_connect

    class Listener(WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type != WSMsgType.TEXT:
                return
            event = json.loads(frame.get_payload_as_utf8_text())
            if event["type"] == "response.output_audio.delta":
                heard(base64.b64decode(event["delta"]))

    transport, _ = await ws_connect(Listener, url)
    transport.send(WSMsgType.TEXT, UPDATE)

    async def send(pcm: bytes) -> None:
        audio = base64.b64encode(pcm).decode("ascii")
        transport.send(WSMsgType.TEXT, json.dumps({"type": "input_audio_buffer.append", "audio": audio}))

    async def close() -> None:
        transport.disconnect()
        await transport.wait_disconnected()

    return send, close


async def official(url: str, heard: Heard) -> Opened:
    """`openai-agents`: its model, its session, its way to consume."""
    session, _ = await official_session(url)
    await session.enter()

    async def read() -> None:
        async for event in session:
            if event.type == "audio":
                heard(event.audio.data)

    task = asyncio.ensure_future(read())

    async def close() -> None:
        await session.close()
        await task

    return session.send_audio, close


def _transport(url: str, parts: frozenset[str]) -> Any:
    """With the carrier and the codec that a variant asks for."""
    from voxwire.transports.websocket import OpenAIRealtimeWebSocket

    settings: dict[str, Any] = {}
    if "picows" in parts:
        from voxwire.carriers.picows import PicowsCarrier

        settings["connect"] = PicowsCarrier
    if "codec" in parts:
        from voxwire.protocol.codec import fast_codec

        settings["codec"] = fast_codec()
    return OpenAIRealtimeWebSocket(url=url, api_key="bench", **settings)


def voxwire_transport(*parts: str) -> Callable[[str, Heard], Awaitable[Opened]]:
    """The thin client: a transport and a listener."""

    async def opened(url: str, heard: Heard) -> Opened:
        transport = _transport(url, frozenset(parts))
        transport.on("audio", lambda event: heard(event.data))
        await transport.connect(initial_session_config={"instructions": "You are helpful."})
        return transport.send_audio, transport.close

    return opened


def voxwire_session(*parts: str, consumer: str = "async for") -> Callable[[str, Heard], Awaitable[Opened]]:
    """An agent in a session on a transport, consumed with `async for`, as the peer is, or by a listener."""

    async def opened(url: str, heard: Heard) -> Opened:
        from voxwire import RealtimeAgent
        from voxwire.session.session import RealtimeSession

        session: Any = RealtimeSession(
            RealtimeAgent(name="Bench", instructions="You are helpful."),
            transport=_transport(url, frozenset(parts)),
        )
        if consumer == "listener":
            session.on("audio", lambda event: heard(event.data))
            await session.connect()
            return session.send_audio, session.close
        events = session.__aiter__()

        async def read() -> None:
            async for event in events:
                if event.name == "audio":
                    heard(event.data)

        task = asyncio.ensure_future(read())
        await session.connect()

        async def close() -> None:
            await session.close()
            await task

        return session.send_audio, close

    return opened


VARIANTS: dict[str, tuple[Callable[[str, Heard], Awaitable[Opened]], frozenset[str]]] = {
    "bare websockets + json + base64": (bare_websockets, frozenset()),
    "bare picows + json + base64": (bare_picows, frozenset()),
    "bare picows + json + base64, uvloop": (bare_picows, frozenset({"uvloop"})),
    "openai-agents session": (official, frozenset({"agents"})),
    "openai-agents session, uvloop": (official, frozenset({"agents", "uvloop"})),
    "voxwire transport": (voxwire_transport(), frozenset()),
    "voxwire transport, picows": (voxwire_transport("picows"), frozenset()),
    "voxwire transport, fast": (voxwire_transport("picows", "codec"), frozenset({"uvloop", "codec"})),
    "voxwire session": (voxwire_session(), frozenset({"session"})),
    "voxwire session, listener": (voxwire_session(consumer="listener"), frozenset({"session"})),
    "voxwire session, picows": (voxwire_session("picows"), frozenset({"session"})),
    "voxwire session, picows, fast codec": (
        voxwire_session("picows", "codec"),
        frozenset({"session", "codec"}),
    ),
    "voxwire session, fast (picows, codec, uvloop)": (
        voxwire_session("picows", "codec"),
        frozenset({"session", "uvloop", "codec"}),
    ),
    "voxwire session, fast, listener": (
        voxwire_session("picows", "codec", consumer="listener"),
        frozenset({"session", "uvloop", "codec"}),
    ),
}
_MODULES = {"uvloop": "uvloop", "agents": "agents", "session": "voxwire.session.session", "codec": "msgspec"}


def available(name: str) -> bool:
    """Whether what a variant needs is installed."""
    return all(has(_MODULES[need]) for need in VARIANTS[name][1])


class Peer:
    """`peer.py`, running."""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("peer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = f"ws://127.0.0.1:{self._line()}/v1/realtime?model={MODEL}"
        _pin(self.process.pid, -1)
        return self

    def _line(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def heard(self) -> int:
        """Frames that arrived there so far."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def __exit__(self, *_exc: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def _pin(pid: int, which: int) -> None:
    """Give a process a core of its own, where the system can."""
    with contextlib.suppress(AttributeError, OSError):
        cores = sorted(os.sched_getaffinity(0 if pid == os.getpid() else pid))
        if len(cores) > 1:
            os.sched_setaffinity(pid, {cores[which]})


def _resident_kib() -> float:
    gc.collect()
    with contextlib.suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1024
    return float("nan")


async def talk(send: Send, begin: float, late: array[float]) -> None:
    """Speak in real time, as a microphone or a phone line does; a frame that is late is sent late."""
    loop = asyncio.get_running_loop()
    due = begin
    while True:
        due += 0.02
        await asyncio.sleep(due - loop.time())
        late.append(loop.time() - due)
        await send(FRAME)


async def measure(name: str, sessions: int, seconds: float, peer: Peer) -> dict[str, Any]:
    """One variant."""
    opener, loop = VARIANTS[name][0], asyncio.get_running_loop()
    inbound: array[float] = array("d")
    outbound: array[float] = array("d")
    clock = time.perf_counter

    def heard(pcm: bytes) -> None:
        (sent,) = struct.unpack_from("<d", pcm)
        inbound.append(clock() - sent)

    opened = [await opener(peer.url, heard)]
    tasks = [asyncio.ensure_future(talk(opened[0][0], loop.time(), outbound))]
    await asyncio.sleep(0.3)
    before_kib = _resident_kib()
    for number in range(1, sessions):
        opened.append(await opener(peer.url, heard))
        begin = loop.time() + (number * 7919 % 200) / 10_000
        tasks.append(asyncio.ensure_future(talk(opened[-1][0], begin, outbound)))
    await asyncio.sleep(0.5)

    first_in, first_out = len(inbound), len(outbound)
    heard_before = peer.heard()
    wall, cpu, kernel = time.perf_counter(), time.process_time(), os.times().system
    await asyncio.sleep(seconds)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    kernel = os.times().system - kernel
    late_in, late_out = inbound[first_in:], outbound[first_out:]
    arrived = peer.heard() - heard_before
    after_kib = _resident_kib()

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _, close in opened:
        await close()
    expected = sessions * wall * 50
    return {
        "sessions": sessions,
        "cpu_ms": cpu * 1000 / wall / sessions,
        "kernel_ms": kernel * 1000 / wall / sessions,
        "kib": (after_kib - before_kib) / max(1, sessions - 1),
        "in_p50_ms": percentile(late_in, 0.5) * 1000,
        "in_p99_ms": percentile(late_in, 0.99) * 1000,
        "out_p99_ms": percentile(late_out, 0.99) * 1000,
        "received": len(late_in) / expected,
        "sent": arrived / expected,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", choices=list(VARIANTS), required=True)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    needs = VARIANTS[given.variant][1]
    with Peer() as peer:
        _pin(os.getpid(), 0)
        work = measure(given.variant, given.sessions, given.seconds, peer)
        if "uvloop" in needs:
            import uvloop

            result = uvloop.run(work)
        else:
            result = asyncio.run(work)
    print_json(result)


if __name__ == "__main__":
    main()
