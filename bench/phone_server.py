"""The embedded server with a phone line, in a process of its own: measured by `phone.py`.

It prints its addresses, and for each line on stdin what it has used and done so far. `sk-bench` opens it. Its voice
are recordings, so that no synthesiser is measured, and a reply goes on for as long as the call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from common import print_json

from media import speech
from voxwire.media.ticker import Ticker
from voxwire.server import EmbeddedServer, Limits
from voxwire.server.speech.base import ResponsePart, ResponseRequest, Speech, SynthesisRequest, TextPart

REPLY_SECONDS = 600
LIMITS = Limits(
    calls=10_000, sessions=10_000, sip_dialogs=10_000, sip_invites_per_second=1e6, media_silent_seconds=600
)


class Talkative:
    """A responder that has a lot to say."""

    async def respond(self, _request: ResponseRequest, /) -> AsyncIterator[ResponsePart]:
        yield TextPart("Hello.")

    async def close(self) -> None:
        return


class Recordings:
    """A voice that says the recordings of the demo, again and again, whatever the text is.

    Attributes:
        began: when each reply's first audio was given out, `time.monotonic`, s.
    """

    sample_rate = 24_000

    def __init__(self, seconds: float = REPLY_SECONDS) -> None:
        self.began: list[float] = []
        self._seconds = seconds

    async def speak(self, _request: SynthesisRequest, /) -> AsyncIterator[Speech]:
        pcm, second = speech(1), 2 * self.sample_rate
        self.began.append(time.monotonic())
        for number in range(round(self._seconds)):
            at = number * second % (len(pcm) - second)
            yield Speech(pcm[at : at + second])

    async def close(self) -> None:
        return


def settings(vad: str, voice: Recordings | None = None, webhook: str | None = None) -> dict[str, Any]:
    """Of an `EmbeddedServer`."""
    hooks = {"webhook": webhook, "webhook_secret": b"bench" * 8} if webhook else {}
    return {
        "sip": "127.0.0.1:0",
        "api_keys": ["sk-bench"],
        "responder": Talkative(),
        "synthesizer": voice or Recordings(),
        "transcriber": "none",
        "vad": vad,
        "limits": LIMITS,
        **hooks,
    }


def _state(server: EmbeddedServer) -> dict[str, Any]:
    ticker = Ticker.of_loop()
    streams = [call._media.audio for call in server.service.calls._calls.values()]  # type: ignore[attr-defined]
    streams = [stream for stream in streams if stream is not None]
    return {
        "cpu": time.process_time(),
        "at": time.perf_counter(),
        "calls": len(streams),
        "received": sum(stream.received_packets for stream in streams),
        "concealed_ms": sum(stream._receiver.concealed_ms for stream in streams),
        "skipped": ticker.skipped,
        "lag_ms": ticker.lag_ms,
    }


async def serve(vad: str, webhook: str | None) -> None:
    loop = asyncio.get_running_loop()
    async with EmbeddedServer(**settings(vad, webhook=webhook)) as server:
        print(json.dumps({"sip": server.sip_address, "http": server.http_url, "ws": server.url}), flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            print_json(_state(server))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vad", default="energy")
    parser.add_argument("--webhook")
    given = parser.parse_args()
    asyncio.run(serve(given.vad, given.webhook))
