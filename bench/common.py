"""What the benchmarks share: messages, connections without a socket, measuring, tables."""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import importlib.util
import json
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = [
    "FRAME",
    "FRAME_BYTES",
    "MODEL",
    "FakeCarrier",
    "FakeWebSocket",
    "arguments",
    "audio_delta",
    "has",
    "machine",
    "official_session",
    "percentile",
    "print_json",
    "server_event",
    "table",
]

RATE = 24_000
FRAME_BYTES = RATE // 50 * 2
"""20 ms of 16 bit audio at 24 kHz."""
FRAME = bytes((7 * i * i + 13 * i) & 0xFF for i in range(FRAME_BYTES))
"""A frame that does not compress to nothing."""
MODEL = "gpt-realtime"

SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_CqN1bench0001",
    "model": MODEL,
    "output_modalities": ["audio"],
    "instructions": "You are helpful.",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": RATE},
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": RATE}, "voice": "marin", "speed": 1.0},
    },
}


def has(module: str) -> bool:
    """Whether a module can be imported; benchmarks leave out peers that are not installed."""
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.util.find_spec(module) is not None
    return False


def server_event(kind: str, count: int = 1, **fields: Any) -> str:
    """One server event as the service would write it."""
    return json.dumps({"type": kind, "event_id": f"event_CqNbench{count:08d}", **fields})


def audio_delta(count: int, pcm: bytes = FRAME, *, response: str = "1", item: str = "1") -> str:
    """20 ms of output audio as the service sends it."""
    return server_event(
        "response.output_audio.delta",
        count,
        response_id=f"resp_CqNbench{response}",
        item_id=f"item_CqNbench{item}",
        output_index=0,
        content_index=0,
        delta=base64.b64encode(pcm).decode(),
    )


class FakeCarrier:
    """A connection of voxwire without a socket: the benchmark calls `receiver.message`."""

    def __init__(self) -> None:
        self.receiver: Any = None
        self.sent: deque[str] = deque(maxlen=64)
        self.count = 0
        self.loop = asyncio.get_running_loop()

    async def open(self, _request: Any, receiver: Any, /) -> None:
        self.receiver = receiver
        self.loop.call_soon(receiver.message, server_event("session.created", session=SESSION))

    def send(self, text: str, /) -> None:
        self.count += 1
        self.sent.append(text)
        if text.startswith('{"type":"session.update"'):
            self.loop.call_soon(self.receiver.message, server_event("session.updated", session=SESSION))

    async def drain(self) -> None:
        return

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    async def close(self, _code: int = 1000, _reason: str = "") -> None:
        return


class FakeWebSocket:
    """The same for `openai-agents`, which iterates its connection."""

    def __init__(self) -> None:
        self.sent: deque[str] = deque(maxlen=64)
        self.count = 0
        self._arrived: deque[str] = deque([server_event("session.created", session=SESSION)])
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    def push(self, messages: Iterable[str]) -> None:
        self._arrived.extend(messages)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> FakeWebSocket:
        return self

    async def __anext__(self) -> str:
        while not self._arrived:
            if self._closed:
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._arrived.popleft()

    async def send(self, text: str) -> None:
        self.count += 1
        self.sent.append(text)

    async def close(self) -> None:
        self._closed = True
        self.push(())


async def official_session(url: str | None = None) -> tuple[Any, FakeWebSocket | None]:
    """A session of `openai-agents` on its own WebSocket model, or on a `FakeWebSocket` without `url`."""
    from agents.realtime import RealtimeAgent, RealtimeRunner
    from agents.realtime.openai_realtime import OpenAIRealtimeWebSocketModel

    model = OpenAIRealtimeWebSocketModel()
    fake = None
    if url is None:
        fake = FakeWebSocket()

        async def connect(**_settings: Any) -> Any:
            return fake

        model._create_websocket_connection = connect  # type: ignore[method-assign]
    runner = RealtimeRunner(RealtimeAgent(name="Bench", instructions="You are helpful."), model=model)
    settings: Any = {"api_key": "bench", "initial_model_settings": {"tracing": None}}
    if url is not None:
        settings["url"] = url
    return await runner.run(model_config=settings), fake


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie; nan if there is none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def arguments(
    description: str | None, **more: Callable[[argparse.ArgumentParser], Any]
) -> argparse.Namespace:
    """The command line that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="few repetitions: shows that it runs")
    for add in more.values():
        add(parser)
    return parser.parse_args()


def machine() -> dict[str, Any]:
    """Where the numbers come from."""
    versions: dict[str, str] = {}
    from importlib.metadata import PackageNotFoundError, version

    for name in (
        "voxwire",
        "websockets",
        "picows",
        "uvloop",
        "msgspec",
        "pybase64",
        "openai-agents",
        "openai",
    ):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "versions": versions,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def print_json(result: Any) -> None:
    """The last line of a benchmark: its result, for `run.py`."""
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows of words and numbers in columns."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in cells)) for i, head in enumerate(heads)]
    print(f"\n{title}\n")
    for line in ([*heads], ["-" * width for width in widths], *cells):
        first, *rest = line
        print(
            "  "
            + "  ".join(
                [first.ljust(widths[0]), *(c.rjust(w) for c, w in zip(rest, widths[1:], strict=True))]
            )
        )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
