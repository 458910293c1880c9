"""`voxwire replay`: feed a log through the engine again and compare what it decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..protocol.replay import Difference, ReplayResult, replay

__all__ = ["run"]

MOST = 400
"""Characters of a value that are shown."""


def run(path: Path, *, show: int = 10) -> int:
    """Replay a log and print the first differences.

    Returns:
        0 if everything was decided as in the log, 1 if not.

    Raises:
        UserError: if the file is no log, or cannot be replayed.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            result = replay(lines, max_differences=show)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}") from error
    for difference in result.differences:
        _show(difference)
    _summarise(result, show)
    return 0 if result.same else 1


def _show(difference: Difference) -> None:
    print(f"line {difference.line}, {difference.t_ms / 1000:.2f} s: {difference.what}")
    print(f"  logged    {_short(difference.logged)}")
    print(f"  replayed  {_short(difference.replayed)}")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST else f"{text[:MOST]}..."


def _summarise(result: ReplayResult, show: int) -> None:
    counts = [
        (result.steps, "steps"),
        (result.connections, "connections"),
        (result.sent, "events sent"),
        (result.cuts, "interruptions"),
        (result.histories, "histories"),
    ]
    print(f"Replayed {', '.join(f'{number} {what}' for number, what in counts)}.")
    if not result.complete:
        print("The last line is cut off, as after a crash.")
    if result.same:
        print("Every decision is the same.")
        return
    more = f", the first {show} are above" if result.different > show else ""
    print(f"{result.different} differences{more}. One often brings others with it.")
