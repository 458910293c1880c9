"""What importing may do where a Worker is deployed from a snapshot: nothing random, timed, threaded or connected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import voxwire

SRC = Path(voxwire.__file__).parent.parent

# `socket` and `ssl` come with asyncio, which imports them where they are there; what counts is that no module of ours
# asks for them. A third-party package is refused outright, and so is every call that a snapshot must not hold.
RULES = """
import sys, asyncio, logging, secrets, random, time, uuid, threading, os, inspect, typing, json, urllib.parse
sys.path.insert(0, sys.argv[1])

REFUSED = {"_socket", "socket", "ssl", "_ssl", "select", "selectors", "subprocess", "multiprocessing", "http",
           "httpx", "pydantic", "pydantic_core", "numpy", "websockets", "anyio", "starlette", "aiortc", "js", "pyodide"}
ALLOWED_FROM_STDLIB = {"http"}  # http.HTTPStatus is a table

import builtins
real_import = builtins.__import__

def watched(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    top = name.partition(".")[0]
    if level == 0 and top in REFUSED - ALLOWED_FROM_STDLIB and importer.startswith("voxwire"):
        raise ImportError(f"{importer} imported {name}")
    return real_import(name, globals, locals, fromlist, level)

builtins.__import__ = watched

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in REFUSED - ALLOWED_FROM_STDLIB:
            raise ImportError(f"{name} was imported")

sys.meta_path.insert(0, Guard())

def refuse(owner, names):
    for name in names.split():
        def refused(*args, what=f"{owner.__name__}.{name}", **kwargs):
            raise AssertionError(f"{what} was called at import")
        setattr(owner, name, refused)

refuse(random, "random randint randrange choice choices shuffle uniform getrandbits seed")
refuse(time, "time monotonic perf_counter time_ns monotonic_ns perf_counter_ns sleep")
refuse(uuid, "uuid1 uuid4")
refuse(secrets, "token_hex token_bytes token_urlsafe randbelow choice")
refuse(os, "urandom")
threading.Thread.start = lambda self: (_ for _ in ()).throw(AssertionError("a thread was started at import"))
asyncio.new_event_loop = lambda: (_ for _ in ()).throw(AssertionError("an event loop was made at import"))
"""

# Named here because they need what a Worker has not: numpy, sockets.
ELSEWHERE = {"OpenAIRealtimeWebRTC"}


def run(code: str) -> subprocess.CompletedProcess[str]:
    """In a bare interpreter: no site-packages, so nothing but the standard library is there anyway."""
    command = [sys.executable, "-I", "-S", "-c", RULES + code, str(SRC)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


MODULES = [
    *("voxwire", "voxwire.protocol", "voxwire.protocol.engine", "voxwire.session", "voxwire.session.session"),
    *(
        "voxwire.carriers.workers",
        "voxwire.carriers.js",
        "voxwire.carriers.memory",
        "voxwire.carriers.refusal",
    ),
    *("voxwire.transports.cloudflare", "voxwire.transports.twilio", "voxwire.tools", "voxwire.tools.plain"),
]


@pytest.mark.parametrize("module", MODULES)
def test_importing_has_no_effect(module: str) -> None:
    done = run(f"import {module}")
    assert done.returncode == 0, done.stderr


def test_every_public_name_that_runs_there() -> None:
    names = sorted(set(voxwire.__all__) - ELSEWHERE)
    done = run(f"import voxwire\nfor name in {names!r}: getattr(voxwire, name)")
    assert done.returncode == 0, done.stderr


def test_the_browsers_carriers() -> None:
    if not (SRC / "voxwire" / "carriers" / "browser.py").exists():
        return
    done = run("import voxwire.carriers.browser")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("exec('import socket', {'__name__': 'voxwire.x'})", "voxwire.x imported socket"),
        ("import httpx", "httpx was imported"),
        ("uuid.uuid4()", "uuid.uuid4 was called at import"),
        ("time.monotonic()", "time.monotonic was called at import"),
        ("threading.Thread().start()", "a thread was started"),
    ],
)
def test_the_rules_can_be_broken(code: str, words: str) -> None:
    """Else the tests above could not fail."""
    done = run(code)
    assert done.returncode != 0
    assert words in done.stderr


@pytest.mark.parametrize("python", ["313", "314"])
def test_under_pyodide(hosts: Any, tmp_path: Path, python: str) -> None:
    """The Worker's set of files imports whole, and a tool without pydantic has its schema."""
    bundle = tmp_path / "bundle"
    for path in hosts.worker_files():
        target = bundle / path.relative_to(SRC)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    program = hosts.HERE / "import_all.py"
    command = ["node", "pyodide_node.mjs", f"pyodide-{python}", str(program), "--mount", f"{bundle}=/bundle"]
    done = subprocess.run(command, cwd=hosts.HERE, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["modules"] == len(list(bundle.rglob("*.py"))) - 1
