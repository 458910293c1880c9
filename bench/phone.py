"""The phone line of the embedded server: calls at once, set-up, delay, and the beat of what it sends.

    python phone.py calls --vad silero --counts 20,40,60
    python phone.py setup --calls 50
    python phone.py path --calls 8

The server is in a process of its own (`phone_server.py`), on a core of its own where there are two. The callers are
`callers.py`, none of it voxwire's; all of them talk all the time (PCMU), and get a reply that does not end. A
webhook handler here accepts their calls over REST.

calls   CPU time of the server, ms per second and call; of the RTP packets it sends: how late they are (against the
        earliest of their stream, p50 and p99), how many are missing, and the standard deviation of their distance, the
        worst stream's. The kernel's timestamps at the receiver, so that the receiver itself does not count.
        `heard`: the share of what was sent that the server took, `concealed`: what it made up, ms per second and call.
setup   from the INVITE to its 200, one call after the other and 20 at once, accepted by the server itself, or over
        the webhook and REST.
path    what one direction adds between a frame's last sample and where its first one is played: a packet to the session's input,
        and a reply's first audio to a packet, for `callers.py`; and from mouth to ear with a `SipPhone`, whose own jitter
        buffer counts, too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median, pstdev
from typing import Any, Self

import numpy as np
from callers import FRAME, Caller, Phones, talk
from common import percentile, print_json
from phone_server import Recordings, settings

from media import RATE, speech
from voxwire.audio import Resampler
from voxwire.audio.g711 import decode_ulaw, encode_ulaw
from voxwire.calls import Calls, IncomingCall, webhook_app
from voxwire.server import EmbeddedServer
from voxwire.server.sip.phone import SipPhone

SECRET = b"bench" * 8
DETECTION = {"type": "server_vad", "create_response": False, "interrupt_response": False}


class Application:
    """Answers the phone: takes the webhook, accepts over REST, and has the agent talk.

    Attributes:
        pause: seconds from the acceptance of a call to its reply.
        detection: turn detection of the sessions it accepts; None has none.
        talks: whether the agent is to begin at once.
        problems: what went wrong.
    """

    def __init__(self, detection: dict[str, Any] | None, *, talks: bool) -> None:
        self.detection = detection
        self.talks = talks
        self.pause = 0.0
        self.talking = 0
        self.problems: list[Exception] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._calls: Calls | None = None
        self._ws = ""

    def connect(self, http: str, ws: str) -> None:
        """Where the server is."""
        self._calls, self._ws = Calls("sk-bench", base_url=http, proxy=None), ws

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop."""
        import uvicorn

        app = webhook_app(
            self._incoming, secret=SECRET, on_error=lambda error, _event: self.problems.append(error)
        )
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[method-assign,attr-defined]
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
        serving = asyncio.create_task(server.serve([self._listener]))
        await stop.wait()
        server.should_exit = True
        await serving
        await app.close()
        if self._calls is not None:
            await self._calls.close()

    async def _incoming(self, call: IncomingCall) -> None:
        assert self._calls is not None
        session = {"type": "realtime", "audio": {"input": {"turn_detection": self.detection}}}
        await self._calls.accept(call.call_id, session)
        if self.talks:
            await asyncio.sleep(self.pause)
            await self._begin(call.call_id)
        self.talking += 1

    async def _begin(self, call_id: str) -> None:
        from websockets.asyncio.client import connect

        headers = {"Authorization": "Bearer sk-bench"}
        async with connect(f"{self._ws}?call_id={call_id}", additional_headers=headers, proxy=None) as socket:
            await socket.send('{"type":"response.create"}')
            async for message in socket:
                if json.loads(message)["type"] == "output_audio_buffer.started":
                    return


@contextlib.contextmanager
def in_thread(application: Application) -> Iterator[None]:
    """Run it beside what blocks."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(application.run(stop)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


class Server:
    """`phone_server.py`, running."""

    def __init__(self, vad: str, application: Application | None = None) -> None:
        self._options = ["--vad", vad, *(("--webhook", application.url) if application else ())]
        self._application = application

    def __enter__(self) -> Self:
        script = str(Path(__file__).with_name("phone_server.py"))
        self.process = subprocess.Popen(
            [sys.executable, script, *self._options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        _pin(self.process.pid, 0)
        self.addresses = self.told()
        if self._application is not None:
            self._application.connect(self.addresses["http"], self.addresses["ws"])
        self.phones = Phones(self.addresses["sip"])
        return self

    def ask(self) -> None:
        """Have it say how it stands; see `phone_server._state`. `told` has the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told_now(self) -> dict[str, Any]:
        """Ask, and wait for the answer."""
        self.ask()
        return self.told()

    def told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        read: dict[str, Any] = json.loads(self.process.stdout.readline())
        return read

    def __exit__(self, *_exc: object) -> None:
        assert self.process.stdin is not None
        self.phones.close()
        self.process.stdin.close()
        self.process.wait(20)


CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def _pin(pid: int, which: int) -> None:
    """Give a process a core of its own, where the system can."""
    if len(CORES) > 1:
        os.sched_setaffinity(pid, {CORES[which]})


def ulaw_frames() -> list[bytes]:
    """The recordings, as PCMU of 20 ms."""
    pcm = Resampler(RATE, 8000).feed(speech(1), last=True)
    law = encode_ulaw(pcm)
    return [law[at : at + FRAME] for at in range(0, len(law) - FRAME, FRAME)]


# -- calls at once ----------------------------------------------------------------------------------


def calls(vad: str, counts: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """More and more calls; ends with the first number that the server does not stand."""
    frames, rows = ulaw_frames(), []
    application = Application(None if vad == "none" else DETECTION, talks=True)
    with in_thread(application), Server("energy" if vad == "none" else vad, application) as server:
        callers: list[Caller] = []
        for count in counts:
            while len(callers) < count:
                callers += server.phones.call(min(5, count - len(callers)))
                _until(lambda: application.talking == len(callers), application)  # noqa: B023
                talk(callers, frames, 0.2)
            rows.append(_window(server, callers, frames, seconds))
            if not rows[-1]["stands"]:
                break
        server.phones.hang_up(callers)
    return rows


def _until(done: Callable[[], bool], application: Application, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        if application.problems or time.monotonic() > end:
            raise RuntimeError(f"the calls did not come about: {application.problems or 'it takes too long'}")
        time.sleep(0.002)


def _window(server: Server, callers: list[Caller], frames: list[bytes], seconds: float) -> dict[str, Any]:
    def begin() -> None:
        for caller in callers:
            caller.forget()
        server.ask()

    # The second and a half before is for the bulk of the replies, which comes at once.
    talk(callers, frames, 2.0, begin)
    own = talk(callers, frames, seconds, server.ask)
    before, after = server.told(), server.told()
    streams = [_stream(caller) for caller in callers if len(caller.times) > 1]
    late = [value for stream in streams for value in stream["late_ms"]]
    count, took = len(callers), after["at"] - before["at"]
    missing = sum(stream["missing"] for stream in streams) + (count - len(streams)) * round(seconds * 50)
    row = {
        "calls": count,
        "cpu_ms": (after["cpu"] - before["cpu"]) * 1000 / took / count,
        "core": (after["cpu"] - before["cpu"]) / took,
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "late_max_ms": max(late),
        "jitter_ms": max(stream["jitter_ms"] for stream in streams),
        "jitter_p50_ms": median(stream["jitter_ms"] for stream in streams),
        "missing": missing,
        "heard": (after["received"] - before["received"]) / took / count / 50,
        "concealed_ms": (after["concealed_ms"] - before["concealed_ms"]) / took / count,
        "skipped": after["skipped"] - before["skipped"],
        "callers_late_ms": own * 1000,
    }
    row["stands"] = row["late_p99_ms"] < 20 and missing == 0 and row["skipped"] == 0
    return row


def _stream(caller: Caller) -> dict[str, Any]:
    """Of one stream: lateness of its packets, jitter, and what is missing (lost, or never sent)."""
    sent = [(stamp - caller.stamps[0] & 0xFFFFFFFF) / 8000 for stamp in caller.stamps]
    offsets = [at - due for at, due in zip(caller.times, sent, strict=True)]
    distances = [(b - a) * 1000 for a, b in zip(caller.times, caller.times[1:], strict=False)]
    first = min(offsets)
    return {
        "late_ms": [(offset - first) * 1000 for offset in offsets],
        "jitter_ms": pstdev(distances),
        "missing": round(sent[-1] * 50) + 1 - len(sent),
    }


# -- set-up -------------------------------------------------------------------------------------------


def setup(count: int) -> dict[str, dict[str, Any]]:
    """Calls that are hung up once they are answered."""
    rows = {}
    for name in ("by itself", "webhook and REST"):
        application = Application(DETECTION, talks=False) if name != "by itself" else None
        with contextlib.ExitStack() as stack:
            if application is not None:
                stack.enter_context(in_thread(application))
            server = stack.enter_context(Server("silero", application))
            for at_once in (1, 20):
                _answered(server, at_once)  # what is loaded with the first call is not what a call takes
                took: list[float] = []
                while len(took) < count:
                    took += _answered(server, at_once)
                rows[f"{name}, {at_once} at once"] = {
                    "calls": len(took),
                    "p50_ms": percentile(took, 0.5),
                    "p99_ms": percentile(took, 0.99),
                    "max_ms": max(took),
                }
    return rows


def _answered(server: Server, at_once: int) -> list[float]:
    callers = server.phones.call(at_once)
    server.phones.hang_up(callers)
    while server.told_now()["calls"]:
        time.sleep(0.005)
    return [(caller.answered_at - caller.invited_at) * 1000 for caller in callers]


# -- from mouth to ear -----------------------------------------------------------------------------------


class Ear:
    """Notes when each 20 ms came, and what they were."""

    def __init__(self, then: Callable[[bytes], object] = len) -> None:
        self.pcm = bytearray()
        self.when: list[float] = []
        self._then = then

    def __call__(self, pcm: bytes) -> None:
        self.pcm += pcm
        self.when.append(time.monotonic())
        self._then(pcm)

    @property
    def start(self) -> float:
        """When its first sample was, by its beat."""
        return median(at - number * 0.02 for number, at in enumerate(self.when))


def delays(said: bytes, began: float, heard: bytes, start: float) -> list[float]:
    """How much later each second of `said` (24 kHz, its first frame complete at `began`) was heard, ms."""
    mouth, ear = (np.frombuffer(pcm, "<i2").astype(float) for pcm in (said, heard))
    found = []
    for at in range(RATE // 2, min(len(mouth), len(ear)) - 2 * RATE, RATE):
        piece = mouth[at : at + RATE]
        if np.sqrt(np.mean(piece**2)) < 50:
            continue
        low = max(0, at - round((start - began) * RATE) - RATE // 10)
        around = ear[low : low + 2 * RATE]
        match = np.fft.irfft(np.fft.rfft(around, 1 << 17) * np.conj(np.fft.rfft(piece, 1 << 17)))
        lag = int(np.argmax(match[: len(around) - RATE + 1]))
        found.append((start - began + (low + lag - at) / RATE) * 1000)
    return found


async def path(count: int, seconds: float) -> dict[str, dict[str, float]]:
    """Every call a phase of its own."""
    application, stop = Application(None, talks=True), asyncio.Event()
    voice = Recordings()
    running = asyncio.create_task(application.run(stop))
    rows: dict[str, list[float]] = {}
    async with EmbeddedServer(**settings("energy", voice, application.url)) as server:
        application.connect(server.http_url, server.url)
        for kind in (_by_hand, _by_phone):
            for number in range(count):
                phase = 0.02 * number / count
                application.pause = 0.1 + phase
                talking = application.talking + 1
                found = await kind(server, voice, lambda: application.talking >= talking, phase, seconds)  # noqa: B023
                for name, values in found.items():
                    rows.setdefault(name, []).extend(values)
    stop.set()
    await running
    return {
        name: {
            "p50_ms": percentile(values, 0.5),
            "p95_ms": percentile(values, 0.95),
            "min_ms": min(values),
            "max_ms": max(values),
        }
        for name, values in rows.items()
    }


def _listen(server: EmbeddedServer) -> Ear:
    """At the input of the newest call's session."""
    call: Any = list(server.service.calls._calls.values())[-1]
    ear = Ear(call._connection._heard)
    call._media.listen(ear)
    return ear


async def _by_hand(
    server: EmbeddedServer, voice: Recordings, ready: Callable[[], bool], phase: float, seconds: float
) -> dict[str, list[float]]:
    phones, frames = Phones(server.sip_address), ulaw_frames()[25:]
    said = Resampler(8000, RATE).feed(decode_ulaw(b"".join(frames)), last=True)
    (caller,) = await asyncio.to_thread(phones.call, 1)
    caller.payloads = []
    await _wait(ready)
    ear = _listen(server)

    def speak() -> float:
        began = time.monotonic() + 0.002 + phase
        for number in range(round(seconds * 50)):
            time.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
            caller.say(frames[number % len(frames)])
            caller.hear()
        return began

    began = await asyncio.to_thread(speak)
    caller.hear()
    clock = time.monotonic() - time.time()
    law, when = _from_speech(caller)
    start = median(at - number * 0.02 for number, at in enumerate(when)) + clock
    reply = Resampler(8000, RATE).feed(decode_ulaw(law), last=True)
    inward = delays(said, began, bytes(ear.pcm), ear.start)
    outward = delays(speech(1), voice.began[-1], reply, start)
    await asyncio.to_thread(phones.hang_up, [caller])
    phones.close()
    return {"a packet to the session": inward, "a reply to a packet": outward}


def _from_speech(caller: Caller) -> tuple[bytes, list[float]]:
    """What came, in order, and when."""
    assert caller.payloads is not None
    return b"".join(caller.payloads), list(caller.times)


async def _by_phone(
    server: EmbeddedServer, voice: Recordings, ready: Callable[[], bool], phase: float, seconds: float
) -> dict[str, list[float]]:
    pcm = speech(1)[RATE:]
    answered, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    ear = Ear()

    async def phone() -> float:
        async with SipPhone(codecs=["PCMU"]) as own:
            call = await own.call(f"sip:agent@{server.sip_address}")
            call.media.listen(ear)
            loop.call_soon_threadsafe(answered.set)
            await asyncio.to_thread(go.wait)
            began = time.monotonic() + 0.002 + phase
            for number in range(round(seconds * 50)):
                await asyncio.sleep(began + number * 0.02 - time.monotonic())
                at = number * RATE // 50 * 2
                call.media.write(pcm[at : at + RATE // 50 * 2])
            return began

    # A thread has a loop of its own, and with it a 20 ms clock of its own.
    calling = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(phone())))
    await answered.wait()
    await _wait(ready)
    session = _listen(server)
    go.set()
    began = await calling
    return {
        "a SipPhone's mouth to the session": delays(pcm, began, bytes(session.pcm), session.start),
        "a reply to a SipPhone's ear": delays(speech(1), voice.began[-1], bytes(ear.pcm), ear.start),
    }


async def _wait(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not done():  # noqa: ASYNC110 - polled: what it waits for is no event
            await asyncio.sleep(0.005)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("calls", "setup", "path"))
    parser.add_argument("--vad", choices=("none", "energy", "silero"), default="none")
    parser.add_argument("--counts", default="20,40,60,80,100", help="of calls, one after the other")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--calls", type=int, default=20, help="for setup and path")
    given = parser.parse_args()
    if given.what == "path":
        print_json(asyncio.run(path(given.calls, given.seconds)))
        return
    _pin(os.getpid(), -1)
    if given.what == "setup":
        print_json(setup(given.calls))
    else:
        counts = [int(count) for count in given.counts.split(",")]
        print_json(calls(given.vad, counts, given.seconds))


if __name__ == "__main__":
    main()
