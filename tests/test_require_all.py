"""Skipped tests are failures where everything is required: the rule of tests/conftest.py, tried on a small project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = """
import pytest

@pytest.mark.needs_program("no-such-program")
def test_program(): ...

@pytest.mark.needs_program("sh")
@pytest.mark.needs_module("json")
def test_present(): ...

@pytest.mark.needs_module("no_such_module")
def test_module(): ...

@pytest.mark.skip(reason="not today")
def test_marked(): ...

def test_inside():
    pytest.skip("asked inside")

@pytest.mark.xfail(strict=True)
def test_expected(): assert False
"""


@pytest.mark.parametrize(
    ("require_all", "counts"),
    [
        ("", {"passed": 1, "skipped": 5, "xfailed": 1}),
        ("1", {"passed": 1, "failed": 1, "xfailed": 1, "error": 4}),
    ],
)
def test_skips(tmp_path: Path, root: Path, require_all: str, counts: dict[str, int]) -> None:
    (tmp_path / "conftest.py").write_text((root / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    needs_program\n    needs_module\n")
    (tmp_path / "test_sample.py").write_text(SAMPLE)
    (tmp_path / "test_whole.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--continue-on-collection-errors",
            str(tmp_path),
        ],
        env={**os.environ, "VOXWIRE_REQUIRE_ALL": require_all, "PYTEST_ADDOPTS": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    closing = done.stdout.splitlines()[-1]
    found = {
        kind: int(count)
        for count, kind in re.findall(r"(\d+) (passed|failed|skipped|xfailed|error)", closing)
    }
    assert found == counts, done.stdout
    assert bool(done.returncode) == bool(require_all)
