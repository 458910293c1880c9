"""Guardrails at work in a session: they run beside the conversation, and stop what must not stand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from ..agent import RealtimeAgent
from ..errors import GuardrailTimeoutError, ModelBehaviorError, UserError
from ..guardrail import GuardrailSettings, InputGuardrail, OutputGuardrail, as_guardrails
from ..protocol.audio_gate import HoldBack
from ..protocol.config import creates_response, merge_wire, transcribes
from ..protocol.items import MessageItem, item_from_wire, item_text
from ..protocol.transport_events import (
    SessionUpdated,
    TextDelta,
    TranscriptDelta,
    TurnDone,
    TurnStarted,
    UserTranscript,
)
from ..tools.calling import call as call_function
from ..tools.context import RunContext
from .asking import is_answer
from .events import GuardrailTripped
from .guardrail_asking import Trip, first_trip
from .guardrail_host import MAX_OWNERS, Connection, GuardrailsHost
from .guardrail_runs import Check, Verdict
from .turns import Turns

__all__ = ["Guardrails", "spoken_texts"]

logger = logging.getLogger("voxwire")

CLOSE_GRACE: Final = 1.0
"""Seconds that cancelled guardrails have to clean up before `close()` goes on without them."""
INPUT_AT_ONCE: Final = 16
"""Utterances that may be checked at one time; one more is told as an error and not checked."""


class Guardrails:
    """The guardrails of a session.

    Args:
        turns: whose a response is.
        output, input: those of every agent, beside the agents' own.
        output_settings, input_settings: when they run, and what a trip leads to.

    Raises:
        UserError: if something is no guardrail.
    """

    def __init__(
        self,
        host: GuardrailsHost,
        turns: Turns,
        *,
        output: Sequence[Any] = (),
        input: Sequence[Any] = (),
        output_settings: GuardrailSettings | None = None,
        input_settings: GuardrailSettings | None = None,
    ) -> None:
        self._host = host
        self._turns = turns
        self._output = as_guardrails(output, OutputGuardrail, "output_guardrails")
        self._input = as_guardrails(input, InputGuardrail, "input_guardrails")
        self._output_settings = output_settings or GuardrailSettings()
        self._input_settings = input_settings or GuardrailSettings()
        self._connection = Connection(self._output_settings, {})
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening = False

    @property
    def running(self) -> int:
        """Checks, and reactions to what they found, that are under way."""
        return len(self._tasks)

    # -- the connection -----------------------------------------------------------------------

    def _listeners(self) -> Mapping[str, Callable[[Any], None]]:
        return {
            "session_updated": self._configured,
            "turn_started": self._turn_started,
            "audio_transcript_delta": self._text,
            "output_text_delta": self._text,
            "turn_done": self._turn_done,
            "user_speech_started": self._user_speaks,
            "user_transcript": self._user_transcript,
        }

    def attach(self, agent: RealtimeAgent, config: Mapping[str, Any]) -> None:
        """A connection is about to be made, with this agent and this configuration.

        Raises:
            UserError: if the configuration does not let the guardrails work, or the transport cannot hold
                audio back.
        """
        if (self._input or agent.input_guardrails) and not transcribes(config):
            raise UserError(
                "input guardrails check transcripts, and the configuration asks for none; "
                "set audio.input.transcription"
            )
        settings = self._output_settings
        if settings.hold_back_ms is not None:
            limits = HoldBack(settings.hold_back_ms, settings.hold_back_on_timeout)
            self._host.transport.hold_back_audio(limits)
        self._connection = Connection(settings, config)
        if not self._listening:
            self._listening = True
            for name, listener in self._listeners().items():
                self._host.transport.on(name, listener)

    def stop(self) -> None:
        """The connection is over: what still runs finds nothing any more."""
        self._connection = Connection(self._output_settings, {})
        mine = asyncio.current_task() if self._tasks else None
        for task in self._tasks:
            if task is not mine:  # a guardrail may close the session that it runs in
                task.cancel()

    async def detach(self) -> None:
        """Give cancelled guardrails a moment to clean up, and leave the transport as it was."""
        if self._listening:
            self._listening = False
            for name, listener in self._listeners().items():
                self._host.transport.off(name, listener)
            if self._output_settings.hold_back_ms is not None:
                self._host.transport.hold_back_audio(None)
        tasks = self._tasks - {asyncio.current_task()}
        if not tasks:
            return
        _, stubborn = await asyncio.wait(tasks, timeout=CLOSE_GRACE)
        if stubborn:
            logger.warning("%d guardrails still run %g s after the end", len(stubborn), CLOSE_GRACE)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="voxwire guardrails")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _context(self, agent: RealtimeAgent) -> RunContext[Any]:
        return replace(self._host.context, agent=agent)

    def _configured(self, event: SessionUpdated) -> None:
        self._connection.config = merge_wire(self._connection.config, event.session)

    # -- what the agent says ------------------------------------------------------------------

    def _output_of(self, response_id: str) -> tuple[RealtimeAgent, tuple[OutputGuardrail, ...]]:
        owners = self._connection.owners
        if response_id in self._connection.answers:
            return self._host.context.agent, ()
        agent = owners.get(response_id)
        if agent is None:
            snapshot = self._turns.owner(response_id)
            agent = snapshot.agent if snapshot is not None else self._host.context.agent
            owners[response_id] = agent
            if len(owners) > MAX_OWNERS:
                owners.popitem(last=False)
        return agent, (*self._output, *agent.all_output_guardrails())

    def _turn_started(self, event: TurnStarted) -> None:
        """A response began."""
        if not event.response_id:
            return  # its first words will say
        if is_answer(event.response):
            self._connection.answers.add(event.response_id)
        _, guardrails = self._output_of(event.response_id)
        if guardrails:
            self._connection.runs.started(event.response_id)
        else:
            self._release(event.response_id)

    def _text(self, event: TranscriptDelta | TextDelta) -> None:
        """The agent says or writes more."""
        _, guardrails = self._output_of(event.response_id)
        if not guardrails:
            self._release(event.response_id)
            return
        spoken = isinstance(event, TranscriptDelta)
        self._begin(self._connection.runs.text(event.response_id, event.item_id, event.delta, spoken=spoken))

    def _turn_done(self, event: TurnDone) -> None:
        """A response ended."""
        _, guardrails = self._output_of(event.response_id)
        if not guardrails:
            self._release(event.response_id)
        else:
            cancelled = event.status == "cancelled"
            runs = self._connection.runs
            for check in runs.done(event.response_id, spoken_texts(event.output), cancelled=cancelled):
                self._begin(check)
            if runs.all_passed(event.response_id):
                self._release(event.response_id)
        self._connection.answers.discard(event.response_id)
        if not event.response_id:
            self._connection.owners.pop("", None)

    def _begin(self, check: Check | None) -> None:
        if check is not None:
            agent, guardrails = self._output_of(check.response_id)
            self._start(self._look(self._connection, check, agent, guardrails))

    async def _look(
        self,
        connection: Connection,
        check: Check,
        agent: RealtimeAgent,
        guardrails: Sequence[OutputGuardrail],
    ) -> None:
        trip = await first_trip(
            guardrails,
            check.text,
            self._context(agent),
            self._output_settings,
            partial(self._report, connection),
        )
        if connection is not self._connection:
            return
        following = connection.runs.ended(check)
        if trip is not None:
            verdict = connection.runs.trip(check)
            if verdict != "ignore":
                await self._stop_reply(connection, check, agent, trip, verdict)
            return
        if check.final and connection.runs.all_passed(check.response_id):
            connection.corrections = 0
            self._release(check.response_id)
        elif connection.runs.state(check.response_id) != "blocked":
            self._release(check.response_id, check.item_id, check.characters)
        self._begin(following)

    def _release(self, response_id: str, item_id: str | None = None, characters: int | None = None) -> None:
        if self._output_settings.hold_back_ms is not None:
            self._host.transport.release_audio(response_id, item_id, characters)

    async def _stop_reply(
        self,
        connection: Connection,
        check: Check,
        agent: RealtimeAgent,
        trip: Trip[OutputGuardrail],
        verdict: Verdict,
    ) -> None:
        context = self._context(agent)
        event = GuardrailTripped(
            context,
            agent,
            "output",
            trip.guardrail,
            trip.result,
            check.text,
            check.item_id,
            check.response_id,
        )
        transport = self._host.transport
        try:
            if verdict == "tell":
                if self._output_settings.hold_back_ms is not None:
                    transport.withhold_audio(check.response_id)
            elif verdict == "cancel":
                await transport.send_event({"type": "response.cancel", "response_id": check.response_id})
            else:
                await transport.interrupt()
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._report(connection, error)
        if connection is not self._connection:
            return
        self._host.emit(event)
        if verdict != "tell":
            await self._correct(connection, event, self._output_settings)

    # -- what the user says -------------------------------------------------------------------

    def _user_speaks(self, _event: object) -> None:
        """The user begins to speak: what is found in earlier words comes too late."""
        self._connection.utterances += 1

    def _user_transcript(self, event: UserTranscript) -> None:
        """The words of an utterance are there, or will never be."""
        agent = self._host.context.agent
        guardrails = (*self._input, *agent.all_input_guardrails())
        if not guardrails:
            return
        connection = self._connection
        if connection.inputs >= INPUT_AT_ONCE:
            self._host.report(
                GuardrailTimeoutError(f"{INPUT_AT_ONCE} utterances are being checked; one more was not")
            )
            return
        decides = not creates_response(connection.config)
        self._start(self._look_at_input(connection, event, agent, guardrails, decides=decides))

    async def _look_at_input(
        self,
        connection: Connection,
        event: UserTranscript,
        agent: RealtimeAgent,
        guardrails: Sequence[InputGuardrail],
        *,
        decides: bool,
    ) -> None:
        utterance, settings = connection.utterances, self._input_settings
        text, trip = event.text or "", None
        connection.inputs += 1
        try:
            if text:
                trip = await first_trip(
                    guardrails,
                    text,
                    self._context(agent),
                    settings,
                    partial(self._report, connection),
                )
        finally:
            connection.inputs -= 1
        if connection is not self._connection:
            return
        stale = utterance != connection.utterances
        if trip is not None:
            await self._stop_answer(connection, event.item_id, text, agent, trip, stale=stale)
        elif decides and not stale and (event.text is not None or not settings.fail_closed):
            connection.corrections = 0
            await self._try(connection, self._host.transport.request_response())

    async def _stop_answer(
        self,
        connection: Connection,
        item_id: str,
        text: str,
        agent: RealtimeAgent,
        trip: Trip[InputGuardrail],
        *,
        stale: bool,
    ) -> None:
        if not stale:
            # Also where nothing is heard yet: a response may have been asked for.
            await self._try(connection, self._host.transport.interrupt())
        if connection is not self._connection:
            return
        context = self._context(agent)
        event = GuardrailTripped(context, agent, "input", trip.guardrail, trip.result, text, item_id, None)
        self._host.emit(event)
        if not stale:
            await self._correct(connection, event, self._input_settings)

    # -- both ---------------------------------------------------------------------------------

    async def _correct(
        self, connection: Connection, event: GuardrailTripped, settings: GuardrailSettings
    ) -> None:
        """Tell the model what was wrong, so that it answers again."""
        if connection is not self._connection:
            return
        connection.corrections += 1
        if connection.corrections > settings.max_corrections:
            if connection.corrections == settings.max_corrections + 1 and settings.max_corrections:
                words = f"guardrails tripped {connection.corrections} times in a row"
                self._host.report(ModelBehaviorError(f"{words}; the model is not asked again"))
            return
        try:
            feedback: Any = settings.feedback
            if callable(feedback):
                feedback = await call_function(feedback, event)
            if feedback and connection is self._connection:
                await self._host.transport.send_message(feedback)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._report(connection, error)

    async def _try(self, connection: Connection, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        except Exception as error:  # noqa: BLE001 - nobody awaits this task
            self._report(connection, error)

    def _report(self, connection: Connection, error: Exception) -> None:
        if connection is self._connection:
            self._host.report(error)


def spoken_texts(output: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The messages of a response with their text: (item id, text)."""
    items = [item_from_wire(raw) for raw in output]
    return [(item.item_id, item_text(item)) for item in items if isinstance(item, MessageItem)]
