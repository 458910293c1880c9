"""Whether each thing that should happen in a conversation did: named checks over a timeline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..recording.facts import Check, RecordingFacts
from ..recording.timeline import Timeline
from ..recording.turns import AHEAD_MS, Interruption, Turn
from ..recording.words import word_overlap, words_of
from .dialogue import Expectation, Line

__all__ = ["check_all"]

RECOGNISED = 0.6
"""Share of the words of a question that must have been understood."""
TOLD = 0.5
"""Share of the words of a tool's result that the answer must hold."""
CUT_TOLERANCE_MS = 150
"""How far the cut that the service knows of may be from what the speaker played: over WebRTC it is ahead by the way there."""
MOST_REACTION_MS = 2000
"""From the user's first sample to silence: voice detection needs some of it."""
LENGTH_TOLERANCE_MS = 500
SILENT_DBFS = -50.0
AUDIBLE_DBFS = -45.0


def check_all(
    timeline: Timeline, lines: Sequence[Line], recording: RecordingFacts | None, *, stopped: str | None = None
) -> list[Check]:
    """All checks, in the order of the conversation.

    Args:
        lines: what was to be said, one per turn.
        recording: what was found in the file; None if there is none.
        stopped: why the conversation ended early, if it did.
    """
    checks = [Check("the conversation reached its end", stopped is None, stopped or f"{len(lines)} turns")]
    for number, line in enumerate(lines, 1):
        turn = timeline.turns[number - 1] if number <= len(timeline.turns) else None
        if turn is None:
            checks.append(Check(f"{number}: {line.label}", False, "was never said"))
        else:
            checks += [
                Check(f"{number}: {check.name}", check.ok, check.detail)
                for check in _turn_checks(turn, line, timeline)
            ]
    checks += _recording_checks(recording, timeline)
    errors = "; ".join(message for _, message in timeline.errors)
    checks.append(Check("no errors", not timeline.errors, errors or "none"))
    return checks


# -- one turn ----------------------------------------------------------------------------------


def _turn_checks(turn: Turn, line: Line, timeline: Timeline) -> Iterator[Check]:
    expect = line.expect
    if line.file is not None:
        yield _recognised(turn)
    if expect.tool is not None:
        yield _tool_called(turn, expect.tool, expect.arguments)
        yield _result_told(turn, expect.tool)
    if expect.handoff is not None:
        yield _handed_over(turn, expect)
    if expect.interrupts:
        yield from _interrupted(turn, timeline)
    yield _answered(turn, expect)


def _recognised(turn: Turn) -> Check:
    if not turn.text:
        return Check("the question was recognised", bool(turn.recognised), f"{turn.recognised!r}")
    share = word_overlap(turn.text, turn.recognised)
    detail = f"{share:.0%} of {turn.text!r}: {turn.recognised!r}"
    return Check("the question was recognised", share >= RECOGNISED, detail)


def _tool_called(turn: Turn, name: str, arguments: Mapping[str, Any]) -> Check:
    title = f"{name} was called with {_listed(arguments)}"
    calls = [tool for tool in turn.tools if tool.name == name]
    if not calls:
        return Check(title, False, f"tools called: {', '.join(tool.name for tool in turn.tools) or 'none'}")
    found = calls[0].arguments
    fits = isinstance(found, dict) and all(
        key in found and _same(found[key], value) for key, value in arguments.items()
    )
    return Check(title, fits and len(calls) == 1 and not calls[0].failed, f"{len(calls)} call(s): {found}")


def _result_told(turn: Turn, name: str) -> Check:
    result = next((tool.result for tool in turn.tools if tool.name == name and tool.result), "")
    said = " ".join(reply.text for reply in turn.replies)
    share = word_overlap(result, said) if result else 0.0
    return Check("the result was spoken", share >= TOLD, f"{share:.0%} of {result!r}: {said!r}")


def _handed_over(turn: Turn, expect: Expectation) -> Check:
    made = [(handoff.source, handoff.target) for handoff in turn.handoffs]
    wanted = (expect.agent, expect.handoff)
    spoke = turn.replies[-1].agent if turn.replies else "nobody"
    return Check(
        f"{expect.agent} handed over to {expect.handoff}",
        made == [wanted] and spoke == expect.handoff,
        f"{', '.join(f'{a} to {b}' for a, b in made) or 'no handoff'}; then {spoke} spoke",
    )


def _answered(turn: Turn, expect: Expectation) -> Check:
    heard = [reply for reply in turn.replies if reply.heard_ms > 0 or (not reply.spoken and reply.text)]
    wanted = expect.handoff or expect.agent
    right = wanted is None or (bool(heard) and heard[-1].agent == wanted)
    detail = f"{heard[-1].agent}: {heard[-1].text!r}" if heard else "no answer was heard"
    return Check(f"{wanted or 'the agent'} answered", bool(heard) and right, detail)


# -- interruptions -------------------------------------------------------------------------------


def _interrupted(turn: Turn, timeline: Timeline) -> Iterator[Check]:
    cuts = [cut for cut in timeline.interruptions if cut.at_ms >= turn.begin_ms]
    if not cuts:
        yield Check("the reply stopped when the user spoke", False, "it was not interrupted")
        return
    cut = cuts[0]
    reaction = cut.reaction_ms or 0.0
    yield Check(
        "the reply stopped when the user spoke",
        0 < reaction <= MOST_REACTION_MS,
        f"silent {reaction:.0f} ms after the user's first sample",
    )
    yield _cut_where_heard(cut)
    yield _history_of_heard(cut)


def _cut_where_heard(cut: Interruption) -> Check:
    """What the speaker says that it played, how long one could hear it, and what the service knows, agree."""
    played, heard, known, received = cut.cut_ms, cut.reply.heard_ms, cut.service_ms, cut.reply.audio_ms
    if cut.unheard_ms < AHEAD_MS:
        # It came as it was heard: gaps make it last longer, and the service cannot know what is on its way.
        shortest, latest = 0.0, received
    else:
        shortest, latest = heard - CUT_TOLERANCE_MS, float(played)
    return Check(
        "the service knows where it was cut",
        0 < played <= received
        and shortest <= played <= heard + CUT_TOLERANCE_MS
        and known is not None
        and played - CUT_TOLERANCE_MS <= known <= latest + CUT_TOLERANCE_MS,
        f"at {known} ms; played {played} ms of the {received:.0f} ms received, in {heard:.0f} ms",
    )


def _history_of_heard(cut: Interruption) -> Check:
    heard, full = (cut.reply.heard_text or "").strip(), cut.reply.text.strip()
    return Check(
        "history shows only what was heard",
        bool(heard) and len(heard) < len(full) and full.startswith(heard),
        f"{len(heard.split())} of {len(full.split())} words: {heard!r}",
    )


# -- the recording ---------------------------------------------------------------------------------


def _recording_checks(found: RecordingFacts | None, timeline: Timeline) -> Iterator[Check]:
    if found is None:
        yield Check("the recording is complete", False, "there is no recording")
        return
    off = found.duration_ms - timeline.duration_ms
    yield Check(
        "the recording is complete",
        found.channels == 2 and abs(off) <= LENGTH_TOLERANCE_MS,
        f"{found.duration_ms / 1000:.2f} s of {timeline.duration_ms / 1000:.2f} s, "
        f"{found.channels} channels, {found.rate} Hz",
    )
    for side, level in (("user", found.user_dbfs), ("agent", found.agent_dbfs)):
        if level is not None:
            yield Check(f"the {side} can be heard in it", level >= AUDIBLE_DBFS, f"{level:.1f} dBFS")
    for level in found.after_cut_dbfs:
        yield Check("it is silent behind the interruption", level <= SILENT_DBFS, f"peak {level:.1f} dBFS")


# -- words -----------------------------------------------------------------------------------------


def _same(found: object, wanted: object) -> bool:
    return words_of(str(found)) == words_of(str(wanted))


def _listed(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in arguments.items())
