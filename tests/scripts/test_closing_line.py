from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("closing_line", root / "scripts" / "closing_line.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_runs_are_added_up(script: ModuleType) -> None:
    log = [
        "tests/test_a.py ....",
        "========= 1 failed, 5400 passed, 60 deselected, 1 warning in 480.25s (0:08:00) =========",
        "=== 58 passed, 2 errors, 5401 deselected in 200.50s (0:03:20) ===",
    ]
    assert script.added_up(log) == "===== 1 failed, 5458 passed, 1 warnings, 2 errors in 680.75s ====="


def test_no_run(script: ModuleType) -> None:
    assert (
        script.added_up(["make: *** [Makefile:37: test] Error 2", "=== short test summary info ==="]) is None
    )
