"""Measures the process: start, memory, disk, and how it serves several at once."""

import itertools
import random
import statistics
import subprocess
import time

import bench_ceilings as ceilings
import bench_machine as machine
import bench_reads
import bench_store
import bench_text
import server
from bench_run import CONNECTIONS, Measure, alternate, check_stored
from bench_wrk import Turns
from server import Failure

STARTS = 5
# Connections are made, caches filled and branches learned in the first second; it is not counted.
WARM_UP_S = 1
# Allocators give memory back after a while; idle is when they had the time.
SETTLE_S = 2
# A fast answer is compared with a constant one in turns of a second: between one round and the next a shared machine has been
# seen to change by half, between one second and the next rarely. Rounds of five pairs each, and the median of so many rounds.
TURN_S, TURNS, HEALTH_ROUNDS, HEALTH_QUICK_ROUNDS = 1, 5, 5, 3
READERS = 4
# The second worst of 200 is their p99.
COMMANDS = 200


def start_empty(bench):
    times = []
    for number in range(STARTS):
        one = bench_store.TimedServer(bench.binary, bench.folder / f"empty-{number}.db")
        with one:
            times.append(one.first_answer_ms)
            one.end()
    bench.report.figure("start-empty", statistics.median(times), f"longest {max(times):.1f}", times)


def memory_idle(bench):
    store = bench.on("idle")
    store.client().get("/health")
    time.sleep(SETTLE_S)
    bench.report.figure("memory-idle", machine.anonymous_bytes(store.process.pid) / 1e6, "after one request")


def health(bench):
    store = bench.on("idle")
    workers = machine.workers(store.process.pid)
    rounds, ceiling = [], []
    with ceilings.Constant(bench.ceilings, bench.folder / "constant.db", workers) as constant:
        for port in (store.port, constant.port):
            bench.wrk.run(port, "/health", CONNECTIONS, WARM_UP_S)
        for _ in range(HEALTH_QUICK_ROUNDS if bench.quick else HEALTH_ROUNDS):
            ours, theirs = [], []
            alternate(
                TURNS,
                lambda: ours.append(bench.load("/health", CONNECTIONS, seconds=TURN_S)),
                lambda: theirs.append(bench.wrk.run(constant.port, "/health", CONNECTIONS, TURN_S)),
            )
            rounds.append(Turns(ours))
            ceiling.append(Turns(theirs).per_s)
    bench.report.loads("health", rounds, CONNECTIONS)
    bench.report.ratio("health", [one.per_s for one in rounds], ceiling, f"{workers} workers")


def disk(bench):
    """Measured whenever the store has grown, before the handoffs that belong to its events."""
    bench.stored(bench.large)


def start_large(bench):
    store = bench.stored(bench.large)
    times = []
    for _ in range(STARTS):
        store.end()
        store.start()
        times.append(store.first_answer_ms)
    note = f"longest {max(times):.1f}; {store.events_counted():,} events"
    bench.report.figure("start-large", statistics.median(times), note, times)


def reads_beside_writes(bench):
    store = bench.stored(bench.large)
    file = bench.write("reads", reads(bench, store))
    beside_writes, beside_health, writes = [], [], []

    def read():
        return bench.load("/", READERS, "requests", file, threads=1)

    def ours():
        bench.quiet()
        before = store.events_counted()
        with bench.wrk.beside(store.port, "/api/v1/events", CONNECTIONS, "event", bench.texts) as writers:
            beside_writes.append(read())
        writes.append(writers.load.per_s)
        check_stored("/api/v1/events", bench.settled_events() - before, writers.load.requests, CONNECTIONS)

    def theirs():
        bench.quiet()
        with bench.wrk.beside(store.port, "/health", CONNECTIONS):
            beside_health.append(read())

    alternate(bench.rounds, ours, theirs)
    bench.report.loads("reads-beside-writes", beside_writes, READERS)
    bench.report.loads("reads-beside-health", beside_health, READERS)
    note = f"{READERS} connections of reads, {statistics.median(writes):,.0f} writes/s; {bench_reads.held(store)}"
    bench.report.ratio(
        "reads-beside-writes", [run.p99_ms for run in beside_writes], [run.p99_ms for run in beside_health], note)


def reads(bench, store):
    """A quarter each: wake-ups, lists of a session, events by id, and searches."""
    dice, source = random.Random(7), bench_text.Text(bench.words, 7)
    lists = [f"GET /api/v1/events?session_id={event['session_id']}&limit=20" for event in store.sample]
    client, ids = store.client(), []
    for line in lists[:: len(lists) // 50]:
        ids += [event["event_id"] for event in client.get(line.partition(" ")[2])["events"]]
    kinds = (
        [f"GET {path}" for path in bench_reads.wake_up_paths()], lists, [f"GET /api/v1/events/{one}" for one in ids],
        list(bench_reads.posts("/api/v1/recall", map(source.question, store.sample))),
    )
    return [dice.choice(kind) for kind in itertools.islice(itertools.cycle(kinds), bench_store.SAMPLE)]


def hook(bench):
    """What a hook of an editor or an agent does at the end of a turn: a process of its own that writes and exits."""
    store = bench.stored(bench.large)
    source, before, times = bench_text.Text(bench.words, 8), store.events_counted(), []
    with bench.wrk.beside(store.port, "/api/v1/events", CONNECTIONS, "event", bench.texts) as writers:
        for number in range(COMMANDS):
            command = hook_command(bench.binary, store.db, source, number)
            began = time.perf_counter()
            done = run(command)
            times.append(1000 * (time.perf_counter() - began))
            if done.returncode:
                raise Failure(f"{' '.join(command[:6])} … ended with status {done.returncode}: {done.stderr}")
    # Every second command is a handoff.
    recorded = writers.load.requests + (COMMANDS + 1) // 2
    check_stored("hook", bench.settled_events() - before, recorded, CONNECTIONS)
    times.sort()
    note = f"of {COMMANDS}, p50 {statistics.median(times):.1f}, longest {times[-1]:.1f}; {writers.load.per_s:,.0f} events/s beside it"
    bench.report.figure("hook-p99", times[COMMANDS * 99 // 100 - 1], note)


def run(command):
    try:
        return subprocess.run(
            command, capture_output=True, text=True, env=server.clean_env(), timeout=server.REQUEST_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"{' '.join(command[:6])} … did not end within {server.REQUEST_LIMIT_S} s") from None


def hook_command(binary, db, source, number):
    def text(words):
        return source.finish(source.draw(words))

    session = ["--db", str(db), "--session", f"hook-{number}"]
    if number % 2 == 0:
        return [str(binary), "record", *session, "--actor", "hook", "--", text(bench_text.EVENT_WORDS)]
    fields = [f"--{field}={text(bench_text.FIELD_WORDS)}" for field in bench_text.FIELDS]
    return [str(binary), "handoff", *session, "--with-whom", "Ada", *fields]


def memory_loaded(bench):
    store = bench.stored(bench.large)
    time.sleep(SETTLE_S)
    note = f"{store.events_counted():,} events stored"
    bench.report.figure("memory-loaded", machine.anonymous_bytes(store.process.pid) / 1e6, note)


# A fresh server.
FRESH = [
    Measure("start-empty", start_empty, "start on a fresh file"),
    Measure("memory-idle", memory_idle, "memory on a fresh file"),
    Measure("health", health, "GET /health"),
]
# One that holds everything. What restarts the process comes after what its memory is measured with.
LOADED = [
    Measure("reads-beside-writes", reads_beside_writes, "a quarter each wake-ups, lists, events by id and searches, beside writers"),
    Measure("hook", hook, "commands that write to the file of a busy server"),
    Measure("memory-loaded", memory_loaded, "memory after all of this"),
    Measure("disk", disk, "disk of the large store"),
    Measure("start-large", start_large, "start on the large store"),
]
TITLES = {
    "reads-beside-health": "the same reads beside readers of /health",
    **{f"recall-{size}-alone": "the same, one at a time" for size in ("10k", "100k", "1m")},
}
