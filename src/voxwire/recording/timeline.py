"""What happened in a conversation, and when: built from events, with the time handed in.

All times are ms since the recording began. Nothing here waits, reads a clock or prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..protocol.items import MessageItem, OutputAudio, RealtimeItem
from ..protocol.server_events import (
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemTruncatedEvent,
)
from ..protocol.transport_events import (
    AudioEvent,
    AudioInterrupted,
    AudioStarted,
    AudioStopped,
    ConnectionChange,
    ErrorEvent,
    HistoryUpdated,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    TurnStarted,
    UserSpeechStarted,
    UserSpeechStopped,
    UserTranscriptDelta,
)
from ..session.events import AgentHandoff, AgentToolEnd, AgentToolStart
from .turns import HandoffMade, Interruption, Reply, ToolUse, Turn, decoded_arguments

__all__ = ["Timeline"]

JUST_BEGAN_MS = 100.0


class Timeline:
    """The turns of a conversation, oldest first.

    Args:
        agent: the name of who begins.
        max_turns: when there are more, the oldest are forgotten, and counted in `forgotten`.
    """

    def __init__(self, agent: str, *, max_turns: int = 2000) -> None:
        self.max_turns = max_turns
        self.forgotten = 0
        self.agent = agent
        self.first_agent = agent
        self.turns: list[Turn] = []
        self.interruptions: list[Interruption] = []
        self.errors: list[tuple[float, str]] = []
        self.duration_ms = 0.0
        self._last_error: Exception | None = None
        self._responses: dict[str, tuple[Turn, str, float]] = {}
        self._active: set[str] = set()
        self._replies: dict[str, Reply] = {}
        self._calls: dict[str, ToolUse] = {}
        self._speech: dict[str, tuple[Turn, str]] = {}  # what was understood, by item
        self._queue_end_ms = 0.0
        self._takers = self._make_takers()

    # -- the user ------------------------------------------------------------------------------

    def user_begins(self, text: str, at: float, *, typed: bool = False) -> Turn:
        """The user begins to speak, or sends what was typed."""
        turn = Turn(self.forgotten + len(self.turns) + 1, text, at, typed)
        if typed:
            turn.end_ms = turn.recognised_ms = at
            turn.recognised = text
        self.turns.append(turn)
        if len(self.turns) > self.max_turns:
            self._forget(self.turns.pop(0))
        return turn

    def _forget(self, turn: Turn) -> None:
        """A long conversation is told from where there is room for it."""
        self.forgotten += 1
        self._responses = {key: entry for key, entry in self._responses.items() if entry[0] is not turn}
        self._speech = {key: entry for key, entry in self._speech.items() if entry[0] is not turn}
        self._replies = {key: reply for key, reply in self._replies.items() if reply not in turn.replies}
        self._calls = {key: use for key, use in self._calls.items() if use not in turn.tools}
        self.interruptions = [cut for cut in self.interruptions if cut.reply not in turn.replies]

    def user_ends(self, at: float) -> None:
        """The user's last sample was sent."""
        if self.turns:
            self.turns[-1].end_ms = at

    # -- what can be asked while it goes on -------------------------------------------------------

    @property
    def current(self) -> Turn | None:
        """The turn that began last."""
        return self.turns[-1] if self.turns else None

    @property
    def settled(self) -> bool:
        """Whether everything that was said so far was answered, and the answers heard."""
        turn = self.current
        return turn is None or (not self._active and turn.settled)

    @property
    def playing(self) -> Reply | None:
        """The reply that is being heard."""
        return next(
            (r for r in self._replies.values() if r.heard_from_ms is not None and r.heard_until_ms is None),
            None,
        )

    # -- events ----------------------------------------------------------------------------------

    def take(self, event: object, at: float) -> None:
        """Something happened at `at`. Events that say nothing of a conversation are passed over."""
        self.duration_ms = max(self.duration_ms, at)
        taker = self._takers.get(type(event))
        if taker is not None:
            taker(event, at)

    def _make_takers(self) -> Mapping[type, Callable[[Any, float], None]]:
        return {
            AgentHandoff: self._handed_over,
            AgentToolEnd: self._tool_ended,
            AgentToolStart: self._tool_started,
            AudioEvent: self._audio,
            AudioInterrupted: self._interrupted,
            AudioStarted: self._heard,
            AudioStopped: lambda _, at: self._silent(at),
            ConnectionChange: self._connection_changed,
            ConversationItemInputAudioTranscriptionCompletedEvent: self._user_text,
            ConversationItemTruncatedEvent: self._truncated,
            HistoryUpdated: lambda event, _: self._remember(event),
            ErrorEvent: lambda event, at: self._failed(event.error, at),
            TextDelta: self._agent_text,
            TranscriptDelta: self._agent_text,
            TurnDone: self._response_ended,
            TurnStarted: self._response_began,
            UserSpeechStarted: self._speech_began,
            UserSpeechStopped: self._speech_ended,
            UserTranscriptDelta: self._user_words,
        }

    def _failed(self, error: Exception, at: float) -> None:
        if error is self._last_error:
            return  # told by the transport and by the session
        self._last_error = error
        del self.errors[: -self.max_turns]
        self.errors.append((at, f"{type(error).__name__}: {error}"))

    def _connection_changed(self, event: ConnectionChange, at: float) -> None:
        if event.status == "disconnected" and event.error is not None:
            self._failed(event.error, at)

    # -- what the user said ------------------------------------------------------------------------

    def _speech_began(self, event: UserSpeechStarted, _at: float) -> None:
        self._turn_of(event.item_id)

    def _speech_ended(self, event: UserSpeechStopped, at: float) -> None:
        if (turn := self._turn_of(event.item_id)) is not None:
            turn.detected_ms = at

    def _user_words(self, event: UserTranscriptDelta, _at: float) -> None:
        known = self._speech[event.item_id][1] if event.item_id in self._speech else ""
        self._understood(event.item_id, known + event.delta)

    def _user_text(self, event: ConversationItemInputAudioTranscriptionCompletedEvent, at: float) -> None:
        self._understood(event.item_id, event.transcript.strip())
        if (turn := self._turn_of(event.item_id)) is not None:
            turn.recognised_ms = at

    def _turn_of(self, item_id: str) -> Turn | None:
        """The turn that a piece of the user's speech belongs to: the one under way when it was first named."""
        if item_id not in self._speech and self.turns:
            self._speech[item_id] = (self.turns[-1], "")
        entry = self._speech.get(item_id)
        return entry[0] if entry else None

    def _understood(self, item_id: str, text: str) -> None:
        turn = self._turn_of(item_id)
        if turn is None:
            return
        self._speech[item_id] = (turn, text)
        # An utterance with a pause in it comes in several pieces.
        turn.recognised = " ".join(text for other, text in self._speech.values() if other is turn and text)

    # -- what the agent said -----------------------------------------------------------------------

    def _response_began(self, event: TurnStarted, at: float) -> None:
        if self.turns:
            self._responses[event.response_id] = (self.turns[-1], self.agent, at)
            self._active.add(event.response_id)

    def _response_ended(self, event: TurnDone, _at: float) -> None:
        self._active.discard(event.response_id)
        for reply in self._replies.values():
            if reply.response_id == event.response_id:
                reply.done = True
                reply.unheard = event.status in ("cancelled", "failed") and reply.received_ms is None

    def _agent_text(self, event: TranscriptDelta | TextDelta, _at: float) -> None:
        reply = self._reply(event.item_id, event.response_id)
        if reply is not None:
            reply.text += event.delta
            reply.spoken = reply.spoken or isinstance(event, TranscriptDelta)

    def _heard(self, event: AudioStarted, at: float) -> None:
        reply = self._reply(event.item_id, event.response_id)
        if reply is not None:
            reply.heard_from_ms = at
            # It is told of just before the audio itself.
            reply.received_ms = at if reply.received_ms is None else reply.received_ms

    def _reply(self, item_id: str, response_id: str) -> Reply | None:
        reply = self._replies.get(item_id)
        if reply is None and response_id in self._responses:
            turn, agent, created = self._responses[response_id]
            reply = self._replies[item_id] = Reply(item_id, response_id, agent, created)
            turn.replies.append(reply)
        return reply

    def _audio(self, event: AudioEvent, at: float) -> None:
        reply = self._reply(event.item_id, event.response_id)
        if reply is None:
            return
        reply.spoken = True
        begin = max(at, self._queue_end_ms)
        length = event.format.duration_ms(len(event.data))
        self._queue_end_ms = begin + length
        if reply.received_ms is None:
            reply.received_ms = at
            if reply.heard_from_ms is None:
                # Behind a reply that is still being heard, nobody says when it begins.
                reply.heard_from_ms = begin
        reply.audio_ms += length

    def _silent(self, at: float) -> None:
        self._queue_end_ms = at
        end = at
        for reply in reversed(self._replies.values()):
            if reply.heard_from_ms is not None and reply.heard_until_ms is None:
                reply.heard_from_ms = min(reply.heard_from_ms, end)
                reply.heard_until_ms = end
                end = reply.heard_from_ms  # the one before it ended there

    def _interrupted(self, event: AudioInterrupted, at: float) -> None:
        turn = self.current
        speaking = turn is not None and turn.end_ms is None  # else it was not by talking over it
        reaction = at - turn.begin_ms if turn is not None and speaking else None
        cuts = {truncation.item_id: truncation.audio_end_ms for truncation in event.truncations}
        for item_id, reply in self._replies.items():
            if item_id in cuts or self._just_began(reply, at):
                reply.cut = True
                self.interruptions.append(Interruption(at, reply, cuts.get(item_id, 0), reaction))
        for reply in turn.replies if turn is not None else ():
            reply.unheard = reply.unheard or reply.received_ms is None
        self._silent(at)

    @staticmethod
    def _just_began(reply: Reply, at: float) -> bool:
        """Whether it is too early for anything of it to have been heard, so that nobody says where it was cut."""
        begun = reply.heard_from_ms is not None and reply.heard_until_ms is None
        return begun and at - (reply.heard_from_ms or 0.0) < JUST_BEGAN_MS

    def _truncated(self, event: ConversationItemTruncatedEvent, _at: float) -> None:
        """Where the service cut it: what it was told, or what it knows itself where it plays the audio (WebRTC)."""
        for cut in self.interruptions:
            if cut.reply.item_id == event.item_id:
                cut.service_ms = event.audio_end_ms

    # -- what the agent did ------------------------------------------------------------------------

    def _tool_started(self, event: AgentToolStart, at: float) -> None:
        call = event.call
        use = ToolUse(event.tool.name, decoded_arguments(call.arguments), event.agent.name, at)
        self._calls[call.call_id] = use
        entry = self._responses.get(call.response_id or "")
        turn = entry[0] if entry is not None else self.current
        if turn is not None:
            turn.tools.append(use)

    def _tool_ended(self, event: AgentToolEnd, at: float) -> None:
        use = self._calls.get(event.call.call_id)
        if use is not None:
            use.end_ms, use.result, use.failed = at, event.result, event.error is not None

    def _handed_over(self, event: AgentHandoff, at: float) -> None:
        self.agent = event.to_agent.name
        if self.turns:
            self.turns[-1].handoffs.append(HandoffMade(at, event.from_agent.name, event.to_agent.name))

    # -- what was heard of it ----------------------------------------------------------------------

    def _remember(self, event: HistoryUpdated) -> None:
        # A history is copied when it is looked at: only where it has something to tell.
        if any(cut.reply.heard_text is None for cut in self.interruptions):
            self._read_history(event.history)

    def _read_history(self, history: Sequence[RealtimeItem]) -> None:
        for item in history:
            reply = self._replies.get(item.item_id)
            if reply is None or not isinstance(item, MessageItem):
                continue
            reply.heard_text = item.text
            spoken = [part for part in item.content if isinstance(part, OutputAudio)]
            reply.text = (
                " ".join(part.full_transcript or part.transcript or "" for part in spoken) or item.text
            )

    def finish(self, history: Sequence[RealtimeItem], at: float) -> None:
        """The conversation is over; `history` says what was heard of each reply."""
        self._silent(at)
        self.duration_ms = max(self.duration_ms, at)
        self._read_history(history)
