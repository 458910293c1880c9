"""What importing costs, and what it must not touch."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import voxwire.protocol

SRC = Path(voxwire.__file__).parent.parent

REFUSED_BY_PROTOCOL = [
    "_socket", "_ssl", "asyncio", "concurrent", "httpx", "multiprocessing", "numpy", "picows", "pydantic",
    "random", "secrets", "select", "selectors", "socket", "soxr", "ssl", "starlette", "subprocess",
    "threading", "time", "uuid", "websockets",
]  # fmt: skip

GUARD = """
import importlib, sys
refused, module = set(sys.argv[1].split(",")), sys.argv[2]

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ImportError(f"{module} imported {name}")

for name in [name for name in sys.modules if name.partition(".")[0] in refused]:
    del sys.modules[name]  # the interpreter's own start needs some of them
sys.meta_path.insert(0, Guard())
importlib.import_module(module)
"""


def run(code: str, *arguments: str) -> str:
    """The output of a bare interpreter (no site-packages, so nothing but the stdlib can be found)."""
    start = f"import sys; sys.path.insert(0, {str(SRC)!r})\n"
    command = [sys.executable, "-I", "-S", "-c", start + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def protocol_modules() -> list[str]:
    found = pkgutil.walk_packages(voxwire.protocol.__path__, "voxwire.protocol.")
    return ["voxwire", "voxwire.protocol", *(info.name for info in found)]


def test_import_loads_only_the_standard_library() -> None:
    """With site-packages there to be found, as for a user."""
    code = "import json, sys, voxwire; print(json.dumps(sorted(sys.modules)))"
    bare = subprocess.run(
        [sys.executable, "-c", code.replace(", voxwire", "")], capture_output=True, check=True
    )
    ours = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    # What .pth files load at every start is not of our doing.
    added = {name.partition(".")[0] for name in set(json.loads(ours.stdout)) - set(json.loads(bare.stdout))}
    assert added - sys.stdlib_module_names == {"voxwire"}


def test_import_takes_less_than_50_ms() -> None:
    """CPU time of the import statement alone, in a fresh interpreter; the best of several runs."""
    code = "import time; start = time.process_time(); import voxwire; print(time.process_time() - start)"
    best = min(float(run(code)) for _ in range(5))
    assert best < 0.050, f"import voxwire took {best * 1000:.1f} ms of CPU time"


@pytest.mark.parametrize("module", protocol_modules())
def test_protocol_needs_no_io_clock_chance_or_thread(module: str) -> None:
    run(GUARD, ",".join(REFUSED_BY_PROTOCOL), module)


def test_the_guard_refuses() -> None:
    """Else the test above could not fail."""
    with pytest.raises(AssertionError, match=r"voxwire\.listeners imported asyncio"):
        run(GUARD, ",".join(REFUSED_BY_PROTOCOL), "voxwire.listeners")
    with pytest.raises(AssertionError, match="sched imported time"):
        run(GUARD, "time", "sched")
