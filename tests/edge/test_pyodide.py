"""The tests of `protocol` and `session` under Pyodide in Node, Python 3.13 and 3.14: the same files, nothing faked.

What they prove: the package imports and its logic runs there, with no compiled package. What they do not: sockets, which
Node's Pyodide has none of; those are in test_workerd.py.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# What a test file needs that is not there; told by its text, so that a new file is sorted right.
NOT_HERE = {
    "EmbeddedServer": "a socket",
    "ScriptedServer": "a socket",
    "opentelemetry": "a package",
    "pydantic": "a compiled package",
    "subprocess": "processes",
}
LEFT_OUT = {
    "protocol/test_wire.py::test_encode_refuses_endless_depth": "the encoder of the stdlib exhausts JavaScript's stack",
    "session/test_guardrails.py::test_a_result_of_the_last_connection_is_ignored": "needs a thread",
    "session/test_session.py::test_the_best_transport": "expects what is installed elsewhere",
}


def files() -> list[str]:
    """The test files that can run there, as Pyodide sees them."""
    folders = (ROOT / "tests" / "protocol", ROOT / "tests" / "session")
    paths = sorted(path for folder in folders for path in folder.glob("test_*.py"))
    return [
        f"/repo/{path.relative_to(ROOT)}"
        for path in paths
        if not any(word in path.read_text() for word in NOT_HERE)
    ]


def test_what_is_left_out_is_there() -> None:
    for name in LEFT_OUT:
        path, _, function = name.partition("::")
        assert function in (ROOT / "tests" / path).read_text()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("python", ["313", "314"])
def test_protocol_and_session(hosts: Any, python: str) -> None:
    if not (HERE / "site-packages").is_dir():
        pytest.skip("tests/edge/site-packages is not there; `make test` makes it")
    command = [
        "node",
        "pyodide_node.mjs",
        f"pyodide-{python}",
        "run_pytest.py",
        *("--mount", f"{ROOT}=/repo", "--mount", f"{HERE / 'site-packages'}=/site"),
        *(
            "-c",
            "/repo/tests/edge/pyodide.ini",
            "--rootdir=/repo",
            "-q",
        ),
        *(f"--deselect=tests/{name}" for name in LEFT_OUT),
        *files(),
    ]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 1200
