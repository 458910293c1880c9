"""MCP servers of openai-agents in our sessions."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path


def test_their_server_in_our_session(interop_python: Path, root: Path) -> None:
    done = subprocess.run(
        [interop_python, root / "tests" / "interop" / "agents_mcp.py"],
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(root / "src")},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "tools": ["double", "erase"],
        "outputs": {"double": "42", "erase": "No."},
        "asked": ["erase"],
        "closed": True,
    }
