"""What it costs to measure: the throughput of a server with its instruments against that without them.

usage: [AGENT_MEMORY_OVERHEAD_BIN=FILE] overhead.py [PAIRS]

Builds the release binary with `--features fault` (into target/overhead), which can be told to leave requests and the store
unmeasured. One process serves both, in turns of a second, each first in turn, so that the two differ by the instruments and
by nothing else: the same layout of the same code, the same file, the same minute of the machine. The throughput's ratio is the
median of those of all pairs; the processor time's is of all turns together, and holds on a busy machine as well. Without
instruments their clocks are not read either, but for two of a write, which the writer's own limits are kept by.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import bench_machine as machine
import bench_run
import bench_text
import bench_wrk
from bench_store import Store
from faults import FaultyServer
from server import Failure, ROOT, checked_binary

PAIRS, TURN_S = 20, 1
CONNECTIONS = 16
EVENTS = 10_000
# What the study asks for.
LEAST = 0.97


def build():
    named = os.environ.get("AGENT_MEMORY_OVERHEAD_BIN")
    if named:
        return checked_binary(named)
    command = ["cargo", "build", "--release", "--features", "fault", "--locked", "--quiet", "--target-dir", "target/overhead"]
    subprocess.run(command, cwd=ROOT, check=True)
    return checked_binary(ROOT / "target" / "overhead" / "release" / "agent-memory")


class Measured(FaultyServer, Store):
    """A store of scripts/bench that can be told not to measure."""

    def __init__(self, binary, db, words):
        Store.__init__(self, binary, db, words, lambda text: None)
        self.socket = pathlib.Path(db).with_suffix(".fault")
        self.flags = ("--fault-socket", str(self.socket))


def loads(folder, words):
    """What is asked: the cheapest request there is, a wake-up, and a durable write."""
    lines = pathlib.Path(folder) / "texts.txt"
    lines.write_text("\n".join(bench_run.texts(words)) + "\n")
    yield "GET /health", "/health", "get", ""
    yield "GET /api/v1/wake-up", "/api/v1/wake-up?with_whom=Ada", "get", ""
    yield "POST /api/v1/events", "/api/v1/events", "event", lines


def turn(wrk, store, state, load):
    """A second of a load: requests a second, processor time, requests."""
    _, path, what, file = load
    time.sleep(0.1)
    store.ask(f"instruments {state}")
    pid = store.process.pid
    before = machine.cpu_s(pid)
    done = wrk.run(store.port, path, CONNECTIONS, TURN_S, what, file)
    time.sleep(0.1)
    return done.per_s, machine.cpu_s(pid) - before, done.requests


def compare(wrk, store, load, pairs):
    """The ratios of throughput of all pairs, and the processor time of a request, with instruments and without."""
    speed, spent = [], {"on": [0.0, 0], "off": [0.0, 0]}
    for number in range(pairs):
        got = {state: turn(wrk, store, state, load) for state in (("on", "off") if number % 2 else ("off", "on"))}
        speed.append(got["on"][0] / got["off"][0])
        for state, (_, seconds, requests) in got.items():
            spent[state][0] += seconds
            spent[state][1] += requests
    store.ask("instruments on")
    return speed, *(spent[state][0] / spent[state][1] for state in ("on", "off"))


def main():
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else PAIRS
    wrk, words, faults = bench_wrk.Wrk(), bench_text.vocabulary(), []
    with tempfile.TemporaryDirectory(prefix="agent-memory-overhead-") as folder:
        with Measured(build(), f"{folder}/memory.db", words) as store:
            store.grow(EVENTS)
            for load in loads(folder, words):
                speed, with_them, without = compare(wrk, store, load, pairs)
                low, middle, high = statistics.quantiles(speed, n=4)
                print(f"{load[0]}: throughput with instruments of that without {middle:.3f} ({low:.3f} to {high:.3f}), processor time "
                      f"{1e6 * with_them:.2f} µs of {1e6 * without:.2f} µs", flush=True)
                # Other programs move the first, so the second may speak for it.
                if max(middle, without / with_them) < LEAST:
                    faults.append(f"{load[0]} has {max(middle, without / with_them):.3f} of its throughput, {LEAST} is wanted")
            if store.stop() != 0:
                faults.append(f"the server did not end in order\n{store.log_tail()}")
    if faults:
        raise Failure("\n".join(faults))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(f"FAIL: {failure}", file=sys.stderr)
        sys.exit(1)
