"""Pyodide in Node and in workerd, as programs of their own: for the tests here, and for `bench/edge.py`."""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODULES = HERE / "node_modules"
EXAMPLE = ROOT / "examples" / "cloudflare"
PYODIDE_FILES = {
    "pyodide.mjs": "esModule",
    "pyodide.asm.mjs": "esModule",
    "pyodide.asm.wasm": "wasm",
    "python_stdlib.zip": "data",
    "pyodide-lock.json": "json",
}
COMPATIBILITY_DATE = "2026-11-01"  # after the one from which a WebSocket gives Blobs


def load(path: Path) -> ModuleType:
    """A file as a module, wherever it is."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def worker_files() -> list[Path]:
    """The files of voxwire that a Worker vendors, by the example's list."""
    return list(load(EXAMPLE / "slim.py").kept(ROOT / "src" / "voxwire"))


def compressed(paths: Iterable[Path]) -> int:
    """Bytes of these files of the package as one gzipped archive, which is how a Worker's size is counted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in paths:
            archive.add(path, path.relative_to(ROOT / "src"))
    return len(gzip.compress(buffer.getvalue(), 9))


def write_bundle(target: Path, extra: Iterable[Path]) -> None:
    """What the worker unpacks: voxwire as it is vendored, and some files beside it."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in worker_files():
            archive.write(path, path.relative_to(ROOT / "src"))
        for path in extra:
            archive.write(path, path.name)


class Workerd:
    """A workerd that serves `pyodide_worker.js` on a free port of the loopback interface."""

    def __init__(self, process: subprocess.Popen[str], port: int, errors: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.boot_ms = 0
        self._errors = errors

    def play(self, name: str, *, timeout: float = 90, **arguments: Any) -> Any:
        """Run `scenes.NAME` in there; what it returned."""
        body = json.dumps(arguments).encode()
        request = urllib.request.Request(f"{self.url}/{name}", data=body, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                self.boot_ms = int(answer.headers["x-boot-ms"])
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            raise AssertionError(f"{name}: {said}\n{self.errors()}") from None

    def errors(self) -> str:
        """What workerd wrote to stderr."""
        return self._errors.read_text()


def _config(folder: Path) -> Path:
    modules = {"worker.js": "esModule", **PYODIDE_FILES, "bundle.zip": "data"}
    entries = ",\n".join(f'(name="{name}", {kind}=embed "{name}")' for name, kind in modules.items())
    config = folder / "config.capnp"
    config.write_text(
        f"""using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name="main", worker=(modules=[{entries}], compatibilityDate="{COMPATIBILITY_DATE}",
                          compatibilityFlags=["disable_nodejs_process_v2"])),
    (name="internet", network=(allow=["public", "private", "local"])),
  ],
  sockets = [(name="http", address="127.0.0.1:0", http=(), service="main")],
);
"""
    )
    return config


@contextmanager
def workerd(folder: Path, *, extra: Iterable[Path] = ()) -> Iterator[Workerd]:
    """Serve from this folder. Pyodide sees no Node in there: `process` would make it believe there is one."""
    for name in PYODIDE_FILES:
        shutil.copy(MODULES / "pyodide-314" / name, folder / name)
    shutil.copy(HERE / "pyodide_worker.js", folder / "worker.js")
    write_bundle(folder / "bundle.zip", [HERE / "scenes.py", EXAMPLE / "src" / "relay.py", *extra])
    errors = folder / "stderr.txt"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [str(workerd_program()), "serve", str(_config(folder)), "--control-fd=1"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            yield Workerd(process, _port(process, errors), errors)
        finally:
            process.terminate()
            process.wait(10)
            _stdout(process).close()


def workerd_program() -> Path:
    """The binary itself: npm's wrapper would be one process more to end."""
    found = sorted((MODULES / "@cloudflare").glob("workerd-*/bin/workerd"))
    return found[0]


def workerd_version() -> str:
    """As the program says it."""
    return subprocess.run(
        [workerd_program(), "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()


def _port(process: subprocess.Popen[str], errors: Path) -> int:
    line = _stdout(process).readline()
    if not line:
        raise AssertionError(f"workerd did not start: {errors.read_text()}")
    return int(json.loads(line)["port"])


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
