"""Random conversations with a small model of the service, and what must hold in all of them."""

from __future__ import annotations

import base64
import itertools
from collections import Counter, deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from voxwire.errors import UserError
from voxwire.protocol.actions import CancelTimer, Emit, Fail, Play, Send, SetTimer
from voxwire.protocol.engine import EngineOptions, RealtimeEngine
from voxwire.protocol.items import InputText, MessageItem
from voxwire.protocol.responses import BUSY
from voxwire.protocol.transport_events import AudioInterrupted, ErrorEvent, FunctionCall

OPTIONS = EngineOptions(response_timeout=5, stall_timeout=20, max_items=64)


def is_out_of_band(event: dict[str, Any]) -> bool:
    return bool(event.get("response", {}).get("conversation") == "none")


class Conversation(RuleBasedStateMachine):
    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.ids = itertools.count(1)
        self.engine = RealtimeEngine(ids=lambda prefix: f"{prefix}_c{next(self.ids)}", options=OPTIONS)
        self.now = 10.0
        self.timers: dict[str, float] = {}
        self.order: list[str] = []  # the service's conversation
        self.reset_service()
        self.connect()

    # -- the service

    def reset_service(self) -> None:
        self.inbox: deque[dict[str, Any]] = deque()  # creates the service has not looked at
        self.active: str | None = None
        self.side: list[str] = []
        self.finished: list[str] = []
        self.received: Counter[tuple[str, int]] = Counter()
        self.silenced: set[str] = set()  # responses whose audio must not be played any more
        self.unanswered: dict[str, bool] = {}  # creates in flight, as far as the client can know
        self.announced: dict[str, str] = {}
        self.outputs: Counter[str] = Counter()
        self.owed: dict[str, set[str]] = {}  # per response: calls that have no output
        self.order.clear()

    def id(self, prefix: str) -> str:
        return f"{prefix}_s{next(self.ids)}"

    def do(self, actions: list[Any]) -> None:
        for action in actions:
            match action:
                case Send(event=event):
                    self.sent(event)
                case Play(audio=audio):
                    assert audio.response_id not in self.silenced
                case Emit(event=AudioInterrupted()):
                    if self.active is not None and self.engine.responses.state != "requested":
                        self.silenced.add(self.active)
                case Emit(event=FunctionCall() as call):
                    assert call.call_id not in self.announced, "announced twice"
                    self.announced[call.call_id] = call.response_id or ""
                    self.owed.setdefault(call.response_id or "", set()).add(call.call_id)
                case Emit(event=ErrorEvent(error=error)):
                    self.unanswered.pop(getattr(error, "event_id", None) or "", None)
                case SetTimer(name=name, at=at):
                    self.timers[name] = at
                case CancelTimer(name=name):
                    self.timers.pop(name, None)
                case Fail():
                    raise AssertionError(action)
                case _:
                    pass

    def sent(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "response.create":
                assert not self.unanswered, "two creates in flight"
                self.unanswered[event["event_id"]] = is_out_of_band(event)
                self.inbox.append(event)
            case "conversation.item.truncate":
                key = event["item_id"], event["content_index"]
                assert type(event["audio_end_ms"]) is int
                assert 0 <= event["audio_end_ms"] <= self.received[key]
            case "conversation.item.create" if event["item"]["type"] == "function_call_output":
                call_id = event["item"]["call_id"]
                self.outputs[call_id] += 1
                assert self.outputs[call_id] == 1, "answered twice"
            case "conversation.item.create":
                self.add_item(event["item"], event.get("previous_item_id"))
            case "conversation.item.delete":
                if event["item_id"] in self.order:
                    self.order.remove(event["item_id"])
                    self.receive("conversation.item.deleted", item_id=event["item_id"], later=True)
            case "response.cancel" if event.get("response_id") in (None, self.active):
                if self.active is not None:
                    self.silenced.add(self.active)
            case _:
                pass

    def add_item(self, item: dict[str, Any], previous: str | None) -> None:
        item = {"id": self.id("item"), **item}
        if item["id"] in self.order:
            return
        if previous == "root":
            self.order.insert(0, item["id"])
            told = None
        elif previous in self.order:
            self.order.insert(self.order.index(previous) + 1, item["id"])
            told = previous
        else:
            told = self.order[-1] if self.order else None
            self.order.append(item["id"])
        self.receive("conversation.item.added", item=item, previous_item_id=told, later=True)

    def receive(self, type: str, *, later: bool = False, **fields: Any) -> None:
        if later:
            self.mail.append({"type": type, **fields})
        else:
            self.deliver()  # a connection keeps the order
            self.do(self.engine.receive({"type": type, **fields}, self.now))

    def connect(self) -> None:
        self.mail: deque[dict[str, Any]] = deque()
        self.do(self.engine.connect(None, self.now))
        self.do(self.engine.opened(self.now))
        self.receive("session.created", session={})
        assert self.engine.connection == "connected"

    def teardown(self) -> None:
        self.deliver()
        self.nothing_waits_for_ever()

    # -- what the service does

    @rule()
    def deliver(self) -> None:
        while self.mail:
            self.do(self.engine.receive(self.mail.popleft(), self.now))

    @precondition(lambda self: self.inbox)
    @rule(fate=st.sampled_from(["answer", "answer", "answer", "refuse", "lose"]))
    def look_at_create(self, fate: str) -> None:
        event = self.inbox.popleft()
        if fate == "lose":
            return
        self.unanswered.pop(event["event_id"], None)
        if fate == "refuse":
            self.fail(event["event_id"], "invalid_value")
        elif is_out_of_band(event):
            self.begin(None)
        elif self.active is not None:
            self.fail(event["event_id"], BUSY)
        else:
            self.begin("conv")

    def fail(self, event_id: str, code: str) -> None:
        self.receive("error", error={"event_id": event_id, "code": code, "message": "no"})

    def begin(self, conversation: str | None) -> None:
        response_id = self.id("resp")
        if conversation is None:
            self.side.append(response_id)
        else:
            self.active = response_id
        # It cannot know whose answer this is, only of which kind.
        side = conversation is None
        if side and not self.engine.responses._names_conversations:
            self.unanswered.clear()  # not even that
        self.unanswered = {name: kind for name, kind in self.unanswered.items() if kind != side}
        self.receive("response.created", response={"id": response_id, "conversation_id": conversation})

    @precondition(lambda self: self.active is None)
    @rule()
    def voice_response(self) -> None:
        self.begin("conv")

    @precondition(lambda self: self.active or self.side)
    @rule(data=st.data(), ms=st.integers(1, 3000), index=st.integers(0, 1))
    def speak(self, data: Any, ms: int, index: int) -> None:
        response_id = data.draw(st.sampled_from([name for name in (self.active, *self.side) if name]))
        item_id = f"item_of_{response_id}"
        if response_id == self.active and item_id not in self.order:
            self.deliver()
            item = {"id": item_id, "type": "message", "role": "assistant", "content": []}
            previous = self.order[-1] if self.order else None
            self.order.append(item_id)
            self.receive("response.output_item.added", response_id=response_id, item=item)
            self.receive("conversation.item.added", item=item, previous_item_id=previous)
        ids = {"response_id": response_id, "item_id": item_id, "content_index": index}
        self.receive("response.output_audio_transcript.delta", **ids, delta="word ")
        self.received[item_id, index] += ms
        self.receive("response.output_audio.delta", **ids, delta=base64.b64encode(bytes(ms * 48)).decode())

    @precondition(lambda self: self.active)
    @rule(target=calls)
    def call_tool(self) -> Any:
        call_id = self.id("call")
        item = {"id": self.id("item"), "type": "function_call", "call_id": call_id, "name": "t"}
        self.order.append(item["id"])
        self.receive("response.output_item.done", response_id=self.active, item=item)
        return FunctionCall(call_id, "t", "{}", item["id"], self.active)

    @precondition(lambda self: self.active or self.side)
    @rule(data=st.data(), status=st.sampled_from(["completed", "cancelled", "failed"]), lost=st.booleans())
    def end(self, data: Any, status: str, lost: bool) -> None:
        response_id = data.draw(st.sampled_from([name for name in (self.active, *self.side) if name]))
        if response_id == self.active:
            self.active = None
        else:
            self.side.remove(response_id)
        self.finished.append(response_id)
        if not (lost and status == "failed"):
            self.receive("response.done", response={"id": response_id, "status": status, "output": []})
            self.silenced.discard(response_id)

    @precondition(lambda self: self.silenced - set(self.finished))
    @rule()
    def late_audio(self) -> None:
        response_id = min(self.silenced - set(self.finished))
        delta = base64.b64encode(bytes(480)).decode()
        self.received[f"item_of_{response_id}", 0] += 10
        ids = {"response_id": response_id, "item_id": f"item_of_{response_id}", "content_index": 0}
        self.receive("response.output_audio.delta", **ids, delta=delta)

    @rule()
    def user_speaks(self) -> None:
        self.receive("input_audio_buffer.speech_started", item_id="u", audio_start_ms=1)

    @rule(kind=st.sampled_from(["response.done", "response.created", "error", "conversation.item.added"]))
    def nonsense(self, kind: str) -> None:
        if kind == "response.created":
            self.unanswered.clear()  # without an id, it counts as an answer
        self.receive(kind, response=[], item=3, error="x")

    # -- what the user does

    @rule(trigger=st.booleans())
    def send_message(self, trigger: bool) -> None:
        self.do(self.engine.send_message("hi", None, self.now, trigger_response=trigger))

    @rule(response=st.sampled_from([None, {"instructions": "x"}, {"conversation": "none"}]))
    def request_response(self, response: Any) -> None:
        self.do(self.engine.request_response(response, self.now))

    @rule()
    def raw_create(self) -> None:
        self.do(self.engine.send_event({"type": "response.create"}, self.now))

    @rule()
    def interrupt(self) -> None:
        self.do(self.engine.interrupt(self.now))
        before = len(self.engine.playback)
        actions = self.engine.interrupt(self.now)
        assert not [action for action in actions if isinstance(action, Send)], "the second is a no-op"
        assert before == 0
        self.do(actions)

    @rule(call=consumes(calls), start=st.booleans())
    def answer(self, call: FunctionCall, start: bool) -> None:
        if call.call_id not in self.announced:
            try:  # of an earlier connection: refused
                self.do(self.engine.send_function_call_output(call, "x", self.now, start_response=start))
            except UserError:
                return
            raise AssertionError("a dropped call was answered")
        siblings = self.owed[self.announced[call.call_id]]
        actions = self.engine.send_function_call_output(call, "x", self.now, start_response=start)
        siblings.discard(call.call_id)
        if siblings:
            creates = [a for a in actions if isinstance(a, Send) and a.event["type"] == "response.create"]
            assert not creates, "went on before all siblings were answered"
        self.do(actions)
        try:
            self.engine.send_function_call_output(call, "x", self.now)
        except UserError:
            return
        raise AssertionError("answered twice")

    @rule(words=st.sampled_from("abc"))
    def update_session(self, words: str) -> None:
        actions = self.engine.update_session({"instructions": words})
        self.do(actions)
        assert self.engine.update_session({"instructions": words}) == []

    @rule(keep=st.integers(0, 3))
    def reset_history(self, keep: int) -> None:
        self.deliver()
        old = self.engine.history.snapshot()
        new = [*old[:keep], MessageItem(self.id("item"), "user", (InputText("new"),)), *old[keep + 1 :]]
        self.do(self.engine.reset_history(old, new))

    @rule(seconds=st.sampled_from([0.01, 0.5, 6.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        for _ in range(4000):
            due = [(at, name) for name, at in self.timers.items() if at <= end]
            if not due:
                break
            at, name = min(due)
            del self.timers[name]
            self.now = max(self.now, at)
            self.do(self.engine.timer(name, self.now))
        else:
            raise AssertionError("timers without end")
        self.now = end

    @rule(heard=st.floats(-10, 100_000))
    def sink_reports(self, heard: float) -> None:
        self.engine.report_heard(heard)

    @rule()
    def reconnect(self) -> None:
        self.do(self.engine.disconnected(self.now, code=1006))
        assert self.timers == {}
        assert self.engine.disconnected(self.now) == []
        self.reset_service()
        self.connect()

    # -- what must hold

    @invariant()
    def history_is_in_order(self) -> None:
        items = self.engine.history.snapshot()
        ids = [item.item_id for item in items]
        assert len(ids) == len(set(ids))
        if not self.mail:
            known = [item_id for item_id in self.order if item_id in ids]
            assert [item_id for item_id in ids if item_id in self.order] == known

    @invariant()
    def memory_is_bounded(self) -> None:
        engine = self.engine
        assert len(engine.history) <= OPTIONS.max_items
        assert len(engine.playback._parts) <= 256
        assert len(engine.calls) <= 1024
        assert engine.responses.pending <= 513
        assert len(self.timers) <= 4

    def nothing_waits_for_ever(self) -> None:
        """The service answers everything, and where it does not, time does."""
        for _ in range(engine_limit := 300):
            while self.inbox:
                self.look_at_create("answer")
            for response_id in [name for name in (self.active, *self.side) if name]:
                self.receive("response.done", response={"id": response_id})
            self.active, self.side = None, []
            self.deliver()
            if not (self.engine.responses.pending or self.engine.responses.in_flight):
                break
            self.time_passes(30.0)
        else:
            raise AssertionError(f"still waiting after {engine_limit} rounds")


Conversation.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestConversation = Conversation.TestCase
