"""Where voxwire runs under Pyodide: Node, and workerd; `make test` installs both from npm (package.json).

What each proves is said in docs/guide/cloudflare.md. workerd is the runtime of Cloudflare Workers; Pyodide in it is
npm's, in a plain JavaScript worker, since the bundle of Python Workers can only be had from Cloudflare.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def _hosts() -> ModuleType:
    if "edge_hosts" not in sys.modules:
        spec = importlib.util.spec_from_file_location("edge_hosts", HERE / "edge_hosts.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["edge_hosts"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["edge_hosts"]


@pytest.fixture(scope="session")
def hosts() -> ModuleType:
    """`edge_hosts.py`, once npm has installed what it needs."""
    if shutil.which("node") is None or not (HERE / "node_modules").is_dir():
        pytest.skip("node or tests/edge/node_modules is not there; `make test` installs the latter")
    return _hosts()


@pytest.fixture(scope="session")
def workerd(hosts: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One workerd for all tests: Pyodide starts in its first request, which takes seconds."""
    with hosts.workerd(tmp_path_factory.mktemp("workerd")) as running:
        about = running.play("about")
        assert about["platform"] == "emscripten"
        assert about["agent"] == "Cloudflare-Workers"
        yield running
