"""OpenTelemetry spans and metrics of a session, for those who switch them on with `instrument(session)`.

Names follow OpenTelemetry's semantic conventions for generative AI where they have one (`gen_ai.*`, still
in development there); what they lack begins with `voxwire.`. What was said, and the arguments and results of
tools, stay out unless `include_content=True`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import TYPE_CHECKING, Any, Final

from ..errors import MissingExtraError
from ..protocol.metrics import TurnMetrics
from ..protocol.transport_events import ConnectionChange, ErrorEvent, SessionUpdated, TurnDone, TurnStarted
from .events import AgentHandoff, AgentToolEnd, AgentToolStart
from .turns import final_text

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from .base import SessionBase

__all__ = ["Instrumentation", "instrument"]

NAME: Final = "voxwire"
MAX_SPANS: Final = 256
"""Spans of one kind that are open at a time; beyond that the oldest is ended."""


def instrument(
    session: SessionBase,
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    include_content: bool = False,
    provider_name: str = "openai",
) -> Instrumentation:
    """Tell OpenTelemetry of everything this session does from now on. Call it before `connect`.

    Args:
        tracer_provider, meter_provider: None takes the process's own.
        include_content: put the agent's words and the tools' arguments and results into the spans.
        provider_name: whose service it is (`gen_ai.provider.name`).

    Returns:
        Something to `stop()`.

    Raises:
        MissingExtraError: if `opentelemetry-api` is not installed.
    """
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        raise MissingExtraError("instrument()", "otel", "opentelemetry-api") from None
    from .._version import __version__

    tracer = trace.get_tracer(NAME, __version__, tracer_provider)
    meter = metrics.get_meter(NAME, __version__, meter_provider)
    common = {"gen_ai.provider.name": provider_name, "gen_ai.system": provider_name}
    return Instrumentation(session, tracer, meter, common, include_content=include_content)


class _Spans:
    """Open spans by key."""

    def __init__(self) -> None:
        self._open: OrderedDict[Any, Span] = OrderedDict()

    def __getitem__(self, key: Any) -> Span | None:
        return self._open.get(key)

    def put(self, key: Any, span: Span, now: int) -> None:
        self._open[key] = span
        while len(self._open) > MAX_SPANS:
            self._open.popitem(last=False)[1].end(now)

    def take(self, key: Any) -> Span | None:
        return self._open.pop(key, None)

    def end_all(self, now: int) -> None:
        while self._open:
            self._open.popitem()[1].end(now)


class Instrumentation:
    """Spans and metrics of one session: session, turn, response and tool call.

    A tool runs with its own span as the current one, so that what it does (HTTP requests, say) is found below it.
    """

    def __init__(
        self,
        session: SessionBase,
        tracer: Any,
        meter: Any,
        common: Mapping[str, str],
        *,
        include_content: bool,
    ) -> None:
        self._session = session
        self._tracer = tracer
        self._common = dict(common)
        self._content = include_content
        self._conversation: str | None = None
        self._model: str | None = None
        self._root: Span | None = None
        self._turns, self._responses, self._tools = _Spans(), _Spans(), _Spans()
        self._began: OrderedDict[str, float] = OrderedDict()
        self._tokens: dict[str, Token[Context]] = {}
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration", unit="s", description="GenAI operation duration."
        )
        self._used = meter.create_histogram(
            "gen_ai.client.token.usage", unit="{token}", description="Number of input and output tokens used."
        )
        self._first_audio = meter.create_histogram(
            "voxwire.turn.first_audio",
            unit="s",
            description="From the user's end to the first audio received.",
        )
        self._first_heard = meter.create_histogram(
            "voxwire.turn.first_heard", unit="s", description="From the user's end to the first audio heard."
        )
        self._interruptions = meter.create_counter(
            "voxwire.turn.interruptions", unit="{interruption}", description="Replies that were cut."
        )
        self._handlers: Mapping[str, Callable[[Any], None]] = {
            "connection_change": self._connection,
            "session_updated": self._configured,
            "turn_started": self._response_started,
            "turn_done": self._response_done,
            "agent_handoff": self._handed_over,
            "agent_tool_start": self._tool_started,
            "agent_tool_end": self._tool_ended,
            "turn_metrics": self._turn_ended,
            "error": self._failed,
        }
        for name, handler in self._handlers.items():
            session.on(name, handler)

    def stop(self) -> None:
        """Tell of nothing any more; open spans are ended."""
        for name, handler in self._handlers.items():
            self._session.off(name, handler)
        self._end(_now())

    # -- the session --------------------------------------------------------------------------

    def _connection(self, event: ConnectionChange) -> None:
        if event.status == "connecting":
            self._end(_now())
            self._root = self._start("invoke_agent", _now())
        elif event.status == "disconnected":
            if event.error is not None:
                self._failed(ErrorEvent(event.error))
            # The turns that it ends are told of after it.
            asyncio.get_running_loop().call_soon(self._end, _now(), self._root)

    def _configured(self, event: SessionUpdated) -> None:
        conversation, model = event.session.get("id"), event.session.get("model")
        self._conversation = conversation if isinstance(conversation, str) else self._conversation
        self._model = model if isinstance(model, str) else self._model
        if self._root is not None:
            self._root.set_attributes(self._attributes("invoke_agent"))
            self._root.update_name(f"invoke_agent {self._agent_name()}")

    def _end(self, now: int, root: Span | None = None) -> None:
        if root is not None and root is not self._root:
            return  # a new connection has ended them
        for spans in (self._tools, self._responses, self._turns):
            spans.end_all(now)
        self._began.clear()
        self._tokens.clear()
        if self._root is not None:
            self._root.end(now)
            self._root = None

    def _failed(self, event: ErrorEvent) -> None:
        if self._root is not None:
            kind = type(event.error).__name__
            code = getattr(event.error, "code", None)
            attributes = (
                {"error.type": kind}
                if code is None
                else {"error.type": kind, "voxwire.error.code": str(code)}
            )
            self._root.add_event("error", attributes)

    def _handed_over(self, event: AgentHandoff) -> None:
        if self._root is not None:
            names = {"voxwire.handoff.from": event.from_agent.name, "voxwire.handoff.to": event.to_agent.name}
            self._root.add_event("handoff", names)

    # -- turns and responses ------------------------------------------------------------------

    def _turn(self, response_id: str | None) -> Span | None:
        """The span of the turn a response belongs to, begun when its turn began."""
        turns = self._session.meter.turns
        number = turns.turn_of(response_id)
        if number is None:
            return self._root
        span = self._turns[number]
        if span is None:
            span = self._start("turn", _at(turns.began_at(number)), parent=self._root)
            span.set_attribute("voxwire.turn.number", number)
            self._turns.put(number, span, _now())
        return span

    def _response_started(self, event: TurnStarted) -> None:
        span = self._start("chat", _now(), parent=self._turn(event.response_id), client=True)
        self._responses.put(event.response_id, span, _now())
        self._began[event.response_id] = time.monotonic()
        while len(self._began) > MAX_SPANS:
            self._began.popitem(last=False)

    def _response_done(self, event: TurnDone) -> None:
        attributes = self._attributes("chat")
        began = self._began.pop(event.response_id, None)
        failed = {"error.type": "response_failed"} if event.status == "failed" else {}
        if began is not None:
            self._duration.record(time.monotonic() - began, {**self._labels("chat"), **failed})
        for kind, tokens in (("input", event.usage.input_tokens), ("output", event.usage.output_tokens)):
            self._used.record(tokens, {**self._labels("chat"), "gen_ai.token.type": kind})
        span = self._responses.take(event.response_id)
        if span is None:
            return
        span.set_attributes({**attributes, **failed, **_usage(event)})
        span.set_attribute("gen_ai.response.id", event.response_id)
        span.set_attribute("gen_ai.response.finish_reasons", (event.status,))
        if self._content and (text := final_text(event.output)):
            part = {"type": "text", "content": text}
            said = [{"role": "assistant", "parts": [part], "finish_reason": event.status}]
            span.set_attribute("gen_ai.output.messages", json.dumps(said, ensure_ascii=False))
        if failed:
            _mark_failed(span, "the response failed")
        span.end()

    def _turn_ended(self, turn: TurnMetrics) -> None:
        labels = self._labels("chat")
        for histogram, value in (
            (self._first_audio, turn.first_audio_ms),
            (self._first_heard, turn.first_heard_ms),
        ):
            if value is not None:
                histogram.record(value / 1000, labels)
        if turn.interruptions:
            self._interruptions.add(turn.interruptions, labels)
        span = self._turns.take(turn.number)
        if span is None:
            return
        known = {
            "voxwire.turn.trigger": turn.trigger,
            "voxwire.turn.status": turn.status,
            "voxwire.turn.silence_ms": turn.silence_ms,
            "voxwire.turn.first_audio_ms": turn.first_audio_ms,
            "voxwire.turn.first_heard_ms": turn.first_heard_ms,
            "voxwire.turn.tool_ms": turn.tool_ms,
            "voxwire.turn.interruptions": turn.interruptions,
            "voxwire.turn.truncated_ms": turn.truncated_ms,
            "voxwire.turn.dropped_ms": turn.dropped_ms,
        }
        span.set_attributes({key: value for key, value in known.items() if value is not None})
        span.end(_at(turn.started_at + turn.duration_ms / 1000))

    # -- tools --------------------------------------------------------------------------------

    def _tool_started(self, event: AgentToolStart) -> None:
        from opentelemetry import context, trace

        span = self._start(
            "execute_tool", _now(), parent=self._turn(event.call.response_id), name=event.tool.name
        )
        call_id = event.call.call_id
        span.set_attributes(
            {
                "gen_ai.tool.name": event.tool.name,
                "gen_ai.tool.type": "function",
                "gen_ai.tool.call.id": call_id,
                "gen_ai.agent.name": event.agent.name,
            }
        )
        if self._content:
            span.set_attribute("gen_ai.tool.call.arguments", event.call.arguments)
        self._tools.put(call_id, span, _now())
        self._began[call_id] = time.monotonic()
        # The listeners of this event run in the task that the tool will run in.
        self._tokens[call_id] = context.attach(trace.set_span_in_context(span))

    def _tool_ended(self, event: AgentToolEnd) -> None:
        from opentelemetry import context

        call_id = event.call.call_id
        span, token = self._tools.take(call_id), self._tokens.pop(call_id, None)
        if token is not None:
            context.detach(token)
        failed = {} if event.error is None else {"error.type": type(event.error).__name__}
        began = self._began.pop(call_id, None)
        if began is not None:
            labels = {**self._labels("execute_tool"), "gen_ai.tool.name": event.tool.name, **failed}
            self._duration.record(time.monotonic() - began, labels)
        if span is None:
            return
        if self._content:
            span.set_attribute("gen_ai.tool.call.result", event.result)
        if event.error is not None:
            span.set_attributes(failed)
            _mark_failed(span, "the tool failed")
        span.end()

    # -- in common ----------------------------------------------------------------------------

    def _start(
        self,
        operation: str,
        at: int,
        *,
        parent: Span | None = None,
        name: str | None = None,
        client: bool = False,
    ) -> Span:
        from opentelemetry import trace

        title = {"invoke_agent": self._agent_name(), "chat": self._model, "turn": None}.get(operation, name)
        span: Span = self._tracer.start_span(
            f"{operation} {title}" if title else operation,
            context=trace.set_span_in_context(parent) if parent is not None else None,
            kind=trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL,
            attributes=self._attributes(operation),
            start_time=at,
        )
        return span

    def _agent_name(self) -> str:
        agent = getattr(self._session, "current_agent", None)
        return str(getattr(agent, "name", "") or "agent")

    def _labels(self, operation: str) -> dict[str, Any]:
        """Attributes of few values, for metrics."""
        labels = {**self._common, "gen_ai.operation.name": operation}
        return labels if self._model is None else {**labels, "gen_ai.request.model": self._model}

    def _attributes(self, operation: str) -> dict[str, Any]:
        attributes: dict[str, Any] = dict(self._common) if operation == "turn" else self._labels(operation)
        if self._conversation is not None:
            attributes["gen_ai.conversation.id"] = self._conversation
        if operation == "invoke_agent":
            attributes["gen_ai.agent.name"] = self._agent_name()
        return attributes


def _usage(event: TurnDone) -> dict[str, int]:
    used = event.usage
    return {
        "gen_ai.usage.input_tokens": used.input_tokens,
        "gen_ai.usage.output_tokens": used.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": used.input_cached_tokens,
        "voxwire.usage.input_audio_tokens": used.input_audio_tokens,
        "voxwire.usage.output_audio_tokens": used.output_audio_tokens,
    }


def _mark_failed(span: Span, words: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, words))


def _now() -> int:
    return time.time_ns()


def _at(when: float | None) -> int:
    """A time of the event loop's clock as ns since the epoch."""
    if when is None:
        return _now()
    return _now() - int((asyncio.get_running_loop().time() - when) * 1e9)
