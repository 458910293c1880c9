"""Tool calls as the session sees them: what may happen to a call, and which calls are let in.

Pure: no tasks, no transport.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Final, Literal, TypeAlias

from ..protocol.table import Table

__all__ = ["RUNNING_CALLS", "TOOL_RUN", "CallLedger", "Verdict", "fingerprint"]

RUNNING_CALLS: Final = 64
"""Calls that may run at one time; more are answered with a refusal."""
REMEMBERED: Final = 1024
"""Finished calls that are remembered, to recognise a repetition."""

TOOL_RUN = Table(
    "tool run",
    "running",
    {
        ("running", "result"): "answering",
        # A person has to agree first, which may take any time and is not stopped by an interruption.
        ("running", "asked"): "waiting",
        ("waiting", "decided"): "running",
        ("running", "interrupted"): "cancelling",
        # The tool may have caught the cancellation and have a result all the same.
        ("cancelling", "result"): "answering",
        ("answering", "sent"): "answered",
        ("answering", "send failed"): "failed",
        ("running", "disconnected"): "dropped",
        ("waiting", "disconnected"): "dropped",
        ("cancelling", "disconnected"): "dropped",
        ("answering", "disconnected"): "dropped",
    },
)
"""One tool call, from the model's request to the answer on the wire."""

Verdict: TypeAlias = Literal["run", "repeated", "changed", "too many", "second handoff"]
"""`repeated` is ignored, `changed` is told as an error, the two refusals are answered."""


def fingerprint(tool_name: str, arguments: str) -> str:
    """What makes two calls the same: the tool, and arguments that mean the same."""
    try:
        meaning: object = json.loads(arguments, parse_float=_number)
        return json.dumps([tool_name, meaning], sort_keys=True)
    except (ValueError, RecursionError):
        return f"{tool_name} {arguments}"


def _number(text: str) -> float:
    """1.0 and 1 are the same number in JSON."""
    number = float(text)
    return int(number) if number.is_integer() else number


class CallLedger:
    """The calls of one connection."""

    def __init__(self, *, limit: int = RUNNING_CALLS) -> None:
        self._limit = limit
        self._states: OrderedDict[str, str] = OrderedDict()
        self._meanings: dict[str, str] = {}
        self._open: set[str] = set()
        self._handoffs: set[str] = set()

    def admit(self, call_id: str, response_id: str | None, *, handoff: bool, meaning: str = "") -> Verdict:
        """The model made a call. Of several handoffs in one response, the first is taken.

        Args:
            meaning: the call's `fingerprint`. An id that comes again with another one is no repetition.
        """
        if call_id in self._states:
            return "repeated" if self._meanings[call_id] == meaning else "changed"
        self._states[call_id] = TOOL_RUN.initial
        self._meanings[call_id] = meaning
        self._open.add(call_id)
        self._forget_old()
        if len(self._open) > self._limit:
            return "too many"
        if handoff and response_id:
            if response_id in self._handoffs:
                return "second handoff"
            self._handoffs.add(response_id)
        return "run"

    def state(self, call_id: str) -> str | None:
        """Where a call is; None for one that is not known."""
        return self._states.get(call_id)

    def step(self, call_id: str, event: str) -> bool:
        """Something happened to a call. False, and nothing changes, if it cannot happen to it any more."""
        state = self._states.get(call_id)
        if state is None or not TOOL_RUN.allows(state, event):
            return False
        self._states[call_id] = after = TOOL_RUN.step(state, event)
        if after in ("answered", "failed", "dropped"):
            self._open.discard(call_id)
        return True

    def response_done(self, response_id: str) -> None:
        """A response ended: no more calls will come from it."""
        self._handoffs.discard(response_id)

    def _forget_old(self) -> None:
        while len(self._states) > REMEMBERED:
            oldest = next((call for call in self._states if call not in self._open), None)
            if oldest is None:
                return
            del self._states[oldest], self._meanings[oldest]
