"""Twilio streams per core: calls on one side, the Realtime API on the other, in one process between them.

    python twilio.py --variant voxwire --streams 20 --seconds 5

The calls are in a process of their own (`twilio_callers.py`), and so is the model (`twilio_model.py`). Everybody talks all
the time, G.711 in frames of 20 ms, both ways. Measured here: CPU time of this process, ms per second and stream; how late
frames arrive at the caller and at the model, from the other end's send; the share of them that does.

bare      `websockets` and json: what comes from the caller is appended, what comes from the model is sent on. With marks:
          a mark is sent behind every frame, as one must who wants to know what was heard.
transport `TwilioRealtimeTransportLayer`: marks behind every frame, heard position, pacing, gaps filled.
session   an agent in a `RealtimeSession` on it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from common import MODEL, print_json

Serve = Callable[[Any, str], Awaitable[None]]
FORMAT = {"type": "audio/pcmu"}
UPDATE = json.dumps(
    {
        "type": "session.update",
        "session": {"type": "realtime", "audio": {"input": {"format": FORMAT}, "output": {"format": FORMAT}}},
    }
)


def bare(*, marks: bool) -> Serve:
    """The least that carries a call."""

    async def serve(phone: Any, url: str) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed

        sid, returned = "", ""
        async with connect(url, compression=None, proxy=None) as model:
            await model.send(UPDATE)

            async def reply() -> None:
                count = 0
                async for message in model:
                    event = json.loads(message)
                    if event["type"] == "response.output_audio.delta" and sid:
                        media = {"event": "media", "streamSid": sid, "media": {"payload": event["delta"]}}
                        await phone.send(json.dumps(media))
                        if marks:
                            count += 1
                            mark = {"event": "mark", "streamSid": sid, "mark": {"name": f"bench-{count}"}}
                            await phone.send(json.dumps(mark))

            task = asyncio.ensure_future(reply())
            with contextlib.suppress(ConnectionClosed):
                async for message in phone:
                    event = json.loads(message)
                    if event["event"] == "media":
                        append = {"type": "input_audio_buffer.append", "audio": event["media"]["payload"]}
                        await model.send(json.dumps(append))
                    elif event["event"] == "start":
                        sid = event["start"]["streamSid"]
                    elif event["event"] == "mark":
                        returned = event["mark"]["name"]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert not marks or returned

    return serve


def ours(*parts: str) -> Serve:
    """A transport, with what a variant asks for."""

    async def serve(phone: Any, url: str) -> None:
        from voxwire import RealtimeAgent, RealtimeSession, TwilioRealtimeTransportLayer

        settings: dict[str, Any] = {}
        if "fast" in parts:
            from voxwire.carriers.picows import PicowsCarrier
            from voxwire.protocol.codec import fast_codec

            settings = {"connect": PicowsCarrier, "codec": fast_codec()}
        transport = TwilioRealtimeTransportLayer(
            twilio_websocket=phone, url=url, api_key="bench", proxy=None, **settings
        )
        if "session" not in parts:
            await transport.connect()
            await phone.wait_closed()
            return
        agent = RealtimeAgent(name="Bench", instructions="You are helpful.")
        async with RealtimeSession(agent, transport=transport) as session:
            await session.wait_closed()

    return serve


VARIANTS: dict[str, Serve] = {
    "bare websockets + json": bare(marks=False),
    "bare, with marks": bare(marks=True),
    "transport": ours(),
    "session": ours("session"),
    "session, fast (picows to the model, codec, uvloop)": ours("session", "fast"),
}
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def _pin(pid: int, which: int) -> None:
    if len(CORES) > 1:
        os.sched_setaffinity(pid, {CORES[which]})


class Other:
    """A process at one of the ends, which is asked for its counters by a line."""

    def __init__(self, script: str, *options: str) -> None:
        path = str(Path(__file__).with_name(script))
        self.process = subprocess.Popen(
            [sys.executable, path, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _pin(self.process.pid, -1)
        self.first = self._line()

    async def ask(self) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return await asyncio.to_thread(self._line)

    def _line(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


async def measure(variant: str, streams: int, seconds: float) -> dict[str, Any]:
    """One variant."""
    from websockets.asyncio.server import serve

    model = Other("twilio_model.py")
    url = f"ws://127.0.0.1:{model.first}/v1/realtime?model={MODEL}"
    async with serve(lambda phone: VARIANTS[variant](phone, url), "127.0.0.1", 0, compression=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        callers = Other("twilio_callers.py", f"ws://127.0.0.1:{port}/", str(streams))
        await callers.ask()  # answered once all of them talk
        await asyncio.sleep(2.0)  # what was sent ahead, and learning what is normal
        await model.ask()
        await callers.ask()
        wall, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        heard, said = await callers.ask(), await model.ask()
        callers.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while server.connections:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    model.close()
    frames = streams * seconds * 50
    return {
        "streams": streams,
        "cpu_ms": cpu * 1000 / wall / streams,
        "core": cpu / wall,
        "to_caller_p50_ms": heard["p50_ms"],
        "to_caller_p99_ms": heard["p99_ms"],
        "to_model_p50_ms": said["p50_ms"],
        "to_model_p99_ms": said["p99_ms"],
        "to_caller": heard["frames"] / frames,
        "to_model": said["frames"] / frames,
        "marks": heard["marks"] / frames,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", choices=list(VARIANTS), required=True)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    _pin(os.getpid(), 0)
    work = measure(given.variant, given.streams, given.seconds)
    if "uvloop" in given.variant:
        import uvloop

        print_json(uvloop.run(work))
    else:
        print_json(asyncio.run(work))


if __name__ == "__main__":
    main()
