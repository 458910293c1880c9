"""CPU time per 20 ms of audio received and sent, without a socket: everything that lies above one.

All variants get the same messages and are measured in turns, several rounds of them; the
cheapest round of each counts, as the one that was disturbed least. Deltas arrive in bursts of `BURST`, as
a service that is faster than real time sends them, and the consumer has them all before the next burst.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from common import FRAME, FakeCarrier, arguments, audio_delta, has, official_session, print_json

BURST = 10
Run = Callable[[list[str]], Awaitable[None]]


class Variants:
    """The ways to receive, and to send, by name."""

    def __init__(self) -> None:
        self.receive: dict[str, Run] = {}
        self.send: dict[str, Run] = {}
        self.seen = 0
        self._closers: list[Callable[[], Awaitable[Any]]] = []

    def heard(self, pcm: bytes) -> None:
        """The consumer; all of them end here."""
        self.seen += 1 if len(pcm) == len(FRAME) else -1_000_000

    async def until(self, count: int) -> None:
        """Let the loop run until the consumer has them."""
        while self.seen < count:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def add_floor(self) -> None:
        async def receive(messages: list[str]) -> None:
            for message in messages:
                event = json.loads(message)
                self.heard(base64.b64decode(event["delta"]))

        async def lean(messages: list[str]) -> None:
            out: list[str] = []
            for _ in messages:
                encoded = base64.b64encode(FRAME).decode("ascii")
                out.append(json.dumps({"type": "input_audio_buffer.append", "audio": encoded}))

        self.receive["floor: json.loads + b64decode"] = receive
        self.send["floor: b64encode + json.dumps"] = lean

    async def add_transport(self, name: str, *, loop_consumer: bool, **settings: Any) -> None:
        transport, carrier = _transport(settings)
        await transport.connect(api_key="bench", initial_session_config={"instructions": "You are helpful."})
        self._add_voxwire(name, transport, carrier, loop_consumer=loop_consumer)

    async def add_session(self, name: str, *, loop_consumer: bool, **settings: Any) -> None:
        from voxwire import RealtimeAgent
        from voxwire.session.session import RealtimeSession

        transport, carrier = _transport(settings)
        session = RealtimeSession(
            RealtimeAgent(name="Bench", instructions="You are helpful."), transport=transport
        )
        await session.connect(api_key="bench")
        self._add_voxwire(name, session, carrier, loop_consumer=loop_consumer)

    def _add_voxwire(self, name: str, owner: Any, carrier: FakeCarrier, *, loop_consumer: bool) -> None:
        if loop_consumer:
            # Subscribed at once, read by the task.
            task = asyncio.ensure_future(self._read_loop(owner.__aiter__()))
            self._closers.append(lambda: _cancelled(task))
        else:
            owner.on("audio", lambda event: self.heard(event.data))
        self._closers.append(owner.close)

        async def receive(messages: list[str]) -> None:
            message, target = carrier.receiver.message, self.seen
            for start in range(0, len(messages), BURST):
                burst = messages[start : start + BURST]
                for text in burst:
                    message(text)
                target += len(burst)
                await self.until(target)

        async def send(messages: list[str]) -> None:
            before, send_audio = carrier.count, owner.send_audio
            for _ in messages:
                await send_audio(FRAME)
            if carrier.count - before != len(messages):
                raise RuntimeError("audio was not sent")

        self.receive[name] = receive
        self.send[name] = send

    async def _read_loop(self, events: Any) -> None:
        async for event in events:
            if event.name == "audio":
                self.heard(event.data)

    async def add_official(self) -> None:
        session, fake = await official_session()
        assert fake is not None
        await session.enter()

        async def read() -> None:
            async for event in session:
                if event.type == "audio":
                    self.heard(event.audio.data)

        task = asyncio.ensure_future(read())
        self._closers += [lambda: _cancelled(task), session.close]

        async def receive(messages: list[str]) -> None:
            target = self.seen
            for start in range(0, len(messages), BURST):
                burst = messages[start : start + BURST]
                fake.push(burst)
                target += len(burst)
                await self.until(target)

        async def send(messages: list[str]) -> None:
            before = fake.count
            for _ in messages:
                await session.send_audio(FRAME)
            if fake.count - before != len(messages):
                raise RuntimeError("audio was not sent")

        name = "openai-agents: model + session + async for"
        self.receive[name] = receive
        self.send[name] = send

    async def close(self) -> None:
        for close in self._closers:
            await close()


def _transport(settings: dict[str, Any]) -> tuple[Any, FakeCarrier]:
    from voxwire.transports.websocket import OpenAIRealtimeWebSocket

    carrier = FakeCarrier()
    return OpenAIRealtimeWebSocket(url="ws://bench", connect=lambda: carrier, **settings), carrier


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def measure(runs: dict[str, Run], messages: list[str], rounds: int) -> dict[str, float]:
    """CPU us per message: the cheapest round of each."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            gc.collect()
            start = time.process_time()
            await run(messages)
            best[name] = min(best[name], (time.process_time() - start) / len(messages) * 1e6)
    return best


async def benchmark(*, quick: bool) -> dict[str, dict[str, dict[str, float | None]]]:
    count, rounds = (500, 3) if quick else (3000, 15)
    messages = [audio_delta(number) for number in range(count)]
    variants = Variants()
    variants.add_floor()
    for codec, settings in _codecs().items():
        for consumer, in_loop in (("listener", False), ("async for", True)):
            words = f"{consumer}{codec}"
            await variants.add_transport(f"voxwire transport, {words}", loop_consumer=in_loop, **settings)
            if has("voxwire.session.session"):
                name = f"voxwire transport + session, {words}"
                await variants.add_session(name, loop_consumer=in_loop, **settings)
    if has("agents"):
        await variants.add_official()
    results: dict[str, dict[str, dict[str, float | None]]] = {}
    for direction, runs in (("received", variants.receive), ("sent", variants.send)):
        results[direction] = rated(await measure(runs, messages, rounds))
    await variants.close()
    return results


def _codecs() -> dict[str, dict[str, Any]]:
    """Settings of a transport: the standard library's codec, and the fast one where it is installed."""
    codecs: dict[str, dict[str, Any]] = {"": {}}
    if has("msgspec") and has("pybase64"):
        from voxwire.protocol.codec import fast_codec

        codecs[", fast codec"] = {"codec": fast_codec()}
    return codecs


def rated(costs: dict[str, float]) -> dict[str, dict[str, float | None]]:
    """Costs beside the floor's and the peer's."""
    floor = next(cost for name, cost in costs.items() if name.startswith("floor"))
    peer = next((cost for name, cost in costs.items() if name.startswith("openai-agents")), None)
    return {
        name: {"us": cost, "of_floor": cost / floor, "of_peer": cost / peer if peer else None}
        for name, cost in costs.items()
    }


if __name__ == "__main__":
    print_json(asyncio.run(benchmark(quick=arguments(__doc__).quick)))
