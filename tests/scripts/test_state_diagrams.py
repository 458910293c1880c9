from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from voxwire.protocol.table import Table

DOOR = Table(
    "door",
    "not open",
    {
        ("not open", "push"): "open",
        ("not open", "pull"): "open",
        ("open", "wind"): "open",
        ("open", "pull"): "not open",
    },
)
DRAWN = """stateDiagram-v2
    state "not open" as not_open
    [*] --> not_open
    not_open --> open: push / pull
    open --> open: wind
    open --> not_open: pull"""


@pytest.fixture
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("state_diagrams", root / "scripts" / "state_diagrams.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_diagram(script: ModuleType) -> None:
    assert script.diagram(DOOR) == DRAWN


def test_redraw_touches_only_the_blocks(script: ModuleType) -> None:
    page = "before\n<!-- machine:door -->\nold\n<!-- /machine -->\nafter\n"
    drawn = script.redraw(page, [DOOR])
    assert drawn == f"before\n<!-- machine:door -->\n```mermaid\n{DRAWN}\n```\n<!-- /machine -->\nafter\n"
    assert script.redraw(drawn, [DOOR]) == drawn


@pytest.mark.parametrize("page", ["", "<!-- machine:window -->\n<!-- /machine -->"])
def test_every_table_has_its_block(script: ModuleType, page: str) -> None:
    with pytest.raises(ValueError, match="there are tables \\['door'\\]"):
        script.redraw(page, [DOOR])


def test_check_and_write(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "design.md"
    page.write_text("<!-- machine:door -->\n<!-- /machine -->\n")
    monkeypatch.setattr(script, "PAGE", page)
    monkeypatch.setattr(script, "TABLES", (DOOR,))

    assert script.main(["--check"]) == 1
    assert "--write" in capsys.readouterr().out
    assert script.main(["--write"]) == 0
    assert script.main(["--check"]) == 0


def test_the_design_page_is_up_to_date(script: ModuleType) -> None:
    assert script.main(["--check"]) == 0, "run python scripts/state_diagrams.py --write"
