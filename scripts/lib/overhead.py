"""What it costs to measure: the throughput of a server with its instruments against that without them.

usage: [AGENT_MEMORY_OVERHEAD_BIN=FILE] overhead.py [MOST_PAIRS]

Builds the release binary with `--features fault` (into target/overhead), which can be told to leave requests and the store
unmeasured. One process serves both, in turns of a second, each first in turn, so that the two differ by the instruments and
by nothing else: the same layout of the same code, the same file, the same minute of the machine. Each pair of turns gives two
ratios, without instruments against with them: of the requests a second, and of the processor time of a request. The median of
each has to be 0.97 at least, both. Pairs are added until each median is known to a hundredth, or after ENOUGH_PAIRS to three;
a machine on which it cannot be known to three has shown nothing, and fails. Without instruments their clocks are not read
either, but for two of a write, which the writer's own limits are kept by.
"""

import math
import pathlib
import statistics
import sys
import tempfile
import time

import bench_machine
import bench_run
import bench_text
import bench_wrk
from bench_store import Store
from faults import FaultyServer, build
from server import Failure, run

# A pair takes 2.6 s, so that one load takes a quarter of an hour at most.
LEAST_PAIRS, ENOUGH_PAIRS, MOST_PAIRS, TURN_S = 20, 90, 350, 1
CONNECTIONS = 16
EVENTS = 10_000
# Measuring may cost three hundredths of what a server can do.
LEAST = 0.97
# How near a median is known, with 19 in 20: good enough to stop, and too bad to judge by. What is allowed is three hundredths,
# and a median that is known no better than that could as well be of instruments that cost nothing or twice as much.
NEAR, TOO_WIDE = 0.01, 0.03


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
    """A second of a load: requests a second, and processor time of a request."""
    _, path, what, file = load
    time.sleep(0.1)
    store.ask(f"instruments {state}")
    pid = store.process.pid
    before = bench_machine.cpu_s(pid)
    done = wrk.run(store.port, path, CONNECTIONS, TURN_S, what, file)
    time.sleep(0.1)
    return done.per_s, (bench_machine.cpu_s(pid) - before) / max(1, done.requests)


class Ratios:
    """Those of the pairs of turns, and how far their median is known."""

    def __init__(self, what):
        self.what, self.all = what, []

    def bounds(self):
        """Where the median of all pairs there could be is, with 19 in 20: order statistics, whatever the distribution."""
        ordered, count = sorted(self.all), len(self.all)
        place = max(0, math.floor(count / 2 - 0.98 * math.sqrt(count)))
        return ordered[place], ordered[count - 1 - place]

    @property
    def median(self):
        return statistics.median(self.all)

    def known_to(self):
        low, high = self.bounds()
        return (high - low) / 2

    def __str__(self):
        low, high = self.bounds()
        return f"{self.what} {self.median:.3f} ({low:.3f} to {high:.3f})"

    def faults(self):
        if self.known_to() > TOO_WIDE:
            yield f"{self} is known to {self.known_to():.3f} alone, which says nothing: the machine is too busy"
        elif self.median < LEAST:
            yield f"{self} is less than {LEAST}"


def compare(wrk, store, load, most):
    """Throughput and processor time with instruments against without, of as many pairs as it takes."""
    speed, spent = Ratios("throughput"), Ratios("processor time")
    for number in range(most):
        got = {state: turn(wrk, store, state, load) for state in (("on", "off") if number % 2 else ("off", "on"))}
        speed.all.append(got["on"][0] / got["off"][0])
        spent.all.append(got["off"][1] / got["on"][1])
        near = NEAR if number < ENOUGH_PAIRS else TOO_WIDE
        if number + 1 >= LEAST_PAIRS and max(speed.known_to(), spent.known_to()) <= near:
            break
    store.ask("instruments on")
    return speed, spent


def main():
    most = int(sys.argv[1]) if len(sys.argv) > 1 else MOST_PAIRS
    wrk, words, faults = bench_wrk.Wrk(), bench_text.vocabulary(), []
    with tempfile.TemporaryDirectory(prefix="agent-memory-overhead-") as folder:
        with Measured(build("AGENT_MEMORY_OVERHEAD_BIN", "release", "target/overhead"), f"{folder}/memory.db", words) as store:
            store.grow(EVENTS)
            for load in loads(folder, words):
                both = compare(wrk, store, load, most)
                print(f"{load[0]}, without instruments against with them: {both[0]}, {both[1]}, of {len(both[0].all)} pairs", flush=True)
                faults += [f"{load[0]}: {fault}" for ratios in both for fault in ratios.faults()]
            if store.stop() != 0:
                faults.append(f"the server did not end in order\n{store.log_tail()}")
    if faults:
        raise Failure("\n".join(faults))


if __name__ == "__main__":
    run(main)
