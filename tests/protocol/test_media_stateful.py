"""Random calls whose audio comes as frames, with a small model of a service that plays it itself."""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from voxwire.protocol.actions import CancelTimer, Emit, Play, Send, SetTimer, StopPlayback
from voxwire.protocol.engine import EngineOptions, RealtimeEngine
from voxwire.protocol.transport_events import AudioInterrupted, AudioStarted, AudioStopped

OPTIONS = EngineOptions(media_plane=True, max_items=64, confirm_truncation=False)
JITTER_FRAMES = 3
"""Frames that are under way while events pass them."""


class Call(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.ids = itertools.count(1)
        self.engine = RealtimeEngine(ids=lambda prefix: f"{prefix}_c{next(self.ids)}", options=OPTIONS)
        self.now = 10.0
        self.timers: dict[str, float] = {}
        self.talking = False  # as the listeners were told
        self.reset_service()
        self.connect()

    def reset_service(self) -> None:
        self.active: str | None = None
        self.waiting: deque[str] = deque()  # generated, or being generated, and not played yet
        self.sounding: str | None = None
        self.under_way: deque[str | None] = deque([None] * JITTER_FRAMES)
        self.unwanted: set[str] = set()
        self.expect_clear = False
        self.clearing = False  # the service does so by itself

    def connect(self) -> None:
        self.do(self.engine.connect(None, self.now))
        self.do(self.engine.opened(self.now))
        self.receive("session.created", session={})

    def id(self, prefix: str) -> str:
        return f"{prefix}_s{next(self.ids)}"

    def do(self, actions: list[Any]) -> None:
        for action in actions:
            match action:
                case Send(event=event):
                    self.sent(event)
                case Play(audio=audio):
                    assert self.talking, "audio before audio_start"
                    assert audio.response_id not in self.unwanted
                    assert not audio.item_id or audio.item_id == f"item_of_{audio.response_id}"
                case Emit(event=AudioStarted()):
                    assert not self.talking
                    self.talking = True
                case Emit(event=AudioStopped()):
                    assert self.talking
                    self.talking = False
                case Emit(event=AudioInterrupted(truncations=cuts)):
                    for cut in cuts:
                        assert 0 <= cut.audio_end_ms <= (cut.received_ms or 0)
                    stopped = (self.sounding,) if self.clearing else (self.active, self.sounding)
                    self.unwanted |= {name for name in stopped if name}
                case StopPlayback(heard_ms=heard):
                    assert heard >= 0
                    if self.engine.status == "connected":
                        assert action is actions[0], "silence comes first"
                case SetTimer(name=name, at=at):
                    self.timers[name] = at
                case CancelTimer(name=name):
                    self.timers.pop(name, None)
                case _:
                    pass

    def sent(self, event: dict[str, Any]) -> None:
        assert event["type"] != "conversation.item.truncate", "the service truncates by itself"
        if event["type"] == "response.cancel":
            self.cancel()
        if event["type"] == "output_audio_buffer.clear":
            self.expect_clear = True

    def receive(self, type: str, **fields: Any) -> None:
        self.do(self.engine.receive({"type": type, **fields}, self.now))

    # -- the service

    def cancel(self) -> None:
        if self.active is not None:
            self.waiting = deque(name for name in self.waiting if name != self.active)

    @precondition(lambda self: self.active is None)
    @rule()
    def generate(self) -> None:
        self.active = response_id = self.id("resp")
        self.waiting.append(response_id)
        self.receive("response.created", response={"id": response_id, "conversation_id": "conv"})
        ids = {"response_id": response_id, "item_id": f"item_of_{response_id}", "content_index": 0}
        self.receive("response.content_part.added", **ids, part={"type": "audio"})

    @precondition(lambda self: self.active)
    @rule(status=st.sampled_from(["completed", "cancelled", "failed"]))
    def generated(self, status: str) -> None:
        response_id, self.active = self.active, None
        self.receive("response.done", response={"id": response_id, "status": status, "output": []})

    @precondition(lambda self: self.waiting and self.sounding is None)
    @rule()
    def start(self) -> None:
        self.sounding = self.waiting.popleft()
        self.receive("output_audio_buffer.started", response_id=self.sounding)

    @precondition(lambda self: self.sounding)
    @rule()
    def stop(self) -> None:
        sounding, self.sounding = self.sounding, None
        self.receive("output_audio_buffer.stopped", response_id=sounding)

    @precondition(lambda self: self.expect_clear)
    @rule()
    def clear(self) -> None:
        self.expect_clear = False
        if self.sounding is not None:
            self.clearing = True
            self.receive("output_audio_buffer.cleared", response_id=self.sounding)
            self.clearing, self.sounding = False, None

    @rule(frames=st.integers(1, 40), pause=st.booleans())
    def frames(self, frames: int, pause: bool) -> None:
        """In real time; what is heard lags behind what is played by the jitter buffer."""
        for _ in range(frames):
            self.pass_time(0.02)
            self.under_way.append(self.sounding)
            silent = self.under_way.popleft() is None or pause
            before = self.engine.playback.state, len(self.timers)
            actions = self.engine.media(bytes(960), silent, self.now)
            if silent and self.engine.plane is not None and self.engine.plane.quiet and not actions:
                assert (self.engine.playback.state, len(self.timers)) == before
            self.do(actions)

    @rule()
    def user_speaks(self) -> None:
        self.receive("input_audio_buffer.speech_started", item_id="u", audio_start_ms=1)
        self.cancel()
        self.expect_clear = True

    @rule(kind=st.sampled_from(["started", "stopped", "cleared"]), name=st.sampled_from([None, "", 3, "x"]))
    def nonsense(self, kind: str, name: Any) -> None:
        if kind != "started":
            self.receive(f"output_audio_buffer.{kind}", response_id=name)

    @rule()
    def truncated(self) -> None:
        item_id = f"item_of_{self.sounding}"
        self.receive("conversation.item.truncated", item_id=item_id, content_index=0, audio_end_ms=70)

    # -- the user

    @rule()
    def interrupt(self) -> None:
        actions = self.engine.interrupt(self.now)
        kinds = [action.event["type"] for action in actions if isinstance(action, Send)]
        assert kinds.count("output_audio_buffer.clear") == 1
        self.do(actions)
        assert not self.talking

    @rule(generation=st.booleans(), playback=st.booleans())
    def interrupt_one(self, generation: bool, playback: bool) -> None:
        name = self.active or self.sounding or "x"
        self.do(self.engine.interrupt_response(name, self.now, generation=generation, playback=playback))

    @rule(behind=st.floats(0, 300))
    def sink_reports(self, behind: float) -> None:
        self.engine.report_heard(self.engine.playback.heard_ms(self.now) - behind)

    @rule(seconds=st.sampled_from([0.1, 0.6, 3.0]))
    def pass_time(self, seconds: float) -> None:
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

    @rule()
    def reconnect(self) -> None:
        self.do(self.engine.disconnected(self.now, code=1006))
        assert self.timers == {}
        assert not self.talking
        self.reset_service()
        self.connect()

    # -- what must hold

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.engine.playback) <= 4096
        assert len(self.engine.playback._parts) <= 256
        assert len(self.timers) <= 4

    def teardown(self) -> None:
        """Once the service falls silent, so does the listener's end."""
        self.engine.report_heard(1e9)
        if self.sounding is not None:
            self.stop()
        self.frames(120, pause=False)
        self.engine.report_heard(1e9)
        self.pass_time(6.0)
        assert not self.talking
        assert self.engine.plane is not None
        assert self.engine.plane.quiet


Call.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
TestCall = Call.TestCase
