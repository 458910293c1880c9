from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_floor", root / "scripts" / "coverage_floor.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(**percents: float) -> dict[str, Any]:
    return {
        "meta": {"branch_coverage": True},
        "files": {
            f"src/voxwire/{name.replace('__', '/')}.py": {"summary": {"percent_covered": percent}}
            for name, percent in percents.items()
        },
        "totals": {"percent_covered": 90.0},
    }


def test_modules_are_named_as_they_are_imported(script: ModuleType) -> None:
    assert script.module_name("src/voxwire/protocol/wire.py") == "voxwire.protocol.wire"
    assert script.module_name("/somewhere/site-packages/voxwire/audio/__init__.py") == "voxwire.audio"


def test_below_floor(script: ModuleType) -> None:
    percents = script.measured(report(good=85.0, bad=84.9, special=10.0, protocol__engine=94.0))
    settings = {
        "default": 85,
        "modules": {"voxwire.special": 10, "voxwire.protocol.engine": 95, "voxwire.gone": 1},
    }
    assert script.below_floor(percents, settings) == [
        "voxwire.bad is covered to 84.9 %, its floor is 85 %",
        "voxwire.protocol.engine is covered to 94.0 %, its floor is 95 %",
        "voxwire.gone has a floor in pyproject.toml, and there is no such module",
    ]


def test_exit_status(script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.voxwire.coverage]\ndefault = 50\n")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    file = tmp_path / "report.json"

    file.write_text(json.dumps(report(one=50.0)))
    assert script.main([str(file)]) == 0
    file.write_text(json.dumps(report(one=49.0)))
    assert script.main([str(file)]) == 1
    file.write_text(json.dumps({**report(one=100.0), "meta": {"branch_coverage": False}}))
    assert script.main([str(file)]) == 1
