"""In Pyodide: import every module of the bundle, and say how long `import voxwire` and a session took."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

NOT_WITHOUT_PYDANTIC = "voxwire.tools.pydantic_arguments"


def main() -> int:
    sys.path.insert(0, "/bundle")
    start = time.perf_counter()
    import voxwire

    bare = time.perf_counter() - start
    session = voxwire.RealtimeSession
    transport = voxwire.CloudflareRealtimeTransportLayer
    whole = time.perf_counter() - start
    count = 0
    for path in sorted(Path("/bundle/voxwire").rglob("*.py")):
        name = ".".join(path.relative_to("/bundle").with_suffix("").parts).removesuffix(".__init__")
        if name != NOT_WITHOUT_PYDANTIC:
            importlib.import_module(name)
            count += 1

    @voxwire.tool
    def look(at: str, times: int = 1) -> str:
        """Look at something."""
        return at

    assert look.parameters["properties"]["times"] == {"type": "integer", "default": 1}
    agent = voxwire.RealtimeAgent("A", tools=[look])
    session(agent, transport=transport(api_key="sk-x"))
    told = {"import_ms": bare * 1000, "session_ms": whole * 1000, "modules": count, "python": sys.version}
    sys.stdout.write(json.dumps(told) + "\n")
    return 0
