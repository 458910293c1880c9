"""`report.html`: one self-contained page about a conversation; no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from .._version import __version__
from ..audio.peaks import Outline
from .facts import Check, RecordingFacts
from .latency import STAGES, latency_of, median_heard_ms
from .report_chart import Chart, draw
from .report_style import STYLE
from .timeline import Timeline
from .turns import AHEAD_MS, Reply, Turn
from .words import call_text, clock_text, word_overlap

__all__ = ["Report", "render"]


@dataclass(frozen=True, slots=True)
class Report:
    """What a report tells.

    Attributes:
        checks: what should have happened, if that is known.
        recording: what is in the recording; None if there is none.
        outlines: waveforms of user and agent, over the length of the recording.
        url, model: whom the conversation was held with.
        files: what lies beside it, name and description.
    """

    timeline: Timeline
    checks: Sequence[Check]
    recording: RecordingFacts | None
    outlines: tuple[Outline, Outline]
    url: str
    model: str
    files: Sequence[tuple[str, str]] = ()


def render(report: Report) -> str:
    """The page, as HTML."""
    return "\n".join(_page(report)) + "\n"


def _page(report: Report) -> Iterator[str]:
    yield "<!doctype html>"
    yield '<html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield "<title>A conversation - voxwire</title>"
    yield f"<style>{STYLE}</style></head><body><main>"
    yield from _header(report)
    yield from _chart(report)
    yield "<h2>Turns</h2>"
    agents = agent_classes(report.timeline)
    for turn in report.timeline.turns:
        yield from _turn(turn, report.timeline, agents)
    yield from _latencies(report.timeline)
    if report.checks:
        yield from _checks(report.checks)
    yield from _errors(report.timeline)
    beside = ", ".join(
        f'<a href="{escape(name)}">{escape(name)}</a> ({escape(what)})' for name, what in report.files
    )
    yield f"<footer>{f'Beside this page: {beside}. ' if beside else ''}Made by voxwire {escape(__version__)}."
    yield "</footer></main></body></html>"


def agent_classes(timeline: Timeline) -> dict[str, str]:
    """A style class for each agent, in order of appearance."""
    names = dict.fromkeys([timeline.first_agent, *(r.agent for t in timeline.turns for r in t.replies)])
    return {name: f"agent{index % 3}" for index, name in enumerate(names)}


def _header(report: Report) -> Iterator[str]:
    timeline = report.timeline
    failed = sum(not check.ok for check in report.checks)
    verdict = "Everything happened that should" if not failed else f"{failed} checks failed"
    mark = f' <span class="{"good" if not failed else "bad"}">{verdict}</span>' if report.checks else ""
    yield f"<header><h1>A conversation{mark}</h1>"
    yield f"<p>With <code>{escape(report.model)}</code> at <code>{escape(report.url)}</code></p></header>"
    answered = median_heard_ms(timeline.turns)
    reactions = [cut.reaction_ms for cut in timeline.interruptions if cut.reaction_ms is not None]
    tools = sum(len(turn.tools) for turn in timeline.turns)
    handoffs = sum(len(turn.handoffs) for turn in timeline.turns)
    tiles = (
        [(f"{len(report.checks) - failed}/{len(report.checks)}", "checks passed")] if report.checks else []
    )
    tiles += [
        (clock_text(timeline.duration_ms), "long"),
        (str(len(timeline.turns)), "turns"),
        (str(tools), "tool calls"),
        (str(handoffs), "handoffs"),
        (_ms(answered), "median time to answer"),
        (_ms(min(reactions, default=None)), "to silence when interrupted"),
    ]
    yield '<dl class="tiles">'
    yield from (f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for value, what in tiles)
    yield "</dl>"


def _chart(report: Report) -> Iterator[str]:
    length = report.recording.duration_ms if report.recording else report.timeline.duration_ms
    yield '<h2>What was heard</h2><figure><div class="scroll">'
    yield draw(Chart(report.timeline, report.outlines, length, agent_classes(report.timeline)))
    yield "</div><figcaption>"
    yield '<span class="key user">You</span>'
    for name, style in agent_classes(report.timeline).items():
        yield f'<span class="key {style}">{escape(name)}</span>'
    yield '<span class="key wait">time until the answer is heard</span>'
    yield '<span class="key cut">interruption</span></figcaption></figure>'


# -- turns -------------------------------------------------------------------------------------


def _turn(turn: Turn, timeline: Timeline, agents: dict[str, str]) -> Iterator[str]:
    yield f'<section class="turn" aria-label="Turn {turn.number}"><h3><b>{turn.number}</b> '
    yield f"<time>{clock_text(turn.begin_ms)}</time></h3><div>"
    for cut in timeline.interruptions:
        if (
            turn.begin_ms <= cut.at_ms < (turn.end_ms or timeline.duration_ms)
            and cut.reply not in turn.replies
        ):
            reaction = (
                f", {_ms(cut.reaction_ms)} after your first sample" if cut.reaction_ms is not None else ""
            )
            yield f'<p class="act cut"><b>Interruption</b> {escape(cut.reply.agent)} fell silent{reaction}. '
            received = f" of {cut.reply.audio_ms / 1000:.1f} s received" if cut.unheard_ms >= AHEAD_MS else ""
            yield f"The reply was cut at {cut.cut_ms / 1000:.2f} s{received}.</p>"
    if turn.text or turn.recognised or not turn.typed:
        words = f"{escape(turn.text or turn.recognised)}{_recognition(turn)}"
        yield f'<p class="said user"><b>You</b> <span>{words}</span></p>'
    for at, act in _acts(turn, agents):
        yield act.replace("<b>", f"<time>{clock_text(at)}</time> <b>", 1) if 'class="act' in act else act
    yield "</div></section>"


def _recognition(turn: Turn) -> str:
    if turn.typed:
        return " <small>typed</small>"
    if not turn.text:
        return ""
    share = word_overlap(turn.text, turn.recognised)
    if share == 1:
        return " <small>recognised word for word</small>"
    return f" <small>recognised to {share:.0%}: {escape(turn.recognised or 'nothing')}</small>"


def _acts(turn: Turn, agents: dict[str, str]) -> list[tuple[float, str]]:
    acts: list[tuple[float, str]] = []
    for use in turn.tools:
        took = f" in {_ms(use.end_ms - use.begin_ms)}" if use.end_ms is not None else ", unfinished"
        call = f"<code>{escape(call_text(use.name, use.arguments))}</code>"
        told = f"<q>{escape(use.result or '')}</q>{took}"
        acts.append((use.begin_ms, f'<p class="act tool"><b>Tool</b> {call} gave {told}</p>'))
    for handoff in turn.handoffs:
        names = f"{escape(handoff.source)} handed over to {escape(handoff.target)}"
        acts.append((handoff.at_ms, f'<p class="act handoff"><b>Handoff</b> {names}</p>'))
    acts += [(reply.created_ms, _reply(reply, agents[reply.agent])) for reply in turn.replies]
    return sorted(acts, key=lambda act: act[0])


def _reply(reply: Reply, style: str) -> str:
    heard = reply.heard_text if reply.cut and reply.heard_text is not None else reply.text
    text = escape(heard.strip())
    if reply.cut:
        rest = reply.text[len(heard) :].strip()
        text += f' <s><span class="hidden">not heard: </span>{escape(rest)}</s>'
        text += f" <small>{len(heard.split())} of {len(reply.text.split())} words were heard</small>"
    return f'<p class="said {style}"><b>{escape(reply.agent)}</b> <span>{text}</span></p>'


# -- tables ------------------------------------------------------------------------------------


def _latencies(timeline: Timeline) -> Iterator[str]:
    rows = [(turn, latency) for turn in timeline.turns if (latency := latency_of(turn)) is not None]
    longest = max((latency.heard_ms or 0.0 for _, latency in rows), default=0.0) or 1.0
    yield '<h2>Latency</h2><div class="scroll"><table>'
    yield "<caption>ms from the last sample of the user until ...</caption><thead><tr>"
    columns = ("Turn", "end detected", "transcribed", "first audio received", "heard", "")
    yield "".join(f'<th scope="col">{name}</th>' for name in columns)
    yield "</tr></thead><tbody>"
    for turn, latency in rows:
        values = (latency.detected_ms, latency.transcribed_ms, latency.received_ms, latency.heard_ms)
        cells = "".join(f"<td>{'-' if value is None else f'{value:.0f}'}</td>" for value in values)
        bars = "".join(
            f'<i class="stage{STAGES.index(name)}" style="width:{100 * ms / longest:.1f}%" title="{name}: {ms:.0f} ms"></i>'
            for name, ms in latency.stages
        )
        yield f'<tr><th scope="row">{turn.number} <span>{escape(turn.text or turn.recognised)}</span></th>{cells}'
        yield f'<td class="bar" aria-hidden="true">{bars}</td></tr>'
    yield '</tbody></table></div><p class="legend">'
    seen = {name for _, latency in rows for name, ms in latency.stages if ms >= 1}
    for index, name in enumerate(STAGES):
        if name in seen:
            yield f'<span class="key stage{index}">{name}</span>'
    yield "</p>"


def _checks(checks: Sequence[Check]) -> Iterator[str]:
    yield '<h2>Checks</h2><ul class="checks">'
    for check in checks:
        mark, word = ("good", "passed") if check.ok else ("bad", "failed")
        detail = check.detail if len(check.detail) <= 240 else f"{check.detail[:240]}..."
        yield f'<li class="{mark}"><b>{word}</b> <span>{escape(check.name)} <small>{escape(detail)}</small></span></li>'
    yield "</ul>"


def _errors(timeline: Timeline) -> Iterator[str]:
    if not timeline.errors:
        return
    yield '<h2>Errors</h2><ul class="checks">'
    for at, message in timeline.errors:
        yield f'<li class="bad"><b>{clock_text(at)}</b> <span>{escape(message)}</span></li>'
    yield "</ul>"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
