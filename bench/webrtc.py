"""Pairs of WebRTC peers in one process, over real sockets and in real time, beside stock aiortc.

    python webrtc.py --variant voxwire load --pairs 5 --messages 50
    python webrtc.py --variant aiortc path --network "5 % lost"
    python webrtc.py --variant voxwire cycles --cycles 500

Both ends of each pair are in this process. Every peer talks (the recordings of the demo, 24 kHz mono) and gets the
other's audio as 24 kHz mono.

load    the offering peers send messages of 400 bytes, too, which come back. CPU time, ms per second and peer; frames
        of 20 ms that arrive per second and peer (50: it keeps up); the round trip of a message; memory a peer adds.
path    through `voxwire.testing.FaultyRelay`, one pair at a time. Intelligibility (STOI, second by second where it
        fits best), and the delay from mouth to ear: from a frame's last sample to where its first one is played,
        network included. Of each second; `end` is the last one. Several pairs on the clean network begin at
        different phases of the 20 ms clock.
cycles  what is left after connecting and closing so many pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import psutil
from common import percentile, print_json

from media import FRAME, RATE, speech
from voxwire.testing import Faults, FaultyRelay, is_rtp

MESSAGE_BYTES = 400

if __name__ == "__main__":
    sys.path.pop(0)  # this folder: libwebrtc's module is called `webrtc`, too


class Pair(Protocol):
    """Two connected peers; `heard` counts their frames, `back` gets each message that was echoed.

    `listen` is called with what the answering one hears. With a relay, what is between them goes through it.
    """

    heard: int
    listen: Callable[[bytes], object]

    async def connect(self, back: Callable[[str], None], relay: FaultyRelay | None = None) -> None: ...
    def say(self, pcm: bytes) -> None: ...
    def send(self, text: str) -> None: ...
    async def close(self) -> None: ...


class Ours:
    """Two peers of `voxwire.rtc`."""

    backend: Any = "aiortc"

    def __init__(self) -> None:
        from voxwire.rtc import RtcOptions, peer_factory

        make, options = peer_factory(self.backend), RtcOptions(loopback=True)
        self.ends = [_End(), _End()]
        self.peers = [make(options, end) for end in self.ends]
        self.listen: Callable[[bytes], object] = len

    @property
    def heard(self) -> int:
        return sum(end.heard for end in self.ends)

    async def connect(self, back: Callable[[str], None], relay: FaultyRelay | None = None) -> None:
        left, right = self.peers
        self.ends[0].got, self.ends[1].got = back, right.send
        self.ends[1].listen = self.listen
        offer = await left.offer()
        answer = await right.answer(await relay.offer(offer) if relay else offer)
        await left.take_answer(await relay.answer(answer) if relay else answer)
        for end in self.ends:
            await end.open.wait()

    def say(self, pcm: bytes) -> None:
        for peer in self.peers:
            peer.send_audio(pcm)

    def send(self, text: str) -> None:
        self.peers[0].send(text)

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self.peers))


class OursOnLibwebrtc(Ours):
    backend = "wrtc"


class _End:
    """`RtcEvents` of one peer."""

    def __init__(self) -> None:
        self.heard = 0
        self.open = asyncio.Event()
        self.got: Callable[[str], None] = lambda _text: None
        self.listen: Callable[[bytes], object] = len

    def state(self, _state: str, _reason: str, /) -> None:
        return

    def channel(self, state: str, /) -> None:
        if state == "open":
            self.open.set()

    def message(self, data: Any, /) -> None:
        self.got(data)

    def audio(self, pcm: bytes, /) -> None:
        self.heard += 1
        self.listen(pcm)


class Stock:
    """Two `RTCPeerConnection`s as aiortc's examples use them."""

    def __init__(self) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection

        from voxwire.rtc.tracks import pcm_track

        self.heard = 0
        self.peers = [RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(2)]
        self.tracks = [pcm_track() for _ in self.peers]
        self.tasks: list[asyncio.Task[None]] = []
        self.open = asyncio.Event()
        self.listen: Callable[[bytes], object] = len

    async def connect(self, back: Callable[[str], None], relay: FaultyRelay | None = None) -> None:
        from aiortc import RTCSessionDescription

        left, right = self.peers
        for peer, track, listen in zip(self.peers, self.tracks, (len, self.listen), strict=True):
            peer.on(
                "track", lambda got, to=listen: self.tasks.append(asyncio.ensure_future(self.play(got, to)))
            )
            peer.addTrack(track)
        self.channel = left.createDataChannel("oai-events")
        self.channel.on("open", self.open.set)
        self.channel.on("message", back)
        right.on("datachannel", lambda other: other.on("message", other.send))
        await left.setLocalDescription(await left.createOffer())
        offer = left.localDescription.sdp
        offer = await relay.offer(offer) if relay else offer
        await right.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await right.setLocalDescription(await right.createAnswer())
        answer = right.localDescription.sdp
        answer = await relay.answer(answer) if relay else answer
        await left.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await self.open.wait()

    async def play(self, track: Any, to: Callable[[bytes], object]) -> None:
        from aiortc.mediastreams import MediaStreamError
        from av import AudioResampler

        resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            for piece in resampler.resample(frame):
                to(bytes(piece.planes[0])[: piece.samples * 2])
            self.heard += 1

    def say(self, pcm: bytes) -> None:
        for track in self.tracks:
            track.write(pcm)

    def send(self, text: str) -> None:
        self.channel.send(text)

    async def close(self) -> None:
        await asyncio.gather(*(peer.close() for peer in self.peers))
        for track in self.tracks:
            track.stop()
        await asyncio.gather(*self.tasks)


VARIANTS: dict[str, Callable[[], Pair]] = {
    "aiortc": Stock,
    "voxwire": Ours,
    "voxwire on libwebrtc": OursOnLibwebrtc,
}


async def every_20_ms(seconds: float, call: Callable[[int], object]) -> None:
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number in range(round(seconds * 50)):
        await asyncio.sleep(start + number * 0.02 - loop.time())
        call(number)


async def load(make: Callable[[], Pair], count: int, messages: int, seconds: float) -> dict[str, Any]:
    """Peers that talk, and after a while what they cost."""
    process = psutil.Process()
    pcm = speech(1)
    frames = [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]
    trips: list[float] = []
    measuring = False

    def back(text: str) -> None:
        if measuring:
            trips.append((time.perf_counter() - json.loads(text)["sent"]) * 1000)

    def talk(number: int) -> None:
        for index, pair in enumerate(pairs):
            pair.say(frames[(number + 37 * index) % len(frames)])

    async def chat(pair: Pair, share: float) -> None:
        await asyncio.sleep(share / messages)
        start, filler = time.perf_counter(), "x" * (MESSAGE_BYTES - 60)
        for number in itertools.count(1):
            pair.send(json.dumps({"type": "bench", "sent": time.perf_counter(), "filler": filler}))
            await asyncio.sleep(start + number / messages - time.perf_counter())

    pairs: list[Pair] = []
    memory = []
    for _ in range(count):
        pairs.append(make())
        await pairs[-1].connect(back)
        memory.append(process.memory_info().rss)
    chats = [asyncio.ensure_future(chat(pair, n / count)) for n, pair in enumerate(pairs) if messages]
    await every_20_ms(2, talk)
    measuring = True
    heard, cpu, began = sum(pair.heard for pair in pairs), time.process_time(), time.perf_counter()
    switches = process.num_ctx_switches()
    await every_20_ms(seconds, talk)
    took = time.perf_counter() - began
    spent, came = time.process_time() - cpu, sum(pair.heard for pair in pairs) - heard
    gc.collect()
    memory.append(process.memory_info().rss)
    switched = sum(process.num_ctx_switches()) - sum(switches)
    for task in chats:
        task.cancel()
    await asyncio.gather(*chats, return_exceptions=True)
    result = {
        "cpu_ms": spent * 1000 / took / (2 * count),
        "fps": came / took / (2 * count),
        "trip_p50_ms": percentile(trips, 0.5) if trips else None,
        "trip_p99_ms": percentile(trips, 0.99) if trips else None,
        "answered": len(trips) / took / count / messages if messages else None,
        "mib": (memory[-1] - memory[0]) / 2**20 / (2 * (count - 1)) if count > 1 else None,
        "switches": switched / took / (2 * count),
    }
    try:
        async with asyncio.timeout(20):
            await asyncio.gather(*(pair.close() for pair in pairs))
    except TimeoutError:  # a process that has collapsed cannot say goodbye
        os.write(1, (json.dumps(result) + "\n").encode())
        os._exit(0)
    return result


NETWORKS: dict[str, Faults] = {
    "clean": Faults(),
    "one packet lost": Faults(lose={150}, only=is_rtp),
    "5 % lost": Faults(loss=0.05, only=is_rtp),
    "5 % lost in bursts of 3": Faults(loss=0.05, burst=3, only=is_rtp),
    "15 % lost": Faults(loss=0.15, only=is_rtp),
    "0 to 60 ms late": Faults(jitter_ms=60),
}


async def path(make: Callable[[], Pair], network: str, seconds: float) -> dict[str, Any]:
    """Speech one way through a network."""
    part = speech(3)[: round(seconds * 50) * FRAME]
    if network != "clean":
        return _judged([await _conversation(make, NETWORKS[network], part, 0.0)])
    part = part[: 250 * FRAME]
    return _judged([await _conversation(make, Faults(), part, phase / 1000) for phase in (1, 6, 11, 16)])


async def _conversation(
    make: Callable[[], Pair], faults: Faults, pcm: bytes, phase: float
) -> tuple[bytes, bytes, float, list[float]]:
    """What was said and heard, when speaking began, and when each 20 ms were heard."""
    loop = asyncio.get_running_loop()
    heard, when = bytearray(), list[float]()

    def listen(frame: bytes) -> None:
        if not when:
            heard.clear()
        heard.extend(frame)
        when.append(loop.time() - (len(heard) - len(frame)) / (2 * RATE))

    async with FaultyRelay(faults, Faults(), seed=7) as relay:
        pair = make()
        pair.listen = listen
        await pair.connect(lambda _text: None, relay)
        await asyncio.sleep(phase)
        began = loop.time()
        await every_20_ms(
            len(pcm) / (2 * RATE), lambda number: pair.say(pcm[number * FRAME : (number + 1) * FRAME])
        )
        await asyncio.sleep(0.6)
        await pair.close()
    return pcm, bytes(heard), began, when


def _judged(conversations: list[tuple[bytes, bytes, float, list[float]]]) -> dict[str, Any]:
    """Intelligibility and delays of each second. What comes by a clock is placed by that clock."""
    from pystoi import stoi

    pairs, delays, ends = [], [], []
    for pcm, heard, began, when in conversations:
        said, got = (np.frombuffer(part, "<i2").astype(float) for part in (pcm, heard))
        own = []
        # A frame is handed over at `began` and later, and was spoken before: its last sample is due then.
        start = sorted(when)[len(when) // 2] - began
        for at in range(RATE, len(said) - RATE, RATE):
            piece = said[at : at + RATE]
            if np.sqrt(np.mean(piece**2)) < 50:
                continue
            low = max(0, at - round(start * RATE) - RATE // 50)
            around = got[low : low + 2 * RATE]
            if len(around) < RATE:
                continue
            match = np.fft.irfft(np.fft.rfft(around, 1 << 17) * np.conj(np.fft.rfft(piece, 1 << 17)))
            lag = int(np.argmax(match[: len(around) - RATE + 1]))
            pairs.append((piece, around[lag : lag + RATE]))
            own.append((start + (low + lag - at) / RATE) * 1000)
        delays += own
        ends.append(own[-1])
    return {
        "stoi": float(stoi(*(np.concatenate(side) for side in zip(*pairs, strict=True)), RATE)),
        "delay_p50_ms": percentile(delays, 0.5),
        "delay_max_ms": max(delays),
        "delay_end_ms": max(ends),
    }


async def cycles(make: Callable[[], Pair], count: int) -> dict[str, Any]:
    """Connect and close: what is left after half of them, and after all."""
    process = psutil.Process()
    marks = []
    began = time.process_time()
    for number in range(count):
        pair = make()
        await pair.connect(lambda _text: None)
        pair.say(bytes(FRAME))
        await pair.close()
        del pair
        if number + 1 in (count // 2, count):
            gc.collect()
            marks.append((process.memory_info().rss / 2**20, process.num_fds(), process.num_threads()))
    spent = time.process_time() - began
    (first, fds, threads), (last, last_fds, last_threads) = marks
    return {
        "cpu_ms": spent * 1000 / count,
        "mib": last,
        "kib_each": (last - first) * 1024 / (count - count // 2),
        "fds": last_fds - fds,
        "threads": last_threads - threads,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("load", "path", "cycles"))
    parser.add_argument("--variant", choices=VARIANTS, default="voxwire")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=0, help="per second and pair, each way")
    parser.add_argument("--seconds", type=float, default=8.0, help="of talking; up to 40 for `path`")
    parser.add_argument("--network", choices=NETWORKS, default="clean")
    parser.add_argument("--cycles", type=int, default=500)
    given = parser.parse_args()
    make = VARIANTS[given.variant]
    if given.what == "load":
        result = asyncio.run(load(make, given.pairs, given.messages, given.seconds))
    elif given.what == "path":
        result = asyncio.run(path(make, given.network, given.seconds))
    else:
        result = asyncio.run(cycles(make, given.cycles))
    print_json(result)


if __name__ == "__main__":
    main()
