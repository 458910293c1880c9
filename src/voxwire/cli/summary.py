"""`summary.json`: the conversation in numbers, for programs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, cast

from .._version import __version__
from ..protocol.usage import Usage
from ..recording.latency import latency_of, median_heard_ms
from ..recording.report import Report
from ..recording.turns import Turn

__all__ = ["summary_json"]


def summary_json(report: Report, usage: Usage, *, stopped: str | None) -> str:
    """Everything that was measured; times are ms since the recording began."""
    timeline = report.timeline
    body: dict[str, Any] = {
        "voxwire": __version__,
        "ok": all(check.ok for check in report.checks),
        "stopped": stopped,
        "url": report.url,
        "model": report.model,
        "duration_ms": timeline.duration_ms,
        "median_heard_after_ms": median_heard_ms(timeline.turns),
        "checks": [asdict(check) for check in report.checks],
        "turns": [_turn(turn) for turn in timeline.turns],
        "interruptions": [
            {
                "at_ms": cut.at_ms,
                "agent": cut.reply.agent,
                "cut_ms": cut.cut_ms,
                "service_ms": cut.service_ms,
                "reaction_ms": cut.reaction_ms,
                "heard": cut.reply.heard_text,
                "generated": cut.reply.text,
            }
            for cut in timeline.interruptions
        ],
        "errors": [{"at_ms": at, "message": message} for at, message in timeline.errors],
        "recording": asdict(report.recording) if report.recording else None,
        "usage": asdict(usage),
    }
    return json.dumps(_rounded(body), indent=2, ensure_ascii=False) + "\n"


def _turn(turn: Turn) -> dict[str, Any]:
    latency = latency_of(turn)
    return {**asdict(turn), "latency": asdict(latency) if latency is not None else None}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in cast("list[Any]", value)]
    return value
