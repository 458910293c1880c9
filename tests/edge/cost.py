"""In Pyodide: what an event costs. `bench/edge.py` runs it."""

from __future__ import annotations

import json
import sys


async def main(count: str) -> int:
    sys.path[:0] = ["/bundle", "/edge"]
    import scenes

    await scenes.event_cost(count=50)  # the first ones find everything cold
    sys.stdout.write(json.dumps(await scenes.event_cost(count=int(count))) + "\n")
    return 0
