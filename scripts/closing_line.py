"""Add up the closing lines of several pytest runs in one log.

    python scripts/closing_line.py LOG

prints a line such as pytest's own: `===== 1 failed, 20 passed in 3.50s =====`, or nothing if the log has none.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["added_up", "main"]

CLOSING = re.compile(r"^=+ (?P<counts>\d.*) in (?P<seconds>[0-9.]+)s.* =+$")
COUNT = re.compile(r"(\d+) (\w+)")
ORDER = ("failed", "passed", "skipped", "deselected", "xfailed", "xpassed", "warnings", "errors")
PLURALS = {"error": "errors", "warning": "warnings"}


def added_up(lines: Iterable[str]) -> str | None:
    """One closing line for all runs; None if there was none. Tests that one run left to another are left out."""
    counts: dict[str, int] = {}
    seconds = 0.0
    found = False
    for line in lines:
        match = CLOSING.match(line.strip())
        if match is None:
            continue
        found = True
        seconds += float(match["seconds"])
        for number, word in COUNT.findall(match["counts"]):
            kind = PLURALS.get(word, word)
            counts[kind] = counts.get(kind, 0) + int(number)
    if not found:
        return None
    words = ", ".join(f"{counts[kind]} {kind}" for kind in ORDER if counts.get(kind) and kind != "deselected")
    return f"===== {words} in {seconds:.2f}s ====="


def main() -> None:
    """Print the sum of a log."""
    line = added_up(Path(sys.argv[1]).read_text(encoding="utf-8", errors="replace").splitlines())
    if line is not None:
        print(line)


if __name__ == "__main__":
    main()
