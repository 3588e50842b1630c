"""Measures what is written, beside SQLite doing the same and the disk that both wait for."""

import statistics

import bench_ceilings as ceilings
import bench_machine as machine
from bench_run import CONNECTIONS, MANY_CONNECTIONS, SMALL, Measure, alternate, texts
from bench_text import FIELD_WORDS, FIELDS

BATCH_EVENTS = 100


def events_16(bench):
    runs = events(bench, "events-16", "/api/v1/events", CONNECTIONS, "event", 1)
    rounds = [run.p99_ms for run in runs]
    bench.report.figure("events-16-p99", statistics.median(rounds), "", rounds)


def events_64(bench):
    events(bench, "events-64", "/api/v1/events", MANY_CONNECTIONS, "event", 1)


def batch(bench):
    events(bench, "batch", "/api/v1/events/batch", CONNECTIONS, "batch", BATCH_EVENTS)


def events(bench, name, path, connections, what, each):
    grown(bench)

    def load():
        run, stored, commits = bench.counted(path, connections, what, each)
        return run, stored / commits

    runs = beside_sqlite(bench, name, load, "raw", bench.texts, each)
    bench.report.loads(name, runs, connections)
    bench.rate(f"{name}-rate", runs, each=each)
    return runs


def beside_sqlite(bench, name, load, file, texts, each):
    """Against raw SQLite on a file with as many events, in groups of the size that the writer made in that round.

    `load` gives one run of ours and how much a commit held; a request of ours holds `each`.
    """
    runs, ceiling, groups = [], [], []

    def ours():
        run, group = load()
        runs.append(run)
        groups.append(max(1, round(group)))

    def theirs():
        # The writer's group of this round, or of the one before when the ceiling goes first.
        db, rows = bench.folder / f"{file}.db", bench.running.events_counted()
        ceiling.append(ceilings.raw_sqlite(bench.ceilings, db, texts, groups[-1], bench.seconds, rows))

    alternate(bench.rounds, ours, theirs)
    bench.report.sqlite_version = ceiling[0]["sqlite_version"]
    bench.report.raw(name, ceiling)
    note = f"{'/'.join(str(group) for group in groups)} a commit, counted in the WAL index"
    bench.report.ratio(name, [each * run.per_s for run in runs], [one["events_per_s"] for one in ceiling], note)
    return runs


def handoff(bench):
    """As many events and at rest as wake-ups are read from: what was written flat out before is still being merged.

    Most of what a handoff takes is its passages', so it is held against raw SQLite that stores events of a passage's length.
    """
    grown(bench, "handoffs").rest()
    fields = bench.write("fields", [" ".join(text.split()[:FIELD_WORDS]) for text in texts(bench.words)])

    def load():
        bench.quiet()
        before = machine.commits(bench.running.db)
        run = bench.load("/api/v1/handoff", CONNECTIONS, "handoff", bench.texts)
        commits = (machine.commits(bench.running.db) - before) % 2**32
        return run, len(FIELDS) * run.requests / commits

    runs = beside_sqlite(bench, "handoff", load, "raw-fields", fields, len(FIELDS))
    bench.report.loads("handoff", runs, CONNECTIONS)
    bench.rate("handoff-rate", runs)


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
