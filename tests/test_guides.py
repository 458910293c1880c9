"""The code in the guide's pages runs, warnings being errors. A new page takes one line.

The Japanese pages have the same code, which `tests/test_translations.py` sees to; so it is run once.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "guide"
PAGES = {
    "calls.md": 3,
    "cloudflare.md": 2,
    "devices.md": 3,
    "guardrails.md": 6,
    "history.md": 3,
    "mcp.md": 2,
    "metrics.md": 3,
    "own-transport.md": 3,
    "pyodide.md": 1,
    "recording.md": 2,
    "testing.md": 6,
    "tools.md": 3,
    "twilio.md": 3,
    "webrtc.md": 3,
    "websocket.md": 5,
}
"""Page -> how many blocks of code it has, so that none is lost by a misspelt fence."""
EXAMPLES = {"own-transport.md": ROOT / "examples" / "own_transport"}
"""Page -> the example whose modules it imports."""


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (GUIDE / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_there_is_code(page: str) -> None:
    assert len(blocks(page)) == PAGES[page]


@pytest.mark.parametrize(
    ("page", "number"), [(page, n) for page, count in PAGES.items() for n in range(count)]
)
def test_a_block_runs(page: str, number: int, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    script.write_text(blocks(page)[number], encoding="utf-8")
    command = [sys.executable, "-W", "error", script]
    place = dict(os.environ, PYTHONPATH=str(EXAMPLES[page])) if page in EXAMPLES else None
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, cwd=tmp_path, env=place
    )
    assert done.returncode == 0, done.stderr
