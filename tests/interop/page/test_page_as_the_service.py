"""Our transport against a service that is none of ours at all: a page in Chromium that answers the call."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from voxwire import OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession
from voxwire.audio import CallbackSink, ToneSource
from voxwire.testing import response_events

pytestmark = [pytest.mark.needs_module("aiortc", "playwright"), pytest.mark.needs_program("chromium")]

AGENT = RealtimeAgent("Ava", instructions="Hum along.", voice="marin")
OURS, THEIRS = 1000.0, 600.0


def pitch(pcm: bytes) -> float:
    """The frequency of a hum, Hz, by where it crosses zero upwards; 0 if there is none."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    ups = [n for n in range(1, len(samples)) if samples[n - 1] < 0 <= samples[n]]
    if len(ups) < 10 or max(samples) < 1000:
        return 0.0
    return 24_000 * (len(ups) - 1) / (ups[-1] - ups[0])


@pytest.fixture(params=["aiortc", "wrtc"])
def backend(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return str(request.param)


class Stage:
    """A session on a call with the page."""

    def __init__(self, site: Any, page: Any, backend: str) -> None:
        self.page = page
        self.heard = bytearray()
        self.events: list[Any] = []
        self.transport = OpenAIRealtimeWebRTC(
            base_url=f"{site.url}/v1/realtime/calls",
            api_key="ek_page",
            audio_input=ToneSource(OURS),
            audio_output=CallbackSink(self.heard.extend),
            backend=backend,
        )
        self.session = RealtimeSession(AGENT, transport=self.transport)
        for name in ("audio", "history_updated", "error", "agent_end", "connection_change"):
            self.session.on(name, self.events.append)

    def of(self, name: str) -> list[Any]:
        return [event for event in self.events if event.name == name]

    async def until(self, condition: Callable[[], object], seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)

    async def page_until(self, condition: str) -> None:
        await self.page.wait_for_function(condition, polling=20, timeout=15_000)

    async def send(self, *events: dict[str, Any]) -> None:
        await self.page.evaluate("events => events.forEach(window.send)", list(events))


@pytest.fixture
async def stage(site: Any, browse: Any, backend: str) -> AsyncIterator[Stage]:
    async with browse(f"{site.url}/answer.html") as page:
        site.answer = lambda offer: page.evaluate("sdp => window.answer(sdp)", offer)
        made = Stage(site, page, backend)
        await made.session.connect()
        yield made
        await made.session.close()


async def test_events_and_audio_both_ways(stage: Stage) -> None:
    assert stage.transport.call_id == "rtc_page"
    [update] = await stage.page.evaluate("received.filter(event => event.type === 'session.update')")
    assert update["session"]["instructions"] == "Hum along."
    assert update["session"]["audio"]["output"]["voice"] == "marin"

    # The page hears us, at our pitch, by its own NetEQ and WebAudio.
    await stage.page_until(f"Math.abs(ear.pitch() - {OURS}) < 10")

    # We hear the page, and know whose audio it is.
    await stage.session.send_message("Hello!")
    await stage.page_until("received.some(event => event.type === 'response.create')")
    turn = list(response_events(text="Hmmm.", audio=b"", response_id="r1", item_id="i1"))
    await stage.send(*turn[:-1], {"type": "output_audio_buffer.started", "response_id": "r1"})
    # It hums all the time; what comes within the response is that response's.
    await stage.until(lambda: len([e for e in stage.of("audio") if e.response_id == "r1"]) > 25)
    await stage.send(turn[-1], {"type": "output_audio_buffer.stopped", "response_id": "r1"})
    audio = [event for event in stage.of("audio") if event.response_id == "r1"]
    assert {event.item_id for event in audio} == {"i1"}
    assert math.isclose(pitch(b"".join(event.data for event in audio[:10])), THEIRS, abs_tol=6)
    assert math.isclose(pitch(bytes(stage.heard[-9600:])), THEIRS, abs_tol=6)
    await stage.until(lambda: stage.of("agent_end"))
    assert stage.session.history[-1].text == "Hmmm."

    def moving() -> bool:  # libwebrtc counts anew once a second
        stats = stage.transport.get_stats()
        return min(stats.packets_received, stats.packets_sent) > 25

    await stage.until(moving)
    assert stage.transport.get_stats().packets_lost == 0
    assert stage.of("error") == []


async def test_mute_interrupt_and_our_goodbye(stage: Stage) -> None:
    await stage.page_until(f"Math.abs(ear.pitch() - {OURS}) < 10")
    await stage.session.mute(True)
    await stage.page_until("ear.quietMs > 200")
    await stage.session.mute(False)
    await stage.page_until(f"Math.abs(ear.pitch() - {OURS}) < 10")
    await stage.send(
        {"type": "response.created", "response": {"id": "r1", "status": "in_progress"}},
        {"type": "output_audio_buffer.started", "response_id": "r1"},
    )
    await stage.until(lambda: any(event.response_id == "r1" for event in stage.of("audio")))
    await stage.session.interrupt()
    await stage.page_until("received.some(event => event.type === 'output_audio_buffer.clear')")
    types = await stage.page.evaluate("received.map(event => event.type)")
    assert types[-2:] == ["response.cancel", "output_audio_buffer.clear"]
    await stage.session.close()
    await stage.page_until("states.includes('channel closed')")
    assert stage.session.status == "disconnected"


async def test_the_page_hangs_up(stage: Stage) -> None:
    await stage.page.evaluate("connection.close()")
    how = await asyncio.wait_for(stage.session.wait_closed(), 15)
    assert how.code == 1000
    assert how.reason
    assert stage.transport.call_id is None
