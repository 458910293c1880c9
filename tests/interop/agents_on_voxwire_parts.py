"""The parts of the seam between openai-agents and voxwire, one scenario per name; prints JSON lines.

    python agents_on_voxwire_parts.py NAME [URL]

Runs where openai-agents is installed, with voxwire on the PYTHONPATH.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable
from typing import Any

from agents import GuardrailFunctionOutput, OutputGuardrail, function_tool, handoff
from agents.realtime import (
    RealtimeAgent,
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
    RealtimePlaybackTracker,
    RealtimeRunner,
)
from agents.realtime.openai_realtime import OpenAIRealtimeWebSocketModel

from voxwire import (
    AudioEvent,
    AudioInterrupted,
    ConnectionLost,
    DtmfReceived,
    FunctionCall,
    ItemDeleted,
    ItemTruncation,
    OpenAIRealtimeWebSocket,
    TranscriptDelta,
    TurnDone,
    TurnStarted,
    Usage,
)
from voxwire.audio import PacedSink
from voxwire.integrations.agents_settings import settings_to_wire
from voxwire.integrations.openai_agents import as_realtime_model
from voxwire.testing import ScriptedRealtimeTransport

logging.disable(logging.CRITICAL)


def show(kind: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"kind": kind, **fields}, default=str) + "\n")
    sys.stdout.flush()


@function_tool(needs_approval=True)
def delete(name: str) -> str:
    """Delete a file."""
    return f"deleted {name}"


class Listener:
    """A model's listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def on_event(self, event: Any) -> None:
        self.events.append(event)

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.002)


# -- whole sessions over a socket ---------------------------------------------------------------


async def session_events(
    url: str, agent: RealtimeAgent[Any], on_event: Callable[..., Any], **config: Any
) -> None:
    model = as_realtime_model(OpenAIRealtimeWebSocket(url=url))
    runner = RealtimeRunner(agent, model=model, config=config or None)
    session = await runner.run(
        model_config={"api_key": "k", "initial_model_settings": {"turn_detection": None}}
    )
    async with session, asyncio.timeout(30):
        await session.send_message("Go.")
        async for event in session:
            if await on_event(session, event):
                return


async def approval(url: str) -> None:
    agent = RealtimeAgent(name="Ann", tools=[delete])
    asked: list[str] = []

    async def on_event(session: Any, event: Any) -> bool:
        if event.type == "tool_approval_required":
            asked.append(event.call_id)
            show("asked", tool=event.tool.name, arguments=event.arguments)
            if len(asked) == 1:
                await session.approve_tool_call(event.call_id)
            else:
                await session.reject_tool_call(event.call_id, rejection_message="Better not.")
        elif event.type == "tool_end":
            show("tool_end", output=event.output)
        elif event.type == "history_updated":
            outputs = [item.output for item in event.history if item.type == "function_call" and item.output]
            texts = [
                part.transcript
                for item in event.history
                if item.type == "message" and item.role == "assistant"
                for part in item.content
            ]
            if texts and texts[-1] == "Done.":
                show("history", outputs=outputs)
                return True
        return False

    await session_events(url, agent, on_event)


async def guardrail(url: str) -> None:
    """The guardrail trips while the sentence is being spoken: it is cut, and the correction is sent."""

    async def check(_context: Any, _agent: Any, text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered="forbidden" in text)

    seen: list[str] = []

    async def on_event(_session: Any, event: Any) -> bool:
        if event.type in ("guardrail_tripped", "audio_interrupted"):
            seen.append(event.type)
        if event.type == "raw_model_event" and event.data.type == "raw_server_event":
            data = event.data.data
            if data["type"] == "response.done":
                seen.append(f"response {data['response']['status']}")
            if data["type"] == "conversation.item.truncated":
                seen.append("truncated")
        items = event.history if event.type == "history_updated" else [getattr(event, "item", None)]
        for item in items if event.type in ("history_updated", "history_added") else ():
            said = [part.text or "" for part in item.content] if getattr(item, "role", "") == "user" else []
            if any("guardrail triggered: no_forbidden" in text for text in said):
                show("seen", events=sorted(set(seen)))
                return True
        return False

    agent = RealtimeAgent(name="Ann", output_guardrails=[OutputGuardrail(check, name="no_forbidden")])
    await session_events(url, agent, on_event, guardrails_settings={"debounce_text_length": 10})


# -- the model alone ---------------------------------------------------------------------------


async def scripted() -> None:
    """Decisions, on a scripted transport."""
    transport, listener = ScriptedRealtimeTransport(), Listener()
    model = as_realtime_model(transport)
    model.add_listener(listener)
    model.add_listener(listener)
    await model.connect({"api_key": "k", "url": "wss://x", "initial_model_settings": {"instructions": "Hi."}})
    [connect] = [call for call in transport.calls if call.method == "connect"]
    show(
        "connect",
        url=connect["url"],
        tracing=connect["initial_session_config"]["tracing"],
        instructions=connect["initial_session_config"]["instructions"],
    )
    show("base", subclass=type(model).__mro__[2].__name__)
    emit = transport.emit
    emit(TurnStarted("r1"))
    emit(AudioEvent(b"ab", "i1", "r1"))
    emit(TranscriptDelta("Hel", "i1", "r1"))
    emit(FunctionCall("c1", "look", "{}", "i2", "r1", "i1"))
    emit(DtmfReceived("5"))
    emit(ItemDeleted("gone"))
    emit({"type": "future.event", "x": 1})
    raw_usage = {"input_tokens": 3, "output_tokens": 4}
    emit(TurnDone("r1", "completed", None, (), Usage(1, 3, 4, 1, 2), {"id": "r1", "usage": raw_usage}))
    await listener.until(lambda: listener.of("turn_ended"))
    show("events", types=[event.type for event in listener.events])
    [call] = listener.of("function_call")
    show("call", item=listener.of("item_updated")[0].item.status, id=call.id, previous=call.previous_item_id)
    [used] = listener.of("usage")
    show("usage", total=used.usage.total_tokens, audio=used.input_tokens_details.audio_tokens)
    listener.events.clear()
    await model.send_event(RealtimeModelSendToolOutput(call, "seen", start_response=False))
    [sent] = [entry for entry in transport.calls if entry.method == "send_function_call_output"]
    item = listener.events[0].item
    show(
        "output",
        output=sent["output"],
        start=sent["start_response"],
        item=[item.status, item.output, item.call_id],
    )
    await model.send_event(
        RealtimeModelSendRawMessage({"type": "response.create", "other_data": {"response": {}}})
    )
    await model.send_event(RealtimeModelSendAudio(b"abcd", commit=True))
    await model.send_event(RealtimeModelSendUserInput({"type": "message", "role": "user", "content": [
        {"type": "input_text", "text": "See"}, {"type": "input_text"}, {"type": "mystery"},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
    ]}))  # fmt: skip
    await model.send_event(RealtimeModelSendSessionUpdate({"instructions": "New."}))
    await model.send_event(RealtimeModelSendInterrupt())
    show("calls", methods=[entry.method for entry in transport.calls][2:])
    show("message", content=transport.calls[-3]["message"]["content"])
    # conditional sends
    yes = await model.send_event_if(RealtimeModelSendUserInput("fix"), lambda: True)
    no = await model.send_event_if(RealtimeModelSendUserInput("fix"), lambda: False)
    show(
        "if",
        answers=[yes, no],
        sent=[e["message"] for e in transport.calls if e.method == "send_message"][1:],
    )
    for flags in (
        {"playback_only": True, "force_response_cancel": True},
        {"playback_only": True, "cancel_response_only": True},
        {"cancel_response_only": True},
    ):
        try:
            await model.send_event(RealtimeModelSendInterrupt(**flags))
        except ValueError as error:
            show("refused", error=str(error))
    # one response only
    listener.events.clear()
    emit(TurnStarted("r2"))
    emit(AudioEvent(b"ab", "i3", "r2"))
    await listener.until(lambda: listener.of("audio"))
    await model.send_event(RealtimeModelSendInterrupt(response_id="r2", force_response_cancel=True))
    await model.send_event(RealtimeModelSendInterrupt(response_id="other", playback_only=True))
    emit(AudioEvent(b"cd", "i3", "r2"))
    emit(AudioInterrupted((ItemTruncation("i3", 0, 0),)))
    emit(TranscriptDelta("late", "i3", "r2"))
    await listener.until(lambda: listener.of("transcript_delta"))
    show("scoped", types=[event.type for event in listener.events if event.type != "raw_server_event"])
    show("cancel", event=[e["event"] for e in transport.calls if e.method == "send_event"][-1])
    listener.events.clear()
    await transport.disconnect(ConnectionLost("gone", code=1006))
    await listener.until(lambda: listener.of("exception"))
    show(
        "lost",
        types=sorted({event.type for event in listener.events}),
        error=str(listener.of("exception")[0].exception),
    )
    await model.close()
    await model.connect({})
    listener.events.clear()
    await transport.disconnect(ConnectionLost("60 minutes", code=1001))
    await listener.until(lambda: listener.of("end_of_stream"))
    types = [event.type for event in listener.events if event.type != "error"]
    show("expired", types=types[-2:])
    await model.close()
    await model.connect({})
    listener.events.clear()
    await model.close()
    show("closed", events=len(listener.events), status=transport.status)
    for options in ({"headers": {}}, {"call_id": "c", "initial_model_settings": {"model_name": "m"}}):
        try:
            await model.connect(options)
        except Exception as error:
            show("refused", error=str(error))
    transport.fail_next_call("connect", OSError("no route"))
    try:
        await model.connect({})
    except OSError as error:
        show("failed", error=str(error))
    await model.connect({})
    try:
        await model.connect({})
    except Exception as error:
        show("refused", error=str(error))
    try:
        await model.send_event(object())
    except Exception as error:
        show("refused", error=str(error))

    class Broken:
        async def on_event(self, event: Any) -> None:
            if event.type == "turn_started":
                raise RuntimeError("listener")

    listener.events.clear()
    broken = Broken()
    model.add_listener(broken)
    emit(TurnStarted("r9"))
    await listener.until(lambda: listener.of("exception"))
    show("broken", error=str(listener.of("exception")[0].exception))
    model.remove_listener(broken)
    model.remove_listener(broken)
    await model.close()


async def tracker(url: str) -> None:
    """What their tracker says was played is where the reply is cut."""
    sink, listener, tracker = PacedSink(lambda _frame: None), Listener(), RealtimePlaybackTracker()
    transport = OpenAIRealtimeWebSocket(url=url, audio_output=sink)
    model = as_realtime_model(transport)
    model.add_listener(listener)
    settings = {"turn_detection": None, "output_audio_format": "g711_ulaw"}
    await model.connect({"api_key": "k", "playback_tracker": tracker, "initial_model_settings": settings})
    await model.send_event(RealtimeModelSendUserInput("Go."))
    await listener.until(lambda: listener.of("turn_ended"))
    audio = listener.of("audio")
    item, index = audio[0].item_id, audio[0].content_index
    show("format", ms=len(audio[0].data) / 8, format=tracker._format)
    tracker.on_play_bytes(item, index, bytes(1600))
    tracker.on_play_ms(item, index, 40)
    other = RealtimeModelSendInterrupt(response_id="resp_other", playback_only=True)
    await model.send_event(other)
    show("untouched", state=tracker.get_state()["elapsed_ms"])
    scoped = RealtimeModelSendInterrupt(response_id=audio[0].response_id, playback_only=True)
    await model.send_event(scoped)
    await listener.until(
        lambda: [
            e for e in listener.of("raw_server_event") if e.data["type"] == "conversation.item.truncated"
        ]
    )
    [cut] = [
        e.data for e in listener.of("raw_server_event") if e.data["type"] == "conversation.item.truncated"
    ]
    show("cut", at=cut["audio_end_ms"], same=cut["item_id"] == item, told=tracker.get_state()["elapsed_ms"])
    show("interrupted", times=len(listener.of("audio_interrupted")))
    await model.close()
    show("given back", same=transport.audio_output is sink)


def settings() -> None:
    """Our conversion of settings, and theirs."""
    leo = RealtimeAgent(name="Leo", handoff_description="Stories.")
    off = handoff(RealtimeAgent(name="Off"), is_enabled=False)  # type: ignore[arg-type]
    base = {
        "model_name": "gpt-realtime-2",
        "instructions": "Be kind.",
        "tools": [delete],
        "handoffs": [handoff(leo), off],
    }  # type: ignore[arg-type]
    cases: dict[str, dict[str, Any]] = {
        "plain": {},
        "flat": {"voice": "marin", "speed": 1.2, "modalities": ["text"], "input_audio_format": "g711_ulaw",
                 "output_audio_format": "g711_alaw", "turn_detection": None, "input_audio_noise_reduction": None,
                 "input_audio_transcription": {"model": "whisper-1", "language": "en"}},
        "nested": {"audio": {"input": {"format": "pcm16", "noise_reduction": {"type": "near_field"},
                                       "transcription": {"model": "gpt-4o-transcribe", "prompt": "names"},
                                       "turn_detection": {"type": "server_vad", "silenceDurationMs": 300, "threshold": 0.4}},
                             "output": {"format": {"type": "audio/pcmu"}, "voice": {"id": "v1"}, "speed": 0.9}}},
        "half": {"audio": {"output": None}, "output_modalities": ["audio"]},
        "rest": {"tool_choice": "required", "parallel_tool_calls": False, "max_output_tokens": 100,
                 "prompt": {"id": "p1", "variables": {"a": "b"}}, "reasoning": {"effort": "low"}},
        "semantic": {"turn_detection": {"type": "semantic_vad", "eagerness": "low", "createResponse": False}},
    }  # fmt: skip
    for name, case in cases.items():
        for attached in (False, True):
            given: Any = {**base, **case}
            model = OpenAIRealtimeWebSocketModel()
            model._call_id = "rtc_1" if attached else None
            theirs = model._get_session_config(given).model_dump(mode="json", exclude_unset=True)
            ours = settings_to_wire(given, model="other", attached=attached)
            show("settings", name=name, attached=attached, ours=ours, theirs=theirs)


SCENARIOS: dict[str, Callable[..., Any]] = {
    "approval": approval, "guardrail": guardrail, "scripted": scripted, "tracker": tracker,
}  # fmt: skip


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    if name == "settings":
        settings()
    else:
        asyncio.run(SCENARIOS[name](*arguments))
