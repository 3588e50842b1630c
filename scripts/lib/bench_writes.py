"""Measures what is written, beside SQLite doing the same and the disk that both wait for."""

import statistics

import bench_ceilings as ceilings
from bench_run import CONNECTIONS, MANY_CONNECTIONS, SMALL, Measure, alternate

BATCH_EVENTS = 100


def events_16(bench):
    runs = beside_sqlite(bench, "events-16", "/api/v1/events", CONNECTIONS, "event", 1)
    rounds = [run.p99_ms for run in runs]
    bench.report.figure("events-16-p99", statistics.median(rounds), "", rounds)


def events_64(bench):
    beside_sqlite(bench, "events-64", "/api/v1/events", MANY_CONNECTIONS, "event", 1)


def batch(bench):
    beside_sqlite(bench, "batch", "/api/v1/events/batch", CONNECTIONS, "batch", BATCH_EVENTS)


def beside_sqlite(bench, name, path, connections, what, each):
    """Against raw SQLite on a file with as many events, in groups of the size that the writer made in that round."""
    store = grown(bench)
    runs, ceiling, groups = [], [], []

    def ours():
        load, stored, commits = bench.counted(path, connections, what, each)
        runs.append(load)
        groups.append(max(1, round(stored / commits)))

    def theirs():
        # The writer's group of this round, or of the one before when the ceiling goes first.
        file, rows = bench.folder / "raw.db", store.events_counted()
        ceiling.append(ceilings.raw_sqlite(bench.ceilings, file, bench.texts, groups[-1], bench.seconds, rows))

    alternate(bench.rounds, ours, theirs)
    bench.report.sqlite_version = ceiling[0]["sqlite_version"]
    bench.report.loads(name, runs, connections)
    bench.report.raw(name, ceiling)
    note = f"{'/'.join(str(group) for group in groups)} events a commit, counted in the WAL index"
    bench.report.ratio(name, [each * run.per_s for run in runs], [one["events_per_s"] for one in ceiling], note)
    bench.rate(f"{name}-rate", runs, each=each)
    return runs


def handoff(bench):
    """As many events and at rest as wake-ups are read from: what was written flat out before is still being merged."""
    grown(bench, "handoffs").rest()
    bench.rate("handoff-rate", bench.loads("handoff", "/api/v1/handoff", CONNECTIONS, "handoff", bench.texts))


def handoff_behind(bench):
    """Straight after batches flat out, whose part of the index is still being merged."""
    grown(bench)
    bench.counted("/api/v1/events/batch", CONNECTIONS, "batch", BATCH_EVENTS)
    note = f"{bench.on('writes').events_counted():,} events"
    bench.rate("handoff-behind-rate", bench.loads("handoff-behind", "/api/v1/handoff", CONNECTIONS, "handoff", bench.texts), note=note)


def grown(bench, name="writes"):
    """A file of its own, so that what is read is not changed by what is written here."""
    store = bench.on(name)
    store.grow(SMALL)
    return store


def sync(bench):
    pages = next((one["pages_per_commit"] for name, one in bench.report.ceilings.items() if name == "events-16"), 1)
    found = ceilings.sync(bench.ceilings, bench.folder / "sync", bench.seconds, pages)
    for name in ("fdatasync", "fsync"):
        one = found[name]
        note = f"{pages} pages; p99 {one['p99_ms']:.2f} ms, of {one['count']:,}"
        bench.report.figure(name, one["p50_ms"], note)


MEASURES = [
    Measure("events-16", events_16, "POST /api/v1/events, 16 connections"),
    Measure("events-64", events_64, "POST /api/v1/events, 64 connections"),
    Measure("batch", batch, "POST /api/v1/events/batch of 100 events; the rate is in requests"),
    Measure("handoff-behind", handoff_behind, "POST /api/v1/handoff, six fields of 25 words, straight after events flat out"),
    Measure("handoff", handoff, "the same beside 10,000 events, at rest before"),
    Measure("sync", sync, "one fdatasync and one fsync of an append as large as a commit's"),
]
