"""Hold-back: how much later audio comes when it has to wait for guardrails, and what the listener notices of it.

Replies arrive at four times real time, 100 ms of audio at a time, the words of each piece just before it, in many
sessions at once on one event loop. Measured, per piece of audio, from the end of the carrier's message to the session's
`audio` event:

first    the same for the first piece of a reply, which is what the listener waits longer for;
delay    for all pieces;
gaps     silence that a real-time loudspeaker inserts because a piece came after the one before it had ended,
         ms per reply;
checks   guardrail runs per reply.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from common import FakeCarrier, arguments, audio_delta, percentile, print_json, server_event

PIECE_MS = 100
PIECES = 60
SPEED = 4
AT_ONCE = 20
WORDS = "and then she said "


class Listener:
    """When each piece of audio came out, and what a loudspeaker makes of it."""

    def __init__(self) -> None:
        self.arrived: list[float] = []
        self.delays: list[float] = []
        self.gap_ms = 0.0
        self.all_out = asyncio.Event()
        self._idle_at: float | None = None

    def audio(self, _event: Any) -> None:
        now = time.perf_counter()
        self.delays.append((now - self.arrived[len(self.delays)]) * 1000)
        if self._idle_at is not None and now > self._idle_at:
            self.gap_ms += (now - self._idle_at) * 1000
        self._idle_at = max(now, self._idle_at or now) + PIECE_MS / 1000
        if len(self.delays) == PIECES:
            self.all_out.set()


def transcript_delta(reply: str) -> str:
    ids = {"response_id": f"resp_CqNbench{reply}", "item_id": f"item_CqNbench{reply}", "content_index": 0}
    return server_event("response.output_audio_transcript.delta", output_index=0, delta=WORDS, **ids)


async def one(guardrail: Any, *, hold_back: bool) -> tuple[Listener, int]:
    """One reply of a session."""
    from voxwire import GuardrailSettings, OpenAIRealtimeWebSocket, RealtimeAgent, RealtimeSession

    checks = 0

    async def counted(text: str, context: Any) -> bool:
        nonlocal checks
        checks += 1
        return bool(await guardrail(text))

    carrier, listener = FakeCarrier(), Listener()
    session = RealtimeSession(
        RealtimeAgent("Bench"),
        transport=OpenAIRealtimeWebSocket(url="ws://bench", connect=lambda: carrier),
        output_guardrails=[counted] if guardrail is not None else [],
        output_guardrail_settings=GuardrailSettings(hold_back_ms=2000 if hold_back else None),
    )
    session.on("audio", listener.audio)
    await session.connect(api_key="bench")
    receive = carrier.receiver.message
    receive(server_event("response.created", response={"id": "resp_CqNbench1", "status": "in_progress"}))
    messages = [audio_delta(number, bytes(PIECE_MS * 48)) for number in range(PIECES)]
    words = transcript_delta("1")
    began = time.perf_counter()
    for number, message in enumerate(messages):
        await asyncio.sleep(max(0.0, began + number * PIECE_MS / SPEED / 1000 - time.perf_counter()))
        receive(words)
        listener.arrived.append(time.perf_counter())
        receive(message)
    async with asyncio.timeout(10):
        await listener.all_out.wait()
    await session.close()
    return listener, checks


async def many(guardrail: Any, count: int, *, hold_back: bool) -> dict[str, float]:
    runs: list[tuple[Listener, int]] = []
    while len(runs) < count:
        runs += await asyncio.gather(
            *(one(guardrail, hold_back=hold_back) for _ in range(min(AT_ONCE, count)))
        )
    first = [listener.delays[0] for listener, _ in runs]
    delays = [delay for listener, _ in runs for delay in listener.delays]
    return {
        "replies": len(runs),
        "first_p50_ms": percentile(first, 0.5),
        "first_p99_ms": percentile(first, 0.99),
        "delay_p50_ms": percentile(delays, 0.5),
        "delay_p99_ms": percentile(delays, 0.99),
        "gaps_ms": sum(listener.gap_ms for listener, _ in runs) / len(runs),
        "checks": sum(checks for _, checks in runs) / len(runs),
    }


def taking(seconds: float) -> Any:
    """A guardrail that takes its time, as a model behind a network does."""

    async def guardrail(text: str) -> bool:
        if seconds:
            await asyncio.sleep(seconds)
        return "Dom" in text

    return guardrail


async def benchmark(*, quick: bool) -> dict[str, dict[str, float]]:
    count = 5 if quick else 100
    rows = {
        "no guardrails": await many(None, count, hold_back=False),
        "guardrail at once, not held back": await many(taking(0), count, hold_back=False),
        "held back, guardrail at once": await many(taking(0), count, hold_back=True),
    }
    for ms in (50, 200) if quick else (20, 50, 200, 400):
        rows[f"held back, guardrail takes {ms} ms"] = await many(taking(ms / 1000), count, hold_back=True)
    return rows


if __name__ == "__main__":
    print_json(asyncio.run(benchmark(quick=arguments(__doc__).quick)))
