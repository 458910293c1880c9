"""voxwire where nothing compiled runs: sizes, Pyodide in Node, and workerd.

Needs `node` and what npm puts into tests/edge/node_modules (`make test` does). There is no peer: the Agents SDK for
Python does not import under Pyodide. The time in workerd includes Pyodide as npm has it; Cloudflare's own bundle
restores a snapshot in place of that start.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from common import arguments, print_json

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "edge"))

import edge_hosts  # noqa: E402

SRC = ROOT / "src"


def wheel_bytes() -> int:
    """The wheel's files, deflated one by one as in a wheel."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in package_files():
            archive.write(path, path.relative_to(SRC))
    return len(buffer.getvalue())


def package_files() -> list[Path]:
    paths = sorted((SRC / "voxwire").rglob("*"))
    return [path for path in paths if path.is_file() and "__pycache__" not in path.parts]


def sizes() -> dict[str, float]:
    vendored = edge_hosts.worker_files()
    return {
        "wheel, KB": wheel_bytes() / 1000,
        "whole package in a Worker, compressed, KB": edge_hosts.compressed(package_files()) / 1000,
        "Worker's set of files, compressed, KB": edge_hosts.compressed(vendored) / 1000,
        "Worker's set of files, count": len(vendored),
    }


def in_node(package: str, program: str, bundle: Path, *given: str) -> Any:
    """The last line that a program prints under Pyodide."""
    here = edge_hosts.HERE
    command = ["node", "pyodide_node.mjs", package, program, "--mount", f"{bundle}=/bundle"]
    command += ["--mount", f"{here}=/edge", *given]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True, timeout=200)
    return json.loads(done.stdout.splitlines()[-1])


def pyodide(bundle: Path, repeat: int, events: int) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for package, name in (("pyodide-313", "Python 3.13"), ("pyodide-314", "Python 3.14")):
        imports = [in_node(package, "import_all.py", bundle) for _ in range(repeat)]
        costs = [in_node(package, "cost.py", bundle, str(events)) for _ in range(repeat)]
        rows[name] = {
            "import voxwire, ms": statistics.median(row["import_ms"] for row in imports),
            "with session and transport, ms": statistics.median(row["session_ms"] for row in imports),
            "20 ms of audio out, us": statistics.median(row["out_us"] for row in costs),
            "20 ms of audio in, us": statistics.median(row["in_us"] for row in costs),
        }
    return rows


async def in_workerd(folder: Path, repeat: int) -> dict[str, float]:
    from voxwire.server import EmbeddedServer

    with edge_hosts.workerd(folder) as host:
        async with EmbeddedServer(
            api_keys=["sk-bench"], vad="energy", transcriber="none", responder="rules", synthesizer="tone"
        ) as server:
            await asyncio.to_thread(host.play, "about")
            times: list[float] = []
            for _ in range(repeat + 1):
                start = time.perf_counter()
                await asyncio.to_thread(host.play, "open_session", url=server.url, key="sk-bench")
                times.append((time.perf_counter() - start) * 1000)
    return {
        "Pyodide's start in the first request, ms": host.boot_ms,
        "first session: request to open and closed, ms": times[0],
        "later ones, ms": statistics.median(times[1:]),
    }


def main() -> None:
    given = arguments(__doc__)
    if shutil.which("node") is None or not edge_hosts.MODULES.is_dir():
        print_json({"sizes": sizes()})
        return
    repeat, events = (1, 200) if given.quick else (3, 2000)
    with tempfile.TemporaryDirectory() as scratch:
        bundle, folder = Path(scratch) / "bundle", Path(scratch) / "workerd"
        folder.mkdir()
        for path in edge_hosts.worker_files():
            target = bundle / path.relative_to(SRC)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        results = {"sizes": sizes(), "pyodide": pyodide(bundle, repeat, events)}
        results["workerd"] = asyncio.run(in_workerd(folder, 5 * repeat))
        results["workerd"]["version"] = edge_hosts.workerd_version()
    print_json(results)


if __name__ == "__main__":
    main()
