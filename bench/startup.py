"""Import time and memory, each measured in fresh interpreters."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from common import arguments, has, print_json

PROBE = """
import sys, time
start = time.perf_counter(), time.process_time()
{code}
wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
modules = len(sys.modules)
try:
    resident = int(open("/proc/self/statm").read().split()[1]) * __import__("resource").getpagesize()
except OSError:  # elsewhere, the peak has to do
    resident = __import__("resource").getrusage(0).ru_maxrss
import json
print(json.dumps([wall * 1000, cpu * 1000, resident / (1 << 20), modules]))
"""

CASES = {
    "interpreter only": ("", None),
    "voxwire": ("import voxwire", "voxwire"),
    "voxwire WebSocket transport": (
        "from voxwire.transports.websocket import OpenAIRealtimeWebSocket",
        "voxwire",
    ),
    "voxwire transport and carrier": (
        "from voxwire.transports.websocket import OpenAIRealtimeWebSocket; import voxwire.transports.websocket, voxwire.carriers.websocket, websockets.asyncio.client",
        "websockets",
    ),
    "voxwire session, transport, carrier": (
        (
            "from voxwire import RealtimeAgent, RealtimeSession\n"
            "import voxwire.transports.websocket, voxwire.carriers.websocket, websockets.asyncio.client"
        ),
        "voxwire.session.session",
    ),
    "the same with a @tool (pydantic)": (
        (
            "from voxwire import RealtimeAgent, RealtimeSession, tool\n"
            "import voxwire.transports.websocket, voxwire.carriers.websocket, websockets.asyncio.client\n"
            "@tool\ndef weather(city: str) -> str:\n    'The weather.'\n    return city\n"
        ),
        "voxwire.session.session",
    ),
    "websockets.asyncio.client": ("import websockets.asyncio.client", "websockets"),
    "openai": ("import openai", "openai"),
    "agents.realtime": ("import agents.realtime", "agents"),
}


def measure(code: str, repeat: int) -> dict[str, float]:
    """Medians of ms wall, ms CPU, MiB resident and the number of modules."""
    runs: list[list[float]] = []
    for _ in range(repeat):
        done = subprocess.run(
            [sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True
        )
        runs.append(json.loads(done.stdout))
    wall, cpu, resident, modules = (statistics.median(column) for column in zip(*runs, strict=True))
    return {"wall_ms": wall, "cpu_ms": cpu, "rss_mib": resident, "modules": modules}


def main() -> None:
    quick = arguments(__doc__).quick
    rows = {
        name: measure(code, 1 if quick else 7)
        for name, (code, needed) in CASES.items()
        if needed is None or has(needed)
    }
    bare = rows["interpreter only"]
    peer = rows.get("agents.realtime")
    for row in rows.values():
        row["mib_over_bare"] = row["rss_mib"] - bare["rss_mib"]
        row["of_peer"] = row["cpu_ms"] / peer["cpu_ms"] if peer else None
    print_json(rows)


if __name__ == "__main__":
    main()
