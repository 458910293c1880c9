"""`session.metrics` and `session.cost`: on a scripted transport for decisions, and over a real socket."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from voxwire import (
    DEFAULT_PRICES,
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    ConnectionChange,
    ItemTruncation,
    ModelPrices,
    OpenAIRealtimeWebSocket,
    PriceTable,
    RealtimeAgent,
    RealtimeSession,
    SessionUpdated,
    TurnDone,
    TurnMetrics,
    Usage,
    UsageUpdate,
    UserSpeechStopped,
    tool,
)
from voxwire.audio import PacedSink
from voxwire.protocol.audio_gate import HoldBack
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.session.cost import MAX_MODELS, OTHERS, CostMeter
from voxwire.testing import ScriptedServer, response_events

SCRIPT = """
turns:
  - say: One two three four five six seven eight nine ten.
  - tool_call: {name: look, arguments: {}}
  - say: I have looked.
"""


@tool
async def look() -> str:
    """Look."""
    await asyncio.sleep(0.03)
    return "seen"


@tool
def fail() -> str:
    """Fail."""
    raise RuntimeError("no")


A = RealtimeAgent("A", tools=[look, fail])


def configured(model: str = "gpt-realtime-2", silence: Any = 450) -> SessionUpdated:
    listening = {"turn_detection": {"silence_duration_ms": silence}, "transcription": {"model": "tiny"}}
    return SessionUpdated({"id": "sess_1", "model": model, "audio": {"input": listening}})


def told(stage: Any) -> list[TurnMetrics]:
    return [event for event in stage.seen if isinstance(event, TurnMetrics)]


async def test_a_turn_is_told_after_what_ended_it(stage: Any) -> None:
    await stage.connect(A, listen=("turn_metrics", "turn_done"))
    emit = stage.transport.emit
    emit(configured())
    emit(UserSpeechStopped("u", 900))
    stage.start()
    emit(AudioStarted("i", "r1"))
    emit(AudioEvent(bytes(480), "i", "r1"))
    emit(TurnDone("r1", "completed", None, (), Usage(1, 10, 20)))
    assert stage.names() == ["turn_done"], "it is still being heard"
    emit(AudioStopped())
    await stage.until(lambda: told(stage))
    [turn] = told(stage)
    assert stage.names() == ["turn_done", "turn_metrics"]
    assert (turn.trigger, turn.silence_ms, turn.status) == ("speech", 450, "completed")
    assert turn.first_audio_ms == turn.first_heard_ms is not None
    metrics = stage.session.metrics
    assert metrics.recent == (turn,)
    assert (metrics.turns, metrics.responses) == (1, 1)
    assert metrics.first_audio_ms == metrics.first_heard_ms == turn.first_audio_ms


async def test_tools_are_timed_and_counted(stage: Any) -> None:
    await stage.connect(A, listen=("turn_metrics",))
    stage.start()
    stage.call("look")
    stage.call("fail")
    stage.call("nothing")
    stage.done()
    await stage.settled()
    assert told(stage) == [], "a response will follow"
    stage.start("r2")
    stage.done("r2")
    await stage.until(lambda: told(stage))
    [turn] = told(stage)
    assert [(entry.name, entry.failed) for entry in turn.tools] == [
        ("look", False),
        ("fail", True),
        ("nothing", True),
    ]
    assert (turn.tools[0].duration_ms or 0) >= 29
    metrics = stage.session.metrics
    assert (metrics.tool_calls, metrics.tool_failures) == (3, 2)
    assert metrics.tool_ms == pytest.approx(turn.tool_ms)


async def test_interruptions_and_usage_add_up(stage: Any) -> None:
    await stage.connect(A)
    for number in range(3):
        stage.start(f"r{number}")
        stage.transport.emit(AudioInterrupted((ItemTruncation("i", 0, 100, 350),)))
        stage.done(f"r{number}", status="cancelled")
    stage.transport.emit(UsageUpdate(Usage(1, 7, 8)))
    stage.transport.emit(UsageUpdate(Usage(transcription_seconds=2.0)))
    metrics = stage.session.metrics
    assert (metrics.interruptions, metrics.truncated_ms) == (3, 750.0)
    assert metrics.usage == stage.session.usage == Usage(1, 7, 8, transcription_seconds=2.0)
    assert metrics.first_audio_ms is None


async def test_a_message_and_a_commit_begin_turns(stage: Any) -> None:
    await stage.connect(A, listen=("turn_metrics",))
    session = stage.session
    await session.send_message("Hi")
    stage.start("r1")
    stage.done("r1")
    await session.send_message("Just so you know", trigger_response=False)
    stage.start("r2")
    stage.done("r2")
    await session.send_audio(bytes(4))
    await session.send_audio(bytes(4), commit=True)
    stage.start("r3")
    stage.done("r3")
    await session.add_image("data:image/png;base64,aaaa")
    stage.start("r4")
    stage.done("r4")
    await stage.until(lambda: len(told(stage)) == 4)
    assert [turn.trigger for turn in told(stage)] == ["message", "agent", "message", "message"]


async def test_the_last_turn_is_told_of_when_the_connection_ends(stage: Any) -> None:
    await stage.connect(A, listen=("turn_metrics", "connection_change"))
    stage.start()
    await stage.session.close()
    assert [turn.status for turn in told(stage)] == ["disconnected"]
    await stage.session.connect()
    stage.start("r2")
    stage.done("r2")
    await stage.until(lambda: len(told(stage)) == 2)
    assert [turn.number for turn in told(stage)] == [1, 2]
    assert told(stage)[1].reconnects == stage.session.metrics.reconnects == 1


async def test_only_the_last_turns_are_kept(stage: Any) -> None:
    await stage.connect(A)
    for number in range(130):
        stage.start(f"r{number}")
        stage.done(f"r{number}")
    metrics = stage.session.metrics
    assert metrics.turns == 130
    assert [turn.number for turn in metrics.recent] == list(range(31, 131))


async def test_audio_costs_a_listener_only_until_the_first_of_a_turn(stage: Any) -> None:
    await stage.connect(A)
    table = stage.transport.listeners._table
    before = len(table["audio"])
    stage.start()
    assert len(table["audio"]) == before + 1
    stage.transport.emit(AudioEvent(bytes(2), "i", "of another turn"))
    assert len(table["audio"]) == before + 1
    stage.transport.emit(AudioEvent(bytes(2), "i", "r1"))
    assert len(table["audio"]) == before
    stage.start("r2")
    assert len(table["audio"]) == before, "the turn has had its first audio"


async def test_cost(stage: Any) -> None:
    prices = DEFAULT_PRICES.replaced({"tiny": ModelPrices(per_minute="0.30")}, as_of="2026-11")
    await stage.connect(A, prices=prices)
    assert stage.session.cost.amount == 0
    stage.transport.emit(configured("gpt-realtime-2-2026-09-01"))
    stage.transport.emit(UsageUpdate(Usage(1, 1_000_000, 0, 1_000_000)))
    stage.transport.emit(UsageUpdate(Usage(transcription_seconds=30.0)))
    cost = stage.session.cost
    assert (cost.amount, cost.currency, cost.note) == (Decimal("4.15"), "USD", "")
    stage.transport.emit(configured("other"))
    stage.transport.emit(UsageUpdate(Usage(1, 5, 5)))
    cost = stage.session.cost
    assert (cost.amount, cost.known) == (None, Decimal("4.15"))
    assert cost.note == "no prices for model 'other'"
    assert set(stage.session.meter.costs.by_model()) == {"gpt-realtime-2-2026-09-01", "tiny", "other"}


def test_costs_are_bounded_and_currencies_are_not_mixed() -> None:
    costs = CostMeter()
    table = PriceTable(
        {"m0": ModelPrices(text_input=1), "m1": ModelPrices(text_input=1, audio_input=1, currency="EUR")}
    )
    for number in range(MAX_MODELS + 5):
        costs.configured({"model": f"m{number}"})
        costs.used(Usage(1, 10, 0, 10))
    assert len(costs.by_model()) == MAX_MODELS + 1
    assert costs.by_model()[OTHERS].requests == 5
    mixed = costs.total(table)
    assert mixed.amount is None
    assert mixed.note == "prices in USD and EUR cannot be added up"
    costs = CostMeter()
    costs.configured({"model": "m1", "audio": None})
    costs.used(Usage(1, 10, 0, 0, 5))
    assert costs.total(table).note == "m1: no price for input tokens of unknown kind"


async def test_the_end_of_a_connection_nobody_made_is_no_turn(stage: Any) -> None:
    await stage.connect(A, listen=("turn_metrics",))
    stage.transport.emit(ConnectionChange("disconnected"))
    assert told(stage) == []


# -- over a socket ---------------------------------------------------------------------------


async def test_a_conversation_over_a_socket() -> None:
    sink = PacedSink(lambda _frame: None)
    async with EmbeddedServer(
        responder=ScriptResponder(text=SCRIPT), synthesizer="tone", transcriber="none", vad="energy"
    ) as server:
        transport = OpenAIRealtimeWebSocket(url=server.url, api_key=server.api_key, audio_output=sink)
        session = RealtimeSession(A, transport=transport, model="gpt-realtime-2", prices=DEFAULT_PRICES)
        turns: asyncio.Queue[TurnMetrics] = asyncio.Queue()
        session.on("turn_metrics", turns.put_nowait)
        async with session, asyncio.timeout(20):
            heard = asyncio.Event()
            session.once("audio_start", lambda _event: heard.set())
            await session.send_message("Count.")
            await heard.wait()
            while transport.heard_ms < 200:
                await asyncio.sleep(0.01)
            await session.interrupt()
            first = await turns.get()
            await session.send_message("Look.")
            second = await turns.get()
        metrics = session.metrics
    assert (first.number, first.trigger, first.status, first.interruptions) == (
        1,
        "message",
        "interrupted",
        1,
    )
    assert first.truncated_ms > 500, "the sentence is longer than what was heard of it"
    assert first.first_audio_ms is not None
    assert first.first_heard_ms is not None
    assert 0 < first.first_audio_ms <= first.first_heard_ms + 1
    assert first.usage.requests == 1
    assert (second.status, len(second.responses)) == ("completed", 2)
    [used] = second.tools
    assert (used.name, used.failed) == ("look", False)
    assert used.duration_ms is not None
    assert 29 < used.duration_ms < 2000
    assert second.first_heard_ms is not None
    assert second.first_heard_ms > used.duration_ms
    assert second.duration_ms > second.first_heard_ms
    assert metrics.recent == (first, second)
    assert metrics.usage == session.usage
    assert session.usage.requests == 3
    assert session.cost.amount is not None
    assert session.cost.amount > 0


async def test_late_audio_of_an_interrupted_reply_is_counted() -> None:
    """A service that goes on sending what was cancelled."""
    async with ScriptedServer() as server, asyncio.timeout(20):
        session = RealtimeSession(A, transport="websocket", url=server.url, model="m", api_key="k")
        turns: asyncio.Queue[TurnMetrics] = asyncio.Queue()
        session.on("turn_metrics", turns.put_nowait)
        connecting = asyncio.ensure_future(session.connect())
        service = await server.accept()
        await service.greet()
        await connecting
        heard = asyncio.Event()
        session.once("audio_start", lambda _event: heard.set())
        events = list(response_events(response_id="r1", item_id="i1", audio=bytes(48_000), text="words"))
        split = next(n for n, event in enumerate(events) if event["type"].endswith("audio.delta")) + 1
        for event in events[:split]:
            await service.send(event)
        await heard.wait()
        await session.interrupt()
        for event in events[split:]:
            await service.send(event)
        turn = await turns.get()
        assert turn.dropped_ms == pytest.approx(900, abs=1)
        assert turn.truncated_ms == pytest.approx(100, abs=60)
        assert session.metrics.dropped_ms == turn.dropped_ms
        await session.close()


async def test_a_turn_whose_audio_is_held_back_ends_when_that_was_heard() -> None:
    async with ScriptedServer() as server, asyncio.timeout(20):
        session = RealtimeSession(A, transport="websocket", url=server.url, model="m", api_key="k")
        turns: asyncio.Queue[TurnMetrics] = asyncio.Queue()
        session.on("turn_metrics", turns.put_nowait)
        transport = session.transport
        transport.hold_back_audio(HoldBack())
        connecting = asyncio.ensure_future(session.connect())
        service = await server.accept()
        await service.greet()
        await connecting
        done = asyncio.Event()
        session.once("turn_done", lambda _event: done.set())
        for event in response_events(response_id="r1", item_id="i1", audio=bytes(4800), text="words"):
            await service.send(event)
        await done.wait()
        assert transport.holds_audio  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        assert turns.empty()
        transport.release_audio("r1")
        turn = await turns.get()
        assert turn.first_heard_ms is not None
        assert turn.duration_ms >= turn.first_heard_ms + 99
        await session.close()
