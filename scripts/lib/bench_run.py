"""What the measures of scripts/bench share: the servers, the load generator, the report, and counting what was stored."""

import contextlib
import statistics
import sys
import time

import bench_ceilings as ceilings
import bench_machine as machine
import bench_report
import bench_store
import bench_text
import bench_wrk
import server
from server import Failure

# The older system's published figures were taken with 16 connections; 64 shows what larger groups give.
CONNECTIONS, MANY_CONNECTIONS = 16, 64
ROUNDS, QUICK_ROUNDS = 3, 2
SMALL, MIDDLE, LARGE = 10_000, 100_000, 1_000_000
# Different texts for the writes of wrk and of the raw SQLite, used again and again with a new identifier.
TEXTS = 20_000
# No group of writes takes this long, so a count that stands still for it will stay.
QUIET_S = 0.25
# As long as the server lets a request take.
QUIET_LIMIT_S = 30
# The scrape that asks for it is one of them.
IN_FLIGHT = ("agent_memory_http_requests_in_flight", "")


class Measure:
    """One entry of `--only`; `events` is how many the large store must be allowed to have."""

    def __init__(self, name, run, title, events=0):
        self.name, self.run, self.title, self.events = name, run, title, events


class Bench:
    """One run of scripts/bench."""

    def __init__(self, folder, seconds, quick, large):
        self.folder, self.seconds, self.quick, self.large = folder, seconds, quick, large
        # Of what is measured in turn with something else, and of what is measured alone.
        self.rounds, self.plain_rounds = ROUNDS, QUICK_ROUNDS if quick else ROUNDS
        self.wrk, self.report = bench_wrk.Wrk(), bench_report.Report()
        self.binary, self.ceilings = server.build(), ceilings.build()
        self.words = bench_text.vocabulary()
        self.texts = self.write("texts", texts(self.words))
        self.stores, self.running = {}, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for store in self.stores.values():
            store.__exit__()

    def write(self, name, lines):
        path = self.folder / f"{name}.txt"
        path.write_text("\n".join(lines) + "\n")
        return path

    def store(self, name):
        """The server on this file, which may not run yet."""
        if name not in self.stores:
            self.stores[name] = bench_store.Store(self.binary, self.folder / f"{name}.db", self.words, stamp)
        return self.stores[name]

    def on(self, name):
        """The running server on this file; one that runs on another is ended."""
        store = self.store(name)
        if self.running is not store:
            if self.running:
                self.running.end()
            self.running = store
            store.start()
        return store

    def stored(self, events):
        """The store that everything is read from, with so many events at least. Growing it, its disk is measured."""
        store = self.on("store")
        per_s = store.grow(events)
        if per_s:
            stamp(f"  {events:,} events stored, {per_s:,.0f} a second")
            self.report.disk(machine.database_bytes(store.db), store.events)
            store.grow_handoffs()
            stamp(f"  the index is settled after {store.rest():.0f} s more")
        return store

    @contextlib.contextmanager
    def aside(self, events):
        """A small store beside the large one, to measure them in turn; whoever is not measured is idle."""
        store = self.store(f"aside-{events}")
        with store:
            store.grow(events)
            store.grow_handoffs()
            store.rest()
            yield store
            store.end()

    @contextlib.contextmanager
    def switched(self, store):
        """Measures this server in the block."""
        before, self.running = self.running, store
        try:
            yield
        finally:
            self.running = before

    def quiet(self):
        """Waits until the requests are answered that wrk left behind: two runs at once may be more than is admitted."""
        client, deadline = self.running.client(), time.monotonic() + QUIET_LIMIT_S
        while server.read_metrics(client.call("GET", "/metrics/prometheus").text)[0][IN_FLIGHT] > 1:
            if time.monotonic() > deadline:
                raise Failure(f"requests are still being answered after {QUIET_LIMIT_S} s")
            time.sleep(0.01)

    def load(self, path, connections, what="get", file="", threads=bench_wrk.THREADS, seconds=None):
        """One run of wrk against the running server, with the processor time that it cost the server."""
        pid = self.running.process.pid
        before = machine.cpu_s(pid)
        try:
            load = self.wrk.run(self.running.port, path, connections, seconds or self.seconds, what, file, threads)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.running.log_tail()}") from None
        load.cpu_us = 1e6 * (machine.cpu_s(pid) - before) / load.requests
        return load

    def loads(self, name, path, connections, what="get", file="", threads=bench_wrk.THREADS):
        """Some rounds of that, in the report under this name."""
        runs = []
        for _ in range(self.plain_rounds):
            self.quiet()
            runs.append(self.load(path, connections, what, file, threads))
        self.report.loads(name, runs, connections)
        return runs

    def rate(self, name, runs, note="", each=1):
        rounds = [each * run.per_s for run in runs]
        self.report.figure(name, statistics.median(rounds), note, rounds)

    def settled_events(self):
        """The count once the requests are through that wrk left behind; else the next run would count them."""
        count = None
        while (latest := self.running.events_counted()) != count:
            count = latest
            time.sleep(QUIET_S)
        return count

    def counted(self, path, connections, what, each):
        """A run that writes events, with how many of them were stored and in how many commits."""
        self.quiet()
        before, commits = self.running.events_counted(), machine.commits(self.running.db)
        load = self.load(path, connections, what, self.texts)
        stored = self.settled_events() - before
        check_stored(path, stored, each * load.requests, each * connections)
        commits = (machine.commits(self.running.db) - commits) % 2**32
        if not commits:
            raise Failure(f"{path}: the WAL index counts no commit")
        return load, stored, commits


def check_stored(path, stored, acknowledged, spare):
    """wrk leaves with a request under way on each connection, which may be stored without being acknowledged."""
    if not acknowledged <= stored <= acknowledged + spare:
        raise Failure(f"{path}: {acknowledged} events were acknowledged, {stored} are counted as stored")


def alternate(rounds, ours, theirs):
    """Each goes first in turn, so that neither always meets the other's dirty pages."""
    for number in range(rounds):
        for one in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            one()


def texts(words):
    source = bench_text.Text(words, 4)
    # Their last word is made anew whenever one is sent.
    return [source.of_session(number // bench_text.SESSION_EVENTS).rpartition(" ")[0] for number in range(TEXTS)]


def stamp(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)
