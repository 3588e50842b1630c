"""Measures what is read: wake-ups, context bundles, searches, and scrapes."""

import itertools
import statistics
import urllib.parse

import bench_machine as machine
import bench_text
from bench_run import CONNECTIONS, LARGE, MIDDLE, SMALL, Measure
from bench_store import Trickle
from server import Failure

# The processor time of a process is known to 10 ms; 1,000 scrapes at a millisecond each are measured to 1 %.
SCRAPES = 1_000
# The store that a scrape is compared with.
FEW_EVENTS = 1_000


def wake_up_paths():
    """Each person asks, with each project and without one."""
    asked = itertools.product(bench_text.PEOPLE, bench_text.PROJECTS)
    for person, project in asked:
        query = {"with_whom": person, **({"project_id": project} if project else {})}
        yield f"/api/v1/wake-up?{urllib.parse.urlencode(query)}"


def wake_up(bench, events=SMALL, name="wake-up"):
    store = bench.stored(events)
    paths = list(wake_up_paths())
    for path in paths:
        if store.client().get(path)["first_session"]:
            raise Failure(f"{path} knows of no session")
    file = bench.write(name, (f"GET {path}" for path in paths))
    with Trickle(store):
        runs = bench.loads(name, "/", CONNECTIONS, "requests", file)
    bench.rate(f"{name}-rate", runs, held(store))
    return runs


def wake_up_large(bench):
    runs = wake_up(bench, bench.large, "wake-up-large")
    small = bench.report.rates["wake-up"]["per_s"]
    rounds = [small / run.per_s for run in runs]
    bench.report.figure("wake-up-growth", statistics.median(rounds), held(bench.running), rounds)


def posts(path, bodies):
    return (f"POST {path} {bench_text.compact(body)}" for body in bodies)


def context(bench, events, name):
    store = bench.stored(events)
    source = bench_text.Text(bench.words, 5)
    file = bench.write(name, posts("/api/v1/context", map(source.task, store.sample)))
    runs = bench.loads(name, "/", CONNECTIONS, "requests", file)
    bench.rate(f"{name}-rate", runs, f"{held(store)}; {len(store.sample)} different tasks")


def recall(bench, events, name):
    """Under load, and one search at a time: what one agent waits for when nobody else asks."""
    store = bench.stored(events)
    source = bench_text.Text(bench.words, 6)
    file = bench.write(name, posts("/api/v1/recall", map(source.question, store.sample)))
    note = f"{held(store)}; {len(store.sample)} different questions"
    bench.rate(f"{name}-rate", bench.loads(name, "/", CONNECTIONS, "requests", file), note)
    alone = bench.loads(f"{name}-alone", "/", 1, "requests", file)
    rounds = [run.p95_ms for run in alone]
    bench.report.figure(f"{name}-p95", statistics.median(rounds), f"p50 {statistics.median(run.p50_ms for run in alone):.1f} ms", rounds)


def held(store):
    return f"{store.events:,} events, {store.handoffs:,} handoffs"


def scrape(bench, events=FEW_EVENTS, name="scrape"):
    """As Prometheus does it: over one connection, and it takes gzip."""
    store = bench.stored(events)
    client, rounds = store.client(), []
    for _ in range(bench.rounds):
        before = machine.cpu_s(store.process.pid)
        for _ in range(SCRAPES):
            got = client.call("GET", "/metrics/prometheus", headers={"Accept-Encoding": "gzip"})
        rounds.append(1000 * (machine.cpu_s(store.process.pid) - before) / SCRAPES)
    packed = got.headers.get("Content-Encoding") or "not compressed"
    size = len(client.call("GET", "/metrics/prometheus").body) / 1000
    bench.report.figure(f"{name}-cpu", statistics.median(rounds), f"{held(store)}; {size:.0f} kB, {packed}", rounds)


def scrape_large(bench):
    scrape(bench, bench.large, "scrape-large")
    small = bench.report.figures["scrape-cpu"]["value"]
    rounds = [one / small for one in bench.report.figures["scrape-large-cpu"]["rounds"]]
    bench.report.figure("scrape-growth", statistics.median(rounds), held(bench.running), rounds)


def over(events, measure, name):
    return lambda bench: measure(bench, events, name)


MEASURES = [
    Measure("scrape", scrape, "GET /metrics/prometheus over 1,000 events", FEW_EVENTS),
    Measure("wake-up", wake_up, "GET /api/v1/wake-up over 10,000 events, one write a second beside it", SMALL),
    *(
        Measure(f"{name}-{short}", over(events, run, f"{name}-{short}"), f"POST /api/v1/{name} over {events:,} events", events)
        for short, events in (("10k", SMALL), ("100k", MIDDLE), ("1m", LARGE))
        for name, run in (("context", context), ("recall", recall))
    ),
    Measure("wake-up-large", wake_up_large, "GET /api/v1/wake-up over the large store, likewise", after="wake-up"),
    Measure("scrape-large", scrape_large, "GET /metrics/prometheus over the large store", after="scrape"),
]
