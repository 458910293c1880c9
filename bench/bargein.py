"""Barge-in: how long until the loudspeaker is silent, and how well the cut meets what was heard.

A reply of four seconds arrives faster than real time, the loudspeaker plays it, and after a random time the
service says that the user speaks. Measured, in real time and in many conversations at once on one event loop:

latency  from the message's arrival to the end of the call that silences the loudspeaker;
error    `audio_end_ms` of the truncation that went out, against what the loudspeaker had truly played.

The loudspeakers: `PacedSink`, which reports its position; `SoundCard`, which does not, and plays in blocks of 10 ms
by a clock of its own. `openai-agents` has no loudspeaker: its consumer plays into the same
`SoundCard` and clears it when it gets `audio_interrupted`, as its examples do.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

from common import (
    FRAME,
    FRAME_BYTES,
    FakeCarrier,
    arguments,
    audio_delta,
    has,
    official_session,
    percentile,
    print_json,
    server_event,
)

REPLY_MS = 4000
AT_ONCE = 20


class SoundCard:
    """A loudspeaker that cannot say where it is.

    As a sound card does, it takes a block of 10 ms whenever its own clock says so: it begins with the first one after
    the first sample was written, and a block that it has taken is heard to its end, whatever is cleared.
    """

    max_buffer_ms = 120_000
    block = 0.01

    def __init__(self) -> None:
        self.silent_at = 0.0
        self._written = 0
        self._phase = random.random() * self.block
        self._began: float | None = None
        self._stopped = float("inf")

    def _next_block(self) -> float:
        now = time.perf_counter()
        return now + self.block - (now - self._phase) % self.block

    async def open(self, _format: Any, /) -> None:
        return

    def write(self, data: bytes, /) -> None:
        self._written += len(data)
        if self._began is None:
            self._began = self._next_block()

    def clear(self, _heard_ms: float, /) -> None:
        self._stopped = self._next_block()
        self.silent_at = time.perf_counter()

    def heard_ms(self) -> float | None:
        return None

    def buffered_ms(self) -> float:
        return self._written / FRAME_BYTES * 20 - self.position_ms()

    def position_ms(self) -> float:
        """What was truly heard; only the benchmark is told."""
        if self._began is None:
            return 0.0
        until = self._stopped if self._stopped < float("inf") else time.perf_counter()
        return min(max(0.0, until - self._began) * 1000, self._written / FRAME_BYTES * 20)

    async def close(self) -> None:
        return


def paced() -> Any:
    """A `PacedSink` whose position is counted from the frames it gave out."""
    from voxwire.audio import PacedSink

    class Counted(PacedSink):
        def __init__(self) -> None:
            self.played = 0
            self.silent_at = 0.0
            super().__init__(self._count, frame_ms=5)

        def _count(self, frame: bytes) -> None:
            self.played += len(frame)

        def clear(self, heard_ms: float, /) -> None:
            super().clear(heard_ms)
            self.silent_at = time.perf_counter()

        def position_ms(self) -> float:
            return self.played / FRAME_BYTES * 20

    return Counted()


def reply() -> list[str]:
    """A response whose audio is all there at once."""
    ids = {"response_id": "resp_CqNbench1", "item_id": "item_CqNbench1"}
    item = {
        "id": ids["item_id"],
        "object": "realtime.item",
        "type": "message",
        "role": "assistant",
        "content": [],
    }
    response = {
        "id": ids["response_id"],
        "object": "realtime.response",
        "status": "in_progress",
        "output": [],
    }
    return [
        server_event("response.created", response=response),
        server_event(
            "response.output_item.added",
            response_id=ids["response_id"],
            output_index=0,
            item={**item, "status": "in_progress"},
        ),
        *(audio_delta(number) for number in range(REPLY_MS // 20)),
    ]


SPEECH = server_event("input_audio_buffer.speech_started", item_id="item_CqNbench2", audio_start_ms=5000)

Run = Callable[[random.Random], Any]


async def ours(sink: Any, rng: random.Random) -> tuple[float, float]:
    """One interruption of a voxwire transport: (latency in ms, error in ms)."""
    from voxwire.transports.websocket import OpenAIRealtimeWebSocket

    carrier = FakeCarrier()
    transport = OpenAIRealtimeWebSocket(url="ws://bench", connect=lambda: carrier, audio_output=sink)
    await transport.connect(api_key="bench")
    for message in reply():
        carrier.receiver.message(message)
    await asyncio.sleep(rng.uniform(0.1, 0.7) * REPLY_MS / 1000)
    began = time.perf_counter()
    carrier.receiver.message(SPEECH)
    latency, cut = (sink.silent_at - began) * 1000, truncation(carrier.sent)
    error = cut - sink.position_ms()
    await transport.close()
    await sink.close()
    return latency, error


async def theirs(sink: Any, rng: random.Random) -> tuple[float, float]:
    """The same with a session of `openai-agents`."""
    session, fake = await official_session()
    assert fake is not None
    await session.enter()
    heard = asyncio.Event()

    async def consume() -> None:
        async for event in session:
            if event.type == "audio":
                sink.write(event.audio.data)
            elif event.type == "audio_interrupted":
                sink.clear(0)
                heard.set()

    task = asyncio.ensure_future(consume())
    fake.push(reply())
    await asyncio.sleep(rng.uniform(0.1, 0.7) * REPLY_MS / 1000)
    began = time.perf_counter()
    fake.push([SPEECH])
    async with asyncio.timeout(5):
        await heard.wait()
    latency, position = (sink.silent_at - began) * 1000, sink.position_ms()
    await asyncio.sleep(0.05)
    error = truncation(fake.sent) - position
    await session.close()
    task.cancel()
    await sink.close()
    return latency, error


def truncation(sent: Any) -> float:
    """Where the truncation that was sent cuts, ms."""
    cuts = [event for event in map(json.loads, sent) if event["type"] == "conversation.item.truncate"]
    if len(cuts) != 1:
        raise RuntimeError(f"{len(cuts)} truncations were sent")
    return float(cuts[0]["audio_end_ms"])


async def many(run: Any, sink: Callable[[], Any], count: int, at_once: int) -> dict[str, float]:
    """Latencies and errors of many interruptions."""
    rng = random.Random(20)  # the same positions in every run
    results: list[tuple[float, float]] = []
    while len(results) < count:
        results += await asyncio.gather(*(run(sink(), rng) for _ in range(at_once)))
    latencies = [latency for latency, _ in results]
    errors = [abs(error) for _, error in results]
    return {
        "count": len(results),
        "latency_p50_ms": percentile(latencies, 0.5),
        "latency_p99_ms": percentile(latencies, 0.99),
        "error_mean_ms": statistics.fmean(error for _, error in results),
        "error_p50_ms": percentile(errors, 0.5),
        "error_max_ms": max(errors),
    }


async def benchmark(*, quick: bool) -> dict[str, dict[str, float]]:
    count, at_once = (10, 10) if quick else (400, AT_ONCE)
    rows = {
        "voxwire, PacedSink (reports its position)": await many(ours, paced, count, at_once),
        "voxwire, SoundCard (cannot report)": await many(ours, SoundCard, count, at_once),
    }
    if has("agents"):
        rows["openai-agents, SoundCard"] = await many(theirs, SoundCard, count, at_once)
    return rows


if __name__ == "__main__":
    assert len(FRAME) == FRAME_BYTES
    print_json(asyncio.run(benchmark(quick=arguments(__doc__).quick)))
