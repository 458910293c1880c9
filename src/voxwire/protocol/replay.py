"""Replaying a log: the same steps through a new engine, and whether it decides the same.

A log is JSON lines. The first is the header; of the others, those with a `step` are calls of the engine, and
those marked `"by": "engine"` that follow one are what it sent. See docs/guide/recording.md for all fields.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, cast

from ..errors import UserError, VoxwireError
from .actions import Action, Send, StopPlayback
from .engine import RealtimeEngine
from .history_json import item_to_dict
from .items import RealtimeItem
from .observed import STEPS, Step
from .options import EngineOptions
from .redaction import Redaction, restored_audio
from .step_codec import decode_arguments, encode_step

__all__ = ["FORMAT", "Difference", "ReplayResult", "header", "replay"]

FORMAT: Final = 1
"""The version of the log's format."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that was decided otherwise.

    Attributes:
        line: of the log, from 1. t_ms: since the log began.
        what: was compared.
        logged, replayed: what was found there, and now.
    """

    line: int
    t_ms: float
    what: str
    logged: Any
    replayed: Any


@dataclass(slots=True)
class ReplayResult:
    """What a replay came to.

    Attributes:
        differences: the first of them. different: how many there are.
        steps, connections, sent, cuts, tools, histories: how much was compared.
        complete: False if the log ends within a line, as that of a crash may.
        history: the conversation at the end.
    """

    differences: list[Difference] = field(default_factory=list[Difference])
    different: int = 0
    steps: int = 0
    connections: int = 0
    sent: int = 0
    cuts: int = 0
    histories: int = 0
    complete: bool = True
    history: Sequence[RealtimeItem] = ()

    @property
    def same(self) -> bool:
        """Whether everything was decided as in the log."""
        return not self.different


def header(options: EngineOptions, redaction: Redaction, **others: Any) -> dict[str, Any]:
    """The first line of a log."""
    return {
        "voxwire_log": FORMAT,
        **others,
        "options": asdict(options),
        "redaction": {"transcripts": redaction.transcripts},
    }


def replay(lines: Iterable[str], *, max_differences: int = 20) -> ReplayResult:
    """Feed a log to a new engine and compare.

    Args:
        lines: of the log.
        max_differences: how many are kept; all are counted. One often brings others with it.

    Raises:
        UserError: if this is no log, or nothing in it can be replayed; the message says why.
    """
    rest = iter(lines)
    first = next(rest, "")
    player = _Player(_read_header(first), max_differences)
    broken: tuple[int, str] | None = None
    for number, line in enumerate(rest, 2):
        if broken is not None:
            raise UserError(f"line {broken[0]} of the log is not a JSON object: {broken[1][:60]!r}")
        if not line.strip():
            continue
        entry = _object(line)
        if entry is None:
            broken = (number, line)  # which is no harm at the end
        else:
            player.take(entry, number)
    return player.finish(complete=broken is None)


def _object(line: str) -> dict[str, Any] | None:
    try:
        value: Any = json.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _read_header(line: str) -> Mapping[str, Any]:
    entry = _object(line)
    if entry is None or "voxwire_log" not in entry:
        raise UserError("this is not a log of voxwire: the first line has no 'voxwire_log'")
    if entry["voxwire_log"] != FORMAT:
        raise UserError(f"the log has format {entry['voxwire_log']!r}; this version reads {FORMAT}")
    if not entry.get("steps", True):
        raise UserError(
            f"the log has no steps to replay: the transport ({entry.get('transport')}) has no engine of ours"
        )
    if entry.get("status", "disconnected") != "disconnected":
        raise UserError(
            f"the log begins in the middle of a connection ({entry['status']}); start recording before connect()"
        )
    return entry


class _Player:
    """An engine, and the line of the log it is at."""

    def __init__(self, head: Mapping[str, Any], max_differences: int) -> None:
        redaction: Any = head.get("redaction") or {}
        self._redaction = Redaction(transcripts=bool(redaction.get("transcripts")))
        self._ids: deque[str] = deque()
        self._made_up = 0
        self._engine = RealtimeEngine(ids=self._next_id, options=_options(head.get("options") or {}))
        self._sends: deque[Mapping[str, Any]] = deque()
        self._line, self._t_ms = 1, 0.0
        self._most = max_differences
        self.result = ReplayResult()

    def take(self, entry: Mapping[str, Any], number: int) -> None:
        by_engine = entry.get("by") == "engine"
        if self._sends and not by_engine:
            self._expect_no_more()
        self._line, self._t_ms = number, float(entry.get("t_ms") or 0.0)
        if by_engine:
            self._compare_sent(entry)
        elif "step" in entry:
            self._step(entry)
        elif "history" in entry:
            self.result.histories += 1
            self._compare("history", entry["history"], self._history())

    def finish(self, *, complete: bool) -> ReplayResult:
        if complete:
            self._expect_no_more()
        self.result.complete = complete
        self.result.history = self._engine.history.snapshot()
        return self.result

    # -- steps -----------------------------------------------------------------------------

    def _step(self, entry: Mapping[str, Any]) -> None:
        name = entry["step"]
        if name not in STEPS:
            raise UserError(
                f"line {self._line} of the log has a step {name!r}, which this version does not know"
            )
        arguments = decode_arguments(entry.get("arguments") or {})
        if isinstance(entry.get("event"), Mapping):
            arguments["event"] = restored_audio(entry["event"])
        self._ids = deque(entry.get("ids") or ())
        step = self._carry_out(str(name), arguments)
        found = encode_step(step)
        self.result.steps += 1
        self.result.connections += name == "connect"
        self.result.cuts += any(isinstance(action, StopPlayback) for action in step.actions)
        self._sends.extend(action.event for action in step.actions if isinstance(action, Send))
        if "raised" in entry or "raised" in found:
            self._compare(f"{name} raises", entry.get("raised"), found.get("raised"))
        self._compare(f"what {_called(entry)} led to", entry.get("did"), found.get("did"))

    def _carry_out(self, name: str, arguments: Mapping[str, Any]) -> Step:
        actions: Sequence[Action] = ()
        try:
            actions = getattr(self._engine, name)(**arguments) or ()
        except VoxwireError as error:
            return Step(name, arguments, raised=error)
        except TypeError as error:
            raise UserError(f"line {self._line} of the log: {error}") from None
        return Step(name, arguments, actions=actions)

    def _next_id(self, prefix: str) -> str:
        if self._ids:
            return self._ids.popleft()
        self._made_up += 1
        return f"{prefix}_replayed_{self._made_up}"

    # -- comparing -------------------------------------------------------------------------

    def _compare_sent(self, entry: Mapping[str, Any]) -> None:
        self.result.sent += 1
        replayed = self._redaction.event(self._sends.popleft()) if self._sends else None
        logged = entry.get("event")
        self._compare(f"{entry.get('type')} sent", logged, json.loads(json.dumps(replayed)))

    def _expect_no_more(self) -> None:
        while self._sends:
            event = self._redaction.event(self._sends.popleft())
            self._compare(f"{event.get('type')} sent", None, event)

    def _history(self) -> list[dict[str, Any]]:
        items = [self._redaction.event(item_to_dict(item)) for item in self._engine.history.snapshot()]
        return cast("list[dict[str, Any]]", json.loads(json.dumps(items)))

    def _compare(self, what: str, logged: Any, replayed: Any) -> None:
        if logged == replayed:
            return
        self.result.different += 1
        if len(self.result.differences) < self._most:
            self.result.differences.append(Difference(self._line, self._t_ms, what, logged, replayed))


def _called(entry: Mapping[str, Any]) -> str:
    return str(entry.get("type") or entry["step"])


def _options(values: Mapping[str, Any]) -> EngineOptions:
    known = {f.name for f in fields(EngineOptions)}
    return EngineOptions(**{key: value for key, value in values.items() if key in known})
