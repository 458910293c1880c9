"""Draw the engine's state tables into docs/design.md, between `<!-- machine:NAME -->` marks.

python scripts/state_diagrams.py --write
python scripts/state_diagrams.py --check      (fails if the page and the tables differ)
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from voxwire.protocol.machines import TABLES
from voxwire.protocol.table import Table

__all__ = ["diagram", "main", "redraw"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "design.md"
BLOCK = re.compile(r"<!-- machine:(?P<name>[^\n>]+) -->\n.*?<!-- /machine -->", re.DOTALL)


def diagram(table: Table) -> str:
    """One table as a Mermaid state diagram; events that lead the same way share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), target in table.transitions.items():
        arrows.setdefault((state, target), []).append(event)
    lines = ["stateDiagram-v2"]
    lines += [
        f'    state "{state}" as {identifier(state)}' for state in table.states if identifier(state) != state
    ]
    lines += [f"    [*] --> {identifier(table.initial)}"]
    lines += [
        f"    {identifier(state)} --> {identifier(target)}: {' / '.join(events)}"
        for (state, target), events in arrows.items()
    ]
    return "\n".join(lines)


def identifier(state: str) -> str:
    """What Mermaid accepts as a state's identifier."""
    return re.sub(r"\W", "_", state)


def redraw(text: str, tables: Iterable[Table]) -> str:
    """The page with every block drawn again.

    Raises:
        ValueError: if a table has no block, or a block no table.
    """
    by_name = {table.name: table for table in tables}
    names = [match["name"] for match in BLOCK.finditer(text)]
    if sorted(names) != sorted(by_name):
        raise ValueError(f"there are tables {sorted(by_name)}, and the page has blocks for {sorted(names)}")

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- machine:{name} -->\n```mermaid\n{diagram(by_name[name])}\n```\n<!-- /machine -->"

    return BLOCK.sub(block, text)


def main(arguments: list[str]) -> int:
    """1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="draw the diagrams anew")
    mode.add_argument("--check", action="store_true", help="fail if they are not what the tables say")
    options = parser.parse_args(arguments)

    old = PAGE.read_text(encoding="utf-8")
    new = redraw(old, TABLES)
    if options.write:
        PAGE.write_text(new, encoding="utf-8")
    elif new != old:
        print("docs/design.md is behind the state tables: run python scripts/state_diagrams.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
