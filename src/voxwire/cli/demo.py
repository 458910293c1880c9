"""`voxwire demo`: a conversation, and what is left of it on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..audio.wav import read_wav
from ..errors import ConfigError
from ..recording.facts import Check, RecordingFacts, recording_facts
from ..recording.report import Report, render
from .checks import check_all
from .conversation import Outcome, hold
from .demo_agents import make_agents
from .dialogue import Line, built_in, built_in_prompt, own_questions
from .paths import make_folder
from .place import Place, choose_wire, key_for
from .running import INTERRUPTED, run_until_stopped
from .summary import summary_json

__all__ = ["DemoOptions", "poor_speech", "run"]

MOST_DETAIL = 100


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What was asked for on the command line; see `voxwire demo --help`."""

    audio: Sequence[Path] = ()
    text: Sequence[str] = ()
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model: str | None = None
    transport: str | None = None
    out: Path = Path("demo-out")
    plain: bool = False
    max_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class _Files:
    recording: Path
    log: Path
    report: Path
    summary: Path


def run(options: DemoOptions) -> int:
    """Hold the conversation, write the files, print the checks.

    Returns:
        0 if everything happened that should, 1 if not, 130 after Ctrl-C.

    Raises:
        VoxwireError: an option cannot be used, or there is no connection.
    """
    lines = _lines(options)
    files = _files(options.out)
    place = Place(
        options.url,
        key_for(options.url, options.api_key),
        options.model,
        wire=choose_wire(options.transport, options.url),
    )
    own = bool(options.audio or options.text)
    if place.embedded:
        for warning in poor_speech():
            print(f"Note: {warning}")
    outcome = run_until_stopped(
        hold(
            make_agents(),
            lines,
            place,
            prompt="" if own else built_in_prompt(),
            folder=options.out,
            plain=options.plain,
            max_seconds=options.max_seconds,
        )
    )
    facts = recording_facts(files.recording, outcome.timeline)
    checks = check_all(outcome.timeline, lines, facts, stopped=outcome.stopped)
    _write(files, outcome, checks, facts)
    _print_checks(checks, files)
    if outcome.by_user:
        return INTERRUPTED
    return 0 if all(check.ok for check in checks) else 1


def poor_speech() -> list[str]:
    """Why the embedded server would not understand or not be understood on this machine; mostly nothing."""
    from ..server.speech import registry

    chosen = [registry.default(kind) for kind in ("transcriber", "synthesizer")]
    return [choice.note for choice in chosen if choice.name in ("none", "tone")]


def _lines(options: DemoOptions) -> list[Line]:
    for path in options.audio:
        try:
            read_wav(path)
        except OSError as error:
            raise ConfigError(f"--audio {path} cannot be read: {error.strerror or error}") from error
    return own_questions(options.audio, options.text) or built_in()


def _files(folder: Path) -> _Files:
    names = ("recording.wav", "events.jsonl", "report.html", "summary.json")
    make_folder("--out", folder, *names)
    return _Files(*(folder / name for name in names))


def _write(files: _Files, outcome: Outcome, checks: Sequence[Check], facts: RecordingFacts) -> None:
    report = Report(
        timeline=outcome.timeline,
        checks=checks,
        recording=facts,
        outlines=outcome.outlines,
        url=outcome.url,
        model=outcome.model,
        files=[
            (files.recording.name, "stereo: user left, agent right, as heard"),
            (files.log.name, "every wire event"),
            (files.summary.name, "these numbers"),
        ],
    )
    files.report.write_text(render(report), encoding="utf-8")
    files.summary.write_text(summary_json(report, outcome.usage, stopped=outcome.stopped), encoding="utf-8")


def _clipped(text: str) -> str:
    """Long details are whole in the report and the summary."""
    return text if len(text) <= MOST_DETAIL else f"{text[:MOST_DETAIL]}..."


def _print_checks(checks: Sequence[Check], files: _Files) -> None:
    print()
    for check in checks:
        print(f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {_clipped(check.detail)}")
    failed = sum(not check.ok for check in checks)
    print(f"\n{len(checks) - failed} of {len(checks)} checks passed.")
    for path in (files.report, files.recording, files.log, files.summary):
        print(f"  {path}")
