"""OpenTelemetry, with its real SDK."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from voxwire import (
    AudioInterrupted,
    ErrorEvent,
    MissingExtraError,
    ProviderError,
    RealtimeAgent,
    RealtimeSession,
    SessionUpdated,
    TurnDone,
    Usage,
    instrument,
    tool,
)
from voxwire.server import EmbeddedServer
from voxwire.server.speech.responder_script import ScriptResponder
from voxwire.session.telemetry import MAX_SPANS

SCRIPT = """
turns:
  - tool_call: {name: look, arguments: {where: "over there"}}
  - say: I have looked.
"""


@tool
async def look(where: str) -> str:
    """Look."""
    with trace.get_tracer("mine").start_as_current_span("inside"):
        await asyncio.sleep(0)
    return f"seen {where}"


@tool
def fail() -> str:
    """Fail."""
    raise RuntimeError("no")


B = RealtimeAgent("Bo", handoff_description="Other.")
A = RealtimeAgent("Ann", tools=[look, fail], handoffs=[B])


class Backend:
    """What a collector would get."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader])

    def instrument(self, session: RealtimeSession, **options: Any) -> Any:
        return instrument(session, tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = list(metric.data.data_points)
        return found

    def close(self) -> None:
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def backend() -> Any:
    made = Backend()
    yield made
    made.close()


async def play(stage: Any, backend: Backend, **options: Any) -> Any:
    stage.session = RealtimeSession(A, transport=stage.transport)
    watching = backend.instrument(stage.session, **options)
    await stage.session.connect()
    stage.transport.emit(SessionUpdated({"id": "sess_1", "model": "gpt-realtime-2"}))
    return watching


async def test_a_conversation_over_a_socket(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer", lambda name, *_: backend.tracers.get_tracer(name))
    async with EmbeddedServer(
        responder=ScriptResponder(text=SCRIPT), synthesizer="tone", transcriber="none", vad="energy"
    ) as server:
        session = RealtimeSession(
            A, transport="websocket", url=server.url, api_key="k", model="gpt-realtime-2"
        )
        backend.instrument(session)
        over = asyncio.Event()
        session.on("turn_metrics", lambda _event: over.set())
        async with session, asyncio.timeout(20):
            await session.send_message("Look, please: SECRET")
            await over.wait()
            [turn_metrics] = session.metrics.recent
    spans = backend.spans
    root, turn, work = spans["invoke_agent Ann"], spans["turn"], spans["execute_tool look"]
    chats = [span for span in backend.exporter.get_finished_spans() if span.name == "chat gpt-realtime-2"]
    assert [span.parent.span_id for span in (turn, *chats, work)] == [
        root.context.span_id,
        *[turn.context.span_id] * 3,
    ]
    assert root.parent is None
    assert spans["inside"].parent.span_id == work.context.span_id, "what a tool does is found below it"
    assert {span.context.trace_id for span in spans.values()} == {root.context.trace_id}
    assert root.attributes["gen_ai.provider.name"] == root.attributes["gen_ai.system"] == "openai"
    assert root.attributes["gen_ai.agent.name"] == "Ann"
    conversation = root.attributes["gen_ai.conversation.id"]
    assert conversation.startswith("sess_")
    assert all(span.attributes["gen_ai.conversation.id"] == conversation for span in (turn, work, *chats))
    assert work.attributes["gen_ai.operation.name"] == "execute_tool"
    assert work.attributes["gen_ai.tool.name"] == "look"
    assert work.attributes["gen_ai.tool.type"] == "function"
    used = turn_metrics.usage
    for key, total in (("input", used.input_tokens), ("output", used.output_tokens)):
        assert sum(span.attributes[f"gen_ai.usage.{key}_tokens"] for span in chats) == total
    assert {span.attributes["gen_ai.response.id"] for span in chats} == set(turn_metrics.responses)
    assert all(span.attributes["gen_ai.request.model"] == "gpt-realtime-2" for span in chats)
    assert turn.attributes["voxwire.turn.first_audio_ms"] == turn_metrics.first_audio_ms
    assert (turn.end_time - turn.start_time) / 1e6 == pytest.approx(turn_metrics.duration_ms, abs=5)
    points = backend.points()
    assert [point.count for point in points["voxwire.turn.first_heard"]] == [1]
    tokens = {
        point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]
    }
    assert tokens == {"input": used.input_tokens, "output": used.output_tokens}
    durations = {
        point.attributes["gen_ai.operation.name"]: point
        for point in points["gen_ai.client.operation.duration"]
    }
    assert (durations["chat"].count, durations["execute_tool"].count) == (2, 1)
    everything = "".join(span.to_json() for span in backend.exporter.get_finished_spans())
    assert "SECRET" not in everything
    assert "over there" not in everything
    assert "I have looked" not in everything


async def test_content_on_request(stage: Any, backend: Backend) -> None:
    await play(stage, backend, include_content=True, provider_name="mine")
    stage.start()
    call_id = stage.call("look", '{"where": "up"}')
    await stage.settled()
    message = {"type": "output_text", "text": "Words."}
    stage.done("r1", {"id": "i", "type": "message", "role": "assistant", "content": [message]})
    await stage.session.close()
    work = backend.spans["execute_tool look"].attributes
    assert work["gen_ai.tool.call.id"] == call_id
    assert work["gen_ai.tool.call.arguments"] == '{"where": "up"}'
    assert work["gen_ai.tool.call.result"] == "seen up"
    chat = backend.spans["chat gpt-realtime-2"].attributes
    assert chat["gen_ai.provider.name"] == "mine"
    [said] = json.loads(chat["gen_ai.output.messages"])
    assert said["parts"] == [{"type": "text", "content": "Words."}]


async def test_failures(stage: Any, backend: Backend) -> None:
    await play(stage, backend)
    stage.start()
    stage.call("fail")
    await stage.settled()
    stage.transport.emit(TurnDone("r1", "failed", None, (), Usage(1)))
    stage.transport.emit(ErrorEvent(ProviderError("secret words", code="rate_limit_exceeded")))
    stage.transport.emit(AudioInterrupted())
    await stage.transport.disconnect()
    await asyncio.sleep(0)
    spans = backend.spans
    assert not spans["execute_tool fail"].status.is_ok
    assert spans["execute_tool fail"].attributes["error.type"] == "RuntimeError"
    assert spans["chat gpt-realtime-2"].attributes["error.type"] == "response_failed"
    names = [event.attributes.get("voxwire.error.code") for event in spans["invoke_agent Ann"].events]
    assert "rate_limit_exceeded" in names
    assert "secret words" not in spans["invoke_agent Ann"].to_json()
    assert spans["turn"].attributes["voxwire.turn.status"] == "interrupted"
    assert [point.value for point in backend.points()["voxwire.turn.interruptions"]] == [1]
    kinds = [p.attributes.get("error.type") for p in backend.points()["gen_ai.client.operation.duration"]]
    assert sorted(map(str, kinds)) == ["RuntimeError", "response_failed"]


async def test_a_handoff_is_an_event_and_open_spans_end_with_the_connection(
    stage: Any, backend: Backend
) -> None:
    await play(stage, backend)
    stage.start()
    stage.call("transfer_to_Bo")
    await stage.settled()
    stage.start("r2")
    await stage.session.close()
    await asyncio.sleep(0)
    [event] = backend.spans["invoke_agent Ann"].events
    assert event.attributes == {"voxwire.handoff.from": "Ann", "voxwire.handoff.to": "Bo"}
    chats = [span for span in backend.exporter.get_finished_spans() if span.name.startswith("chat")]
    assert len(chats) == 2
    assert all(span.end_time is not None for span in chats)


async def test_every_connection_is_a_trace_of_its_own(stage: Any, backend: Backend) -> None:
    await play(stage, backend)
    stage.start()
    stage.done()
    await stage.session.close()
    await stage.session.connect()
    await stage.session.close()
    await asyncio.sleep(0)
    roots = [span for span in backend.exporter.get_finished_spans() if span.parent is None]
    assert len(roots) == len({span.context.trace_id for span in roots}) == 2


async def test_it_can_be_stopped(stage: Any, backend: Backend) -> None:
    watching = await play(stage, backend)
    stage.start()
    watching.stop()
    names = set(backend.spans)
    assert names == {"invoke_agent Ann", "turn", "chat gpt-realtime-2"}
    backend.exporter.clear()
    stage.done()
    stage.start("r2")
    stage.call("look", '{"where": "up"}')
    await stage.settled()
    assert set(backend.spans) <= {"inside"}


async def test_begun_late_and_ended_never(stage: Any, backend: Backend) -> None:
    """Instrumented while a response runs, and responses that never end."""
    await stage.connect(A)
    stage.start("r0")
    backend.instrument(stage.session)
    stage.done("r0")
    for number in range(MAX_SPANS + 5):
        stage.start(f"r{number}")
    ended = [span for span in backend.exporter.get_finished_spans() if span.name == "chat"]
    assert len(ended) == 5


def test_without_opentelemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    session = RealtimeSession(A, transport="websocket")
    with pytest.raises(MissingExtraError, match=r"pip install 'voxwire\[otel\]'"):
        instrument(session)
