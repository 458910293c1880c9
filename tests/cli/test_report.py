from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from voxwire.cli.summary import summary_json
from voxwire.protocol.usage import Usage
from voxwire.recording.facts import Check, RecordingFacts
from voxwire.recording.report import Report, render
from voxwire.recording.report_chart import LEFT, RIGHT, WIDTH, Chart, draw, tick_step_ms
from voxwire.recording.report_style import STYLE
from voxwire.recording.timeline import Timeline

OUTLINE = [(-0.5, 0.5)] * 100
CHECKS = [Check("first <thing>", True, "fine & well"), Check("second", False, "x" * 300)]
VOID = {"meta", "br"}


class Page(HTMLParser):
    """The elements of a page; complains about what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_of(timeline: Timeline, checks=CHECKS, recording: RecordingFacts | None = None) -> Report:
    facts = recording or RecordingFacts(2, 24_000, 21_000.0, -20.0, -20.0, (-96.0,))
    return Report(timeline, checks, facts, (OUTLINE, OUTLINE), "ws://127.0.0.1:1/v1/realtime", "gpt-realtime")


def test_the_page_is_well_formed_and_tells_everything(whole_play) -> None:
    page = Page(render(report_of(whole_play.timeline)))
    for words in (
        "What is the weather in Tokyo?",
        'get_weather(city="Tokyo")',
        "In Tokyo it is sunny.",
        "Ava handed over to Leo",
        "Leo fell silent, 250 ms after your first sample",
        "cut at 4.05 s of 30.0 s received",
        "Once upon a time not heard: there was a lighthouse keeper.",
        "4 of 9 words were heard",
        "1 checks failed",
        "first <thing>",
        "fine & well",
        "1/2 checks passed",
        "750 ms median time to answer",
    ):
        parts = words.replace(" checks passed", "").replace(" median time to answer", "")
        assert parts in page.text, words


def test_nothing_is_loaded_from_elsewhere(whole_play) -> None:
    files = [("recording.wav", "as heard"), ("events.jsonl", "<all>")]
    html = render(replace(report_of(whole_play.timeline), files=files))
    page = Page(html)
    tags = {tag for tag, _ in page.found}
    assert tags.isdisjoint({"script", "link", "img", "iframe", "audio", "video", "object", "base", "form"})
    assert not [attrs for _, attrs in page.found if "src" in attrs]
    assert {attrs["href"] for tag, attrs in page.found if tag == "a"} == {
        "recording.wav",
        "events.jsonl",
    }
    assert "(<all>)" in page.text
    assert "url(" not in html
    assert "@import" not in html
    policy = next(attrs for tag, attrs in page.found if attrs.get("http-equiv"))
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_what_was_said_is_never_markup() -> None:
    evil = '<script>alert("x")</script>'
    timeline = Timeline(evil)
    turn = timeline.user_begins(evil, 0)
    timeline.user_ends(500)
    turn.recognised = evil
    html = render(report_of(timeline, [Check(evil, False, evil)]))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_a_conversation_that_never_began_has_a_page_as_well() -> None:
    timeline = Timeline("Ava")
    recording = RecordingFacts(2, 24_000, 0.0, None, None)
    page = Page(render(Report(timeline, [], recording, ([], []), "ws://x", "m")))
    assert "Everything happened that should" not in page.text
    assert "hecks" not in page.text
    page = Page(render(Report(timeline, [Check("a", True, "")], None, ([], []), "ws://x", "m")))
    assert "Everything happened that should" in page.text
    assert "1/1" in page.text


def test_colours_have_both_themes_and_paper() -> None:
    assert "prefers-color-scheme:dark" in STYLE
    assert "@media print" in STYLE
    used = set(re.findall(r"var\((--\w+)\)", STYLE)) - {"--c"}
    light, dark = STYLE.split("@media(prefers-color-scheme:dark)")
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark


# -- the chart -------------------------------------------------------------------------------


def chart_of(whole_play) -> ET.Element:
    agents = {"Ava": "agent0", "Leo": "agent1"}
    svg = draw(Chart(whole_play.timeline, (OUTLINE, OUTLINE), 21_000.0, agents))
    return ET.fromstring(svg)


def test_the_chart_can_be_read_aloud(whole_play) -> None:
    chart = chart_of(whole_play)
    named = [chart.find(f"*[@id='{name}']") for name in chart.attrib["aria-labelledby"].split()]
    text = " ".join(element.text or "" for element in named if element is not None)
    assert chart.attrib["role"] == "img"
    for words in (
        "4 turns in 0:21.0",
        "Tool call get_weather.",
        "Handoff to Leo.",
        "Leo was interrupted at 0:17.2",
    ):
        assert words in text


def test_voices_are_drawn_where_they_were_heard(whole_play) -> None:
    chart = chart_of(whole_play)
    paths = [path for path in chart.iter("path") if path.attrib.get("class", "").startswith("wave")]
    assert [path.attrib["class"] for path in paths] == [
        "wave user", "wave agent0", "wave user", "wave agent1",
        "wave user", "wave agent1", "wave user", "wave agent1",
    ]  # fmt: skip
    scale = (WIDTH - LEFT - RIGHT) / 21_000
    xs = [float(point.split()[0]) for point in re.split("[MLZ]", paths[1].attrib["d"]) if point]
    # The answer was heard from 2.8 to 4.8 s; a point stands for 210 ms.
    assert min(xs) == pytest.approx(LEFT + 2800 * scale, abs=210 * scale)
    assert max(xs) == pytest.approx(LEFT + 4800 * scale, abs=210 * scale)


def test_tools_handoffs_waits_and_cuts_are_marked(whole_play) -> None:
    chart = chart_of(whole_play)
    labels = ["".join(text.itertext()) for text in chart.iter("text")]
    for label in ("get_weather", "to Leo", "800 ms", "cut at 4.05 s, 25.9 s not heard", "20 s"):
        assert label in labels or any(label in found for found in labels), label


@pytest.mark.parametrize(
    ("seconds", "step"), [(5, 1), (21, 2), (48, 5), (75, 5), (180, 15), (3600, 300), (100_000, 3600)]
)
def test_ticks(seconds: int, step: int) -> None:
    assert tick_step_ms(seconds * 1000) == step * 1000


# -- the summary -------------------------------------------------------------------------------


def test_the_summary_has_the_numbers(whole_play) -> None:
    summary = json.loads(summary_json(report_of(whole_play.timeline), Usage(requests=6), stopped=None))
    assert summary["ok"] is False
    assert summary["median_heard_after_ms"] == 750
    assert summary["usage"]["requests"] == 6
    first = summary["turns"][0]
    assert first["latency"] == {
        "detected_ms": 500,
        "transcribed_ms": 600,
        "received_ms": 800,
        "heard_ms": 800,
    }
    assert first["tools"][0]["arguments"] == {"city": "Tokyo"}
    assert summary["interruptions"][0]["heard"] == "Once upon a time"
    assert [check["name"] for check in summary["checks"]] == ["first <thing>", "second"]
