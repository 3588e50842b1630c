"""Measures what is read: wake-ups, context bundles, searches, and scrapes."""

import itertools
import statistics
import urllib.parse

import bench_machine as machine
import bench_text
from bench_run import CONNECTIONS, LARGE, MIDDLE, SMALL, Measure, alternate
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


def wake_up(bench):
    store = bench.stored(SMALL)
    runs = [woken(bench, store) for _ in range(bench.plain_rounds)]
    bench.report.loads("wake-up", runs, CONNECTIONS)
    bench.rate("wake-up-rate", runs, held(store))


def wake_up_large(bench):
    """In turn with a small store, since the machine may have changed since that was measured alone."""
    store, large, small = bench.stored(bench.large), [], []
    with bench.aside(SMALL) as other:
        alternate(bench.rounds, lambda: large.append(woken(bench, store)), lambda: small.append(woken(bench, other)))
    bench.report.loads("wake-up-large", large, CONNECTIONS)
    bench.rate("wake-up-large-rate", large, held(store))
    bench.report.ratio("wake-up-growth", [run.per_s for run in small], [run.per_s for run in large], held(store))


def woken(bench, store):
    """One round, with one write a second beside it."""
    paths = list(wake_up_paths())
    for path in paths:
        if store.client().get(path)["first_session"]:
            raise Failure(f"{path} knows of no session")
    file = bench.write("wake-up", (f"GET {path}" for path in paths))
    with bench.switched(store):
        bench.quiet()
        with Trickle(store):
            return bench.load("/", CONNECTIONS, "requests", file)


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


def scrape(bench):
    store = bench.stored(FEW_EVENTS)
    rounds = [scraped(store) for _ in range(bench.plain_rounds)]
    size = len(store.client().call("GET", "/metrics/prometheus").body) / 1000
    bench.report.figure("scrape-cpu", statistics.median(rounds), f"{held(store)}; {size:.0f} kB", rounds)


def scrape_large(bench):
    """In turn with a small store, as for wake-ups."""
    store, large, small = bench.stored(bench.large), [], []
    with bench.aside(FEW_EVENTS) as other:
        alternate(bench.rounds, lambda: large.append(scraped(store)), lambda: small.append(scraped(other)))
    bench.report.figure("scrape-large-cpu", statistics.median(large), held(store), large)
    bench.report.ratio("scrape-growth", large, small, held(store))


def scraped(store):
    """Milliseconds of processor time for one, as Prometheus does it: over one connection, and it takes gzip."""
    client, before = store.client(), machine.cpu_s(store.process.pid)
    for _ in range(SCRAPES):
        client.call("GET", "/metrics/prometheus", headers={"Accept-Encoding": "gzip"})
    return 1000 * (machine.cpu_s(store.process.pid) - before) / SCRAPES


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
    Measure("wake-up-large", wake_up_large, "GET /api/v1/wake-up over the large store, likewise"),
    Measure("scrape-large", scrape_large, "GET /metrics/prometheus over the large store"),
]
