"""Run the benchmarks, print tables with ratios, write `bench-out/results.json`.

    python bench/run.py [--quick] [--repeat N] [--sessions 50,100] [startup delta density bargein holdback media webrtc phone echo edge]

Every ratio is against a peer measured in the same run; absolute numbers depend on the machine and on what else
it is doing. Nothing is asserted. `--quick` shows in less than a minute that everything runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import density
import twilio
from common import has, machine, table

HERE = Path(__file__).parent
OUT = HERE.parent / "bench-out" / "results.json"
Row = dict[str, Any]

NETWORKS = (
    "clean",
    "one packet lost",
    "5 % lost",
    "5 % lost in bursts of 3",
    "15 % lost",
    "0 to 60 ms late",
)
LATE_MS = 5.0
"""A frame is late when it is handled so long after it was sent, or was due to be sent."""
QUICK_DENSITY = ("openai-agents session", "voxwire session", "voxwire session, fast (picows, codec, uvloop)")


def script(name: str, *options: str) -> Any:
    """The result of one benchmark, run in an interpreter of its own."""
    command = [sys.executable, str(HERE / f"{name}.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(f"{name} failed")
    return json.loads(done.stdout.splitlines()[-1])


def startup(given: argparse.Namespace) -> dict[str, Row]:
    rows: dict[str, Row] = script("startup", *_quick(given))
    table(
        "Start-up: import time and memory in a fresh interpreter (medians)",
        ("", "ms", "CPU ms", "of agents", "MiB", "MiB over bare", "modules"),
        (
            (
                name,
                *(
                    row[key]
                    for key in ("wall_ms", "cpu_ms", "of_peer", "rss_mib", "mib_over_bare", "modules")
                ),
            )
            for name, row in rows.items()
        ),
    )
    return rows


def delta(given: argparse.Namespace) -> dict[str, dict[str, Row]]:
    results: dict[str, dict[str, Row]] = script("delta", *_quick(given))
    results["received and sent"] = _both(results)
    for direction, rows in results.items():
        table(
            f"20 ms of audio {direction}: CPU time without sockets (cheapest round)",
            ("", "us", "of floor", "of agents"),
            ((name, *(row[key] for key in ("us", "of_floor", "of_peer"))) for name, row in rows.items()),
        )
    return results


def _both(results: dict[str, dict[str, Row]]) -> dict[str, Row]:
    """The sum of the two directions, for the variants that have both."""
    received, sent = results["received"], results["sent"]
    sums = {name: row["us"] + sent[name]["us"] for name, row in received.items() if name in sent}
    floor = sum(next(r["us"] for n, r in rows.items() if n.startswith("floor")) for rows in (received, sent))
    peer = next((cost for name, cost in sums.items() if name.startswith("openai-agents")), None)
    return {
        name: {"us": cost, "of_floor": cost / floor, "of_peer": cost / peer if peer else None}
        for name, cost in {"floor": floor, **sums}.items()
    }


def sessions(given: argparse.Namespace) -> dict[str, dict[str, Row]]:
    if not has("picows"):
        print("\ndensity: left out, its peer needs picows")
        return {}
    names = QUICK_DENSITY if given.quick else tuple(density.VARIANTS)
    names = tuple(name for name in names if density.available(name))
    seconds = 1.5 if given.quick else 5.0
    counts = [10] if given.quick else [int(count) for count in given.sessions.split(",")]
    results: dict[str, dict[str, Row]] = {}
    for count in counts:
        rows: dict[str, Row] = {}
        for _ in range(1 if given.quick else given.repeat):
            for name in names:
                options = ("--variant", name, "--sessions", str(count), "--seconds", str(seconds))
                row = script("density", *options)
                if name not in rows or _rank(row) < _rank(rows[name]):
                    rows[name] = row
        peer = rows.get("openai-agents session")
        for row in rows.values():
            row["of_peer"] = row["cpu_ms"] / peer["cpu_ms"] if peer else None
        keys = ("cpu_ms", "of_peer", "kib", "in_p50_ms", "in_p99_ms", "out_p99_ms", "received", "sent")
        table(
            f"{count} talking sessions in one process, real time, over loopback sockets",
            ("", "CPU ms/s", "of agents", "KiB each", "in p50 ms", "in p99", "out p99", "received", "sent"),
            ((name, *(row[key] for key in keys)) for name, row in rows.items()),
        )
        results[str(count)] = rows
    return results


def _rank(row: Row) -> tuple[bool, float]:
    """Best first. A process that was not always given its core handles several frames at once, which looks cheap and
    is not: a round in which more than one frame of a hundred came late counts only if there is no other."""
    in_time = max(row["in_p99_ms"], row["out_p99_ms"]) <= LATE_MS  # not if there was no frame: NaN
    return not in_time, row["cpu_ms"]


def bargein(given: argparse.Namespace) -> dict[str, Row]:
    rows: dict[str, Row] = script("bargein", *_quick(given))
    keys = ("count", "latency_p50_ms", "latency_p99_ms", "error_mean_ms", "error_p50_ms", "error_max_ms")
    table(
        "Barge-in: speech_started received -> silent; truncation against what was truly played",
        ("", "runs", "latency p50 ms", "p99 ms", "error mean ms", "|error| p50", "|error| max"),
        ((name, *(row[key] for key in keys)) for name, row in rows.items()),
    )
    return rows


def holdback(given: argparse.Namespace) -> dict[str, Row]:
    rows: dict[str, Row] = script("holdback", *_quick(given))
    keys = ("replies", "first_p50_ms", "first_p99_ms", "delay_p50_ms", "delay_p99_ms", "gaps_ms", "checks")
    table(
        "Hold-back: what waiting for guardrails adds to each piece of audio, replies at four times real time",
        ("", "replies", "first p50 ms", "p99 ms", "all p50 ms", "p99 ms", "gaps ms per reply", "checks"),
        ((name, *(row[key] for key in keys)) for name, row in rows.items()),
    )
    return rows


def echo(given: argparse.Namespace) -> dict[str, Row]:
    if not has("livekit"):
        print("\necho: left out, it needs livekit (pip install 'voxwire[aec]')")
        return {}
    rows: dict[str, Row] = script("echo", *_quick(given))
    keys = (
        "start_db",
        "later_db",
        "both_db",
        "both_stoi",
        "both_text",
        "alone_db",
        "alone_stoi",
        "alone_text",
        "cpu_ms",
    )
    heads = (
        "ERLE start",
        "later dB",
        "both: dB",
        "STOI",
        "understood",
        "alone: dB",
        "STOI",
        "understood",
        "CPU ms/s",
    )
    table(
        "Echo cancellation: a room of 120 ms, echo 10 dB softer, noise -66 dBFS; both voices at once, or the user alone",
        ("", *heads),
        ((name, *(row[key] for key in keys)) for name, row in rows.items()),
    )
    return rows


def media(given: argparse.Namespace) -> dict[str, Any]:
    if not has("av"):
        print("\nmedia: left out, it needs the libopus of PyAV (pip install 'voxwire[webrtc]')")
        return {}
    results: dict[str, Any] = script("media", *_quick(given))
    keys = ("stoi", "delay_p50_ms", "delay_max_ms", "delay_end_ms", "concealed_ms", "recovered_ms")
    table(
        "Speech over bad networks, in virtual time: intelligibility and delay of the receiving end",
        ("", "STOI", "delay p50 ms", "max", "at the end", "concealed ms", "recovered ms"),
        (
            (f"{network}: {receiver}", *(row[key] for key in keys))
            for network in results["paths"]["voxwire"]
            for receiver, rows in results["paths"].items()
            for row in (rows[network],)
        ),
    )
    table(
        "Mouth to ear on a clean path, one direction: what is added to the network and the frame's 20 ms",
        ("", "p50 ms", "p95 ms", "max ms"),
        (("voxwire", *results["mouth to ear"].values()),),
    )
    table("CPU per second of audio", ("", "ms"), results["cpu_ms_per_s"].items())
    return results


def webrtc(given: argparse.Namespace) -> dict[str, Any]:
    if not all(has(module) for module in ("aiortc", "psutil", "pystoi")):
        print("\nwebrtc: left out, it needs aiortc, psutil and pystoi (make .venv-bench/.stamp)")
        return {}
    return {"load": _webrtc_load(given), "path": _webrtc_paths(given), "cycles": _webrtc_cycles(given)}


def _webrtc_load(given: argparse.Namespace) -> dict[str, dict[str, Row]]:
    variants = ["aiortc", "voxwire"]
    if has("wrtc") and not given.quick:
        variants.append("voxwire on libwebrtc")
    rounds = ((2, 0), (2, 50)) if given.quick else ((5, 0), (5, 50), (20, 50))
    results: dict[str, dict[str, Row]] = {}
    for pairs, messages in rounds:
        options = ("--pairs", str(pairs), "--messages", str(messages))
        seconds = ("--seconds", "1.5" if given.quick else "8")
        rows: dict[str, Row] = {
            name: script("webrtc", "load", "--variant", name, *options, *seconds) for name in variants
        }
        for row in rows.values():
            row["of_peer"] = row["cpu_ms"] / rows["aiortc"]["cpu_ms"]
        keys = ("cpu_ms", "of_peer", "fps", "trip_p50_ms", "trip_p99_ms", "mib", "switches")
        table(
            f"WebRTC: {2 * pairs} talking peers in one process, {messages} messages a second and pair each way",
            ("", "CPU ms/s", "of aiortc", "frames/s", "trip p50 ms", "p99 ms", "MiB a peer", "switches/s"),
            ((name, *(row[key] for key in keys)) for name, row in rows.items()),
        )
        results[f"{2 * pairs} peers, {messages} messages"] = rows
    return results


def _webrtc_paths(given: argparse.Namespace) -> dict[str, dict[str, Row]]:
    networks = ("clean", "5 % lost") if given.quick else tuple(NETWORKS)
    variants = ("voxwire",) if given.quick else ("aiortc", "voxwire")
    seconds = ("--seconds", "4" if given.quick else "13")
    results: dict[str, dict[str, Row]] = {
        network: {
            name: script("webrtc", "path", "--variant", name, "--network", network, *seconds)
            for name in variants
        }
        for network in networks
    }
    keys = ("stoi", "delay_p50_ms", "delay_max_ms", "delay_end_ms")
    table(
        "WebRTC: speech through a relay with faults, mouth to ear",
        ("", "STOI", "delay p50 ms", "max", "at the end"),
        (
            (f"{network}: {name}", *(row[key] for key in keys))
            for network, rows in results.items()
            for name, row in rows.items()
        ),
    )
    return results


def _webrtc_cycles(given: argparse.Namespace) -> dict[str, Row]:
    count = 10 if given.quick else 500
    rows: dict[str, Row] = {"voxwire": script("webrtc", "cycles", "--cycles", str(count))}
    keys = ("cpu_ms", "mib", "kib_each", "fds", "threads")
    table(
        f"WebRTC: {count} pairs connected and closed; what the second half left behind",
        ("", "CPU ms each", "MiB at the end", "KiB each", "descriptors", "threads"),
        ((name, *(row[key] for key in keys)) for name, row in rows.items()),
    )
    return rows


def phone(given: argparse.Namespace) -> dict[str, Any]:
    if not sys.platform.startswith("linux") or not all(has(module) for module in ("uvicorn", "soxr")):
        print("\nphone: left out, it needs Linux (the kernel's timestamps) and pip install 'voxwire[server]'")
        return {}
    return {
        "calls": _phone_calls(given),
        "setup": _phone_setup(given),
        "path": _phone_path(given),
        "twilio": _twilio(given),
    }


def _phone_calls(given: argparse.Namespace) -> dict[str, list[Row]]:
    counts = {"none": "20,40,60,80,100", "energy": "20,40,60,80", "silero": "10,20,30,40"}
    if given.quick:
        counts = {"energy": "4"}
    seconds = "1" if given.quick else "5"
    results: dict[str, list[Row]] = {
        vad: script("phone", "calls", "--vad", vad, "--counts", some, "--seconds", seconds)
        for vad, some in counts.items()
    }
    names = {
        "none": "the line itself",
        "energy": "with turns, by loudness",
        "silero": "with turns, by Silero",
    }
    keys = ("core", "cpu_ms", "late_p50_ms", "late_p99_ms", "jitter_ms", "missing", "heard", "concealed_ms")
    heads = ("core", "CPU ms/s", "late p50 ms", "p99", "jitter ms", "missing", "heard", "concealed ms/s")
    table(
        "Phone: calls that talk at once, both ways, PCMU; until frames are late (p99 20 ms) or missing",
        ("", *heads),
        (
            (f"{row['calls']} calls, {names[vad]}", *(row[key] for key in keys))
            for vad, rows in results.items()
            for row in rows
        ),
    )
    return results


def _phone_setup(given: argparse.Namespace) -> dict[str, Row]:
    rows: dict[str, Row] = script("phone", "setup", "--calls", "2" if given.quick else "100")
    table(
        "Phone: from the INVITE to its 200",
        ("accepted", "calls", "p50 ms", "p99 ms", "max ms"),
        (
            (name, *(row[key] for key in ("calls", "p50_ms", "p99_ms", "max_ms")))
            for name, row in rows.items()
        ),
    )
    return rows


def _phone_path(given: argparse.Namespace) -> dict[str, Row]:
    options = ("--calls", "1", "--seconds", "3") if given.quick else ("--calls", "8", "--seconds", "4")
    rows: dict[str, Row] = script("phone", "path", *options)
    table(
        "Phone: what one direction adds to the frame's own 20 ms",
        ("", "p50 ms", "p95 ms", "min ms", "max ms"),
        (
            (name, *(row[key] for key in ("p50_ms", "p95_ms", "min_ms", "max_ms")))
            for name, row in rows.items()
        ),
    )
    return rows


def _twilio(given: argparse.Namespace) -> dict[str, dict[str, Row]]:
    if not has("picows"):
        print("\nphone: Twilio streams are left out, their ends need picows")
        return {}
    names = [name for name in twilio.VARIANTS if "uvloop" not in name or (has("uvloop") and has("msgspec"))]
    results: dict[str, dict[str, Row]] = {}
    for streams in (2,) if given.quick else (20, 40, 60):
        options = ("--streams", str(streams), "--seconds", "1" if given.quick else "5")
        rows: dict[str, Row] = {name: script("twilio", "--variant", name, *options) for name in names}
        bare = rows["bare websockets + json"]
        for row in rows.values():
            row["of_bare"] = row["cpu_ms"] / bare["cpu_ms"]
        keys = ("core", "cpu_ms", "of_bare", "to_caller_p99_ms", "to_model_p99_ms", "to_caller", "to_model")
        heads = ("core", "CPU ms/s", "of bare", "to caller p99 ms", "to model p99", "arrived", "arrived")
        table(
            f"Twilio: {streams} streams that talk at once, both ways, PCMU",
            ("", *heads),
            ((name, *(row[key] for key in keys)) for name, row in rows.items()),
        )
        results[str(streams)] = rows
    return results


def edge(given: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = script("edge", *_quick(given))
    table("Edge: sizes", ("", "is"), results["sizes"].items())
    for where, rows in results.get("pyodide", {}).items():
        table(f"Edge: Pyodide in Node, {where}", ("", "is"), rows.items())
    if "workerd" in results:
        table("Edge: Pyodide in workerd (not deployed)", ("", "is"), results["workerd"].items())
    return results


def _quick(given: argparse.Namespace) -> tuple[str, ...]:
    return ("--quick",) if given.quick else ()


BENCHMARKS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "startup": startup,
    "delta": delta,
    "density": sessions,
    "bargein": bargein,
    "holdback": holdback,
    "media": media,
    "webrtc": webrtc,
    "phone": phone,
    "echo": echo,
    "edge": edge,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all if none")
    parser.add_argument("--quick", action="store_true", help="few repetitions: shows that it runs")
    parser.add_argument("--repeat", type=int, default=2, help="rounds of `density`; the cheapest counts")
    parser.add_argument("--sessions", default="50,100", help="how many sessions `density` runs at once")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    results: dict[str, Any] = {"machine": machine(), "quick": given.quick}
    print(json.dumps(results["machine"]))
    for name in given.names or BENCHMARKS:
        results[name] = BENCHMARKS[name](given)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\n{OUT.relative_to(Path.cwd()) if OUT.is_relative_to(Path.cwd()) else OUT}")


if __name__ == "__main__":
    main()
