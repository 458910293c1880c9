"""The report's picture: both voices on one time axis, as inline SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from ..audio.peaks import Outline
from .latency import latency_of
from .timeline import Timeline
from .turns import AHEAD_MS, Reply, Turn
from .words import call_text, clock_text

__all__ = ["Chart", "draw", "tick_step_ms"]

WIDTH, HEIGHT = 1240, 344
LEFT, RIGHT = 52, 14
USER_Y, ACTS_Y, AGENT_Y, AXIS_Y = 78, 152, 236, 300
HALF = 40
_MARKS = {"tool": "M0-7L7 0L0 7L-7 0Z", "handoff": "M-7-6L7 0L-7 6Z"}


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn.

    Attributes:
        length_ms: what the outlines cover.
        agents: a style class for each agent's name.
    """

    timeline: Timeline
    outlines: tuple[Outline, Outline]
    length_ms: float
    agents: Mapping[str, str]

    def x(self, ms: float) -> float:
        """Where a time lies."""
        share = min(max(ms / self.length_ms, 0.0), 1.0) if self.length_ms > 0 else 0.0
        return LEFT + share * (WIDTH - LEFT - RIGHT)


def tick_step_ms(length_ms: float) -> int:
    """The distance of the ticks: round, and at most about fifteen of them."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    return 1000 * next((step for step in steps if length_ms / 1000 / step <= 15), steps[-1])


def draw(chart: Chart) -> str:
    """The picture as an SVG element."""
    return "\n".join(_parts(chart))


def _parts(chart: Chart) -> Iterator[str]:
    yield f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="chart-title chart-text">'
    yield '<title id="chart-title">Waveforms of user and agent on one time axis</title>'
    yield f'<desc id="chart-text">{escape(describe(chart.timeline))}</desc>'
    yield from _bands(chart)
    for y, name in ((USER_Y, "You"), (ACTS_Y, "Tools"), (AGENT_Y, "Agent")):
        yield f'<text class="lane" x="4" y="{y + 4}">{name}</text>'
        if name != "Tools":
            yield f'<path class="zero" d="M{LEFT} {y}H{WIDTH - RIGHT}"/>'
    yield from _waves(chart)
    for turn in chart.timeline.turns:
        yield from _wait(chart, turn)
        yield from _acts(chart, turn)
    yield from _cuts(chart)
    yield from _axis(chart)
    yield "</svg>"


def describe(timeline: Timeline) -> str:
    """The picture in words."""
    parts = [f"{len(timeline.turns)} turns in {clock_text(timeline.duration_ms)}."]
    for turn in timeline.turns:
        words = turn.text or turn.recognised
        parts.append(f"Turn {turn.number} at {clock_text(turn.begin_ms)}: {words}")
        parts += [f"Tool call {tool.name}." for tool in turn.tools]
        parts += [f"Handoff to {handoff.target}." for handoff in turn.handoffs]
    parts += [
        f"{cut.reply.agent} was interrupted at {clock_text(cut.at_ms)}." for cut in timeline.interruptions
    ]
    return " ".join(parts)


def _bands(chart: Chart) -> Iterator[str]:
    turns = chart.timeline.turns
    ends = [*(turn.begin_ms for turn in turns[1:]), chart.length_ms]
    for turn, end in zip(turns, ends, strict=False):
        x, width = chart.x(turn.begin_ms), chart.x(end) - chart.x(turn.begin_ms)
        style = "band" if turn.number % 2 else "band other"
        yield f'<rect class="{style}" x="{x:.1f}" y="6" width="{width:.1f}" height="{AXIS_Y - 6}"/>'
        yield f'<text class="number" x="{x + 6:.1f}" y="22">{turn.number}</text>'


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A piece of one voice."""

    begin_ms: float
    end_ms: float
    style: str
    title: str


def _waves(chart: Chart) -> Iterator[str]:
    user, agent = chart.outlines
    peak = max((max(-low, high) for outline in chart.outlines for low, high in outline), default=0.0) or 1.0
    for turn in chart.timeline.turns:
        if not turn.typed:
            end = chart.length_ms if turn.end_ms is None else turn.end_ms
            title = f"You, {clock_text(turn.begin_ms)}: {turn.text or turn.recognised}"
            yield _wave(chart, user, USER_Y, HALF / peak, _Stretch(turn.begin_ms, end, "user", title))
        for reply in turn.replies:
            begin, end_ms = reply.heard_from_ms, reply.heard_until_ms
            if begin is not None and end_ms is not None:
                title = f"{reply.agent}, {clock_text(begin)}: {_heard(reply)}"
                stretch = _Stretch(begin, end_ms, chart.agents[reply.agent], title)
                yield _wave(chart, agent, AGENT_Y, HALF / peak, stretch)


def _wave(chart: Chart, outline: Outline, y: float, scale: float, stretch: _Stretch) -> str:
    if not outline or chart.length_ms <= 0:
        return ""
    step = chart.length_ms / len(outline)
    first = max(0, int(stretch.begin_ms / step))
    points = [
        (chart.x((first + index + 0.5) * step), *pair)
        for index, pair in enumerate(outline[first : int(stretch.end_ms / step) + 1])
    ]
    if not points:
        return ""
    # Half a unit at least, so that quiet speech is a line and not a gap.
    above = [f"{x:.1f} {y - max(0.5, high * scale):.1f}" for x, _, high in points]
    below = [f"{x:.1f} {y + max(0.5, -low * scale):.1f}" for x, low, _ in reversed(points)]
    shape = f"M{'L'.join(above + below)}Z"
    return f'<path class="wave {stretch.style}" d="{shape}"><title>{escape(stretch.title)}</title></path>'


def _heard(reply: Reply) -> str:
    return reply.heard_text if reply.cut and reply.heard_text is not None else reply.text


def _wait(chart: Chart, turn: Turn) -> Iterator[str]:
    """From the user's last sample to the answer."""
    latency = latency_of(turn)
    if turn.end_ms is None or latency is None or latency.heard_ms is None or latency.heard_ms < 0:
        return
    x, end = chart.x(turn.end_ms), chart.x(turn.end_ms + latency.heard_ms)
    y = ACTS_Y + 26
    yield f'<path class="wait" d="M{x:.1f} {USER_Y}V{y}H{end:.1f}V{AGENT_Y}"/>'
    yield f'<text class="small" x="{end + 4:.1f}" y="{y + 4}">{latency.heard_ms:.0f} ms</text>'


def _acts(chart: Chart, turn: Turn) -> Iterator[str]:
    marks = [(tool.begin_ms, "tool", tool.name, call_text(tool.name, tool.arguments)) for tool in turn.tools]
    marks += [
        (handoff.at_ms, "handoff", f"to {handoff.target}", f"{handoff.source} hands over to {handoff.target}")
        for handoff in turn.handoffs
    ]
    for at, kind, label, title in marks:
        x, y = chart.x(at), ACTS_Y - 2
        yield f'<g class="mark {kind}"><title>{escape(title)}, {clock_text(at)}</title>'
        yield f'<path d="{_MARKS[kind]}" transform="translate({x:.1f} {y})"/>'
        yield f'<text x="{x + 11:.1f}" y="{y + 4}">{escape(label)}</text></g>'


def _cuts(chart: Chart) -> Iterator[str]:
    for cut in chart.timeline.interruptions:
        x = chart.x(cut.at_ms)
        unheard = f", {cut.unheard_ms / 1000:.1f} s not heard" if cut.unheard_ms >= AHEAD_MS else ""
        yield f'<g class="cut"><title>{escape(cut.reply.agent)} interrupted, {clock_text(cut.at_ms)}</title>'
        yield f'<path d="M{x:.1f} 30V{AXIS_Y}"/>'
        yield f'<text x="{x + 6:.1f}" y="{AGENT_Y + HALF + 10}">cut at {cut.cut_ms / 1000:.2f} s{unheard}</text></g>'


def _axis(chart: Chart) -> Iterator[str]:
    yield f'<path class="axis" d="M{LEFT} {AXIS_Y}H{WIDTH - RIGHT}"/>'
    step = tick_step_ms(chart.length_ms)
    for ms in range(0, int(chart.length_ms) + 1, step):
        x = chart.x(ms)
        yield f'<path class="axis" d="M{x:.1f} {AXIS_Y}v5"/>'
        text = f"{ms // 1000} s" if chart.length_ms < 120_000 else clock_text(ms)[:-2]
        yield f'<text class="tick" x="{x:.1f}" y="{AXIS_Y + 20}">{text}</text>'
