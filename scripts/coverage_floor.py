"""Check every module's coverage against its floor.

    python scripts/coverage_floor.py .coverage.json

The floors are percent of lines and branches together: `[tool.voxwire.coverage]` in
pyproject.toml has the default and, under `modules`, the exceptions.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["below_floor", "main", "measured"]

ROOT = Path(__file__).resolve().parent.parent


def module_name(path: str) -> str:
    """`src/voxwire/protocol/wire.py` -> `voxwire.protocol.wire`."""
    parts = list(Path(path).with_suffix("").parts)
    parts = parts[parts.index("voxwire") :]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def measured(report: Mapping[str, Any]) -> dict[str, float]:
    """Percent covered of every module in coverage's JSON report."""
    return {module_name(path): data["summary"]["percent_covered"] for path, data in report["files"].items()}


def below_floor(percents: Mapping[str, float], settings: Mapping[str, Any]) -> list[str]:
    """One line per complaint; empty if every module is covered well enough."""
    default: float = settings["default"]
    floors: Mapping[str, float] = settings.get("modules", {})
    complaints = [
        f"{module} is covered to {percent:.1f} %, its floor is {floors.get(module, default)} %"
        for module, percent in sorted(percents.items())
        if percent < floors.get(module, default)
    ]
    complaints += [
        f"{module} has a floor in pyproject.toml, and there is no such module"
        for module in sorted(floors.keys() - percents.keys())
    ]
    return complaints


def main(arguments: list[str]) -> int:
    """Print the complaints; 1 if there are any."""
    (report_path,) = arguments
    report = json.loads(Path(report_path).read_text())
    if not report["meta"]["branch_coverage"]:
        print("The report has no branch coverage: run pytest from the project's root, with its settings.")
        return 1
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["voxwire"]["coverage"]
    percents = measured(report)
    complaints = below_floor(percents, settings)
    for line in complaints:
        print(line)
    if not complaints:
        print(
            f"{len(percents)} modules, {report['totals']['percent_covered']:.1f} % covered, none below its floor"
        )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
