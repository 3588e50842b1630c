"""That a scrape asks the store nothing, and answers in time while the store cannot.

usage: [AGENT_MEMORY_FAULT_BIN=FILE] scrape_test.py [SECONDS]

In the build with faults, SQLite tells of every statement that any connection begins. Then, for half a minute each and all at
once: every connection for reading is held and more reads wait than are admitted, another program holds the write lock, and
nothing is wrong. In all three each scrape has to be answered 200, and in as much time as where nothing is wrong.
"""

import concurrent.futures
import contextlib
import http.client
import json
import math
import sqlite3
import statistics
import sys
import tempfile
import threading
import time

from faults import FaultyServer, build
from server import Failure, read_metrics

HELD_S = 30
# Scrapes in the window that is compared with an idle one of the same length. One statement in each would be as many.
SCRAPES, WINDOW_S = 300, 5
# What is waited for at most by one scrape in a hundred: or three times what it is on the same machine while nothing is wrong,
# since a processor that others use makes everything late.
PROMPT_S, LATE = 0.1, 3
PAUSE_S = 0.05
READERS = 2
# Twice what is admitted (four for each connection), so that there is a queue before the pool as well.
CROWD = 8 * READERS
FLAGS = ("--readers", READERS, "--workers", 2)
FORMATS = ("*/*", "application/openmetrics-text;version=1.0.0")
EVENT = {
    "session_id": "s", "channel": "private", "actor": {"type": "agent", "id": "a"}, "kind": "message",
    "content": {"text": "the tide gauge stands on the pier"},
}


def scrape(port, accept="*/*"):
    """One scrape on a connection of its own, with how long it took."""
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/metrics/prometheus", headers={"Accept": accept})
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"a scrape was not answered: {type(error).__name__}: {error}") from None
    finally:
        connection.close()
    took = time.monotonic() - began
    if answer.status != 200:
        raise Failure(f"a scrape was answered {answer.status}: {text[:500]}")
    return text, took


def value(text, name, labels=""):
    found = read_metrics(text)[0].get((name, labels))
    if found is None:
        raise Failure(f"there is no {name}{labels}")
    return found


# Statements and connections.


def checkouts(server):
    return value(scrape(server.port)[0], "agent_memory_db_pool_wait_seconds_count", '{role="reader"}')


def asks_nothing(server):
    """An idle window, one with scrapes, and one with reads to see that statements and connections are seen at all."""

    def window(work):
        statements, connections = server.ask("statements"), checkouts(server)
        end = time.monotonic() + WINDOW_S
        work()
        time.sleep(max(0, end - time.monotonic()))
        connections = checkouts(server) - connections
        return server.ask("statements") - statements, int(connections)

    def scrapes():
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: scrape(server.port, FORMATS[number % 2]), range(SCRAPES)))

    def reads():
        client = server.client()
        for _ in range(SCRAPES):
            client.get("/api/v1/events", limit=1)

    client = server.client()
    for number in range(20):
        client.post("/api/v1/events", EVENT | {"session_id": f"s{number}"})
    # What the writer does after a write has to be over.
    time.sleep(3)
    idle, scraping, reading = window(lambda: None), window(scrapes), window(reads)
    print(f"statements and connections of {WINDOW_S} s: idle {idle}, {SCRAPES} scrapes {scraping}, {SCRAPES} reads {reading}", flush=True)
    if reading[0] < SCRAPES or reading[1] < SCRAPES:
        raise Failure("not every statement and connection is seen, so nothing is known of a scrape")
    if scraping[1] or scraping[0] - idle[0] > SCRAPES / 10:
        raise Failure("a scrape takes a connection, or runs a statement")


# Time.


class Scraper(threading.Thread):
    """Scrapes as long as it is not told to stop, and keeps each `up` with its time."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.port, self.took, self.ups, self.last = server.port, [], [], ""
        self.failure, self.stopping = None, threading.Event()

    def run(self):
        try:
            while not self.stopping.wait(PAUSE_S):
                self.last, took = scrape(self.port)
                self.took.append(took)
                self.ups.append((time.monotonic(), value(self.last, "agent_memory_up")))
        except Failure as failure:
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(60)

    def slowest_hundredth(self):
        if self.failure:
            raise self.failure
        if len(self.took) < 20:
            raise Failure(f"only {len(self.took)} scrapes were answered")
        return statistics.quantiles(self.took, n=100)[98]


@contextlib.contextmanager
def asking(server, count, method, path, body=None):
    """So many clients that ask over and over, and do not mind to be refused."""
    stopping = threading.Event()

    def ask():
        while not stopping.is_set():
            with contextlib.suppress(Failure):
                server.client().request(method, path, body)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()


def calm(folder, binary, held_s):
    with FaultyServer(binary, f"{folder}/calm.db", FLAGS) as server:
        with Scraper(server) as scraper:
            time.sleep(held_s)
        return scraper, []


def no_connection(folder, binary, held_s):
    """The self-check has a connection of its own, so the server stays up."""
    with FaultyServer(binary, f"{folder}/pool.db", FLAGS) as server, Scraper(server) as scraper:
        with asking(server, CROWD, "GET", "/api/v1/events"):
            server.ask(f"slow-reads {held_s * 1000} {READERS}")
            until(lambda: pool(scraper, "idle") == 0 and pool(scraper, "waiting") >= CROWD - READERS, "that every connection is held")
            scraper.took.clear()
            time.sleep(held_s - 2)
            wrong = [f"{pool(scraper, 'idle'):.0f} connections are free"] if pool(scraper, "idle") else []
            wrong += [f"up was {up}" for _, up in scraper.ups if up != 1][:1]
            gave_up = value(scraper.last, "agent_memory_db_pool_timeouts_total", '{role="reader"}')
            queued = value(scraper.last, "agent_memory_read_queue_wait_seconds_sum")
            # Those in the pool give up after two seconds, those before it after three.
            wrong += [f"{gave_up:.0f} reads gave up"] if gave_up < CROWD else []
            wrong += [f"reads queued for {queued:.1f} s in all"] if queued < held_s else []
        return scraper, wrong


def pool(scraper, state):
    return value(scraper.last, "agent_memory_db_pool_connections", f'{{state="{state}"}}') if scraper.last else -1


def no_lock(folder, binary, held_s):
    """Another program holds the write lock. Writes are refused then, which `up` is to say, and not for longer."""
    with FaultyServer(binary, f"{folder}/lock.db", FLAGS) as server, Scraper(server) as scraper:
        server.client().post("/api/v1/events", EVENT)
        held = sqlite3.connect(server.db, isolation_level=None, check_same_thread=False)
        held.execute("begin immediate")
        began = time.monotonic()
        with asking(server, 8, "POST", "/api/v1/events", json.dumps(EVENT).encode()):
            time.sleep(held_s)
            held.execute("rollback")
            ended = time.monotonic()
            until(lambda: scraper.ups[-1][1] == 1, "that the store can be used again")
        held.close()
        downs = [at for at, up in scraper.ups if up == 0]
        wrong = []
        # A write waits five seconds for the lock.
        if not downs or not 4 < downs[0] - began < 12:
            wrong.append(f"up was 0 after {downs[0] - began if downs else math.inf:.1f} s")
        if any(up == 1 for at, up in scraper.ups if downs and downs[0] + 1 < at < ended):
            wrong.append("up was 1 in between although no write could be made")
        return scraper, wrong


def until(holds, what, limit_s=15):
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            raise Failure(f"waited in vain: {what}")
        time.sleep(0.05)


def main():
    held_s = int(sys.argv[1]) if len(sys.argv) > 1 else HELD_S
    binary = build()
    with tempfile.TemporaryDirectory() as folder, FaultyServer(binary, f"{folder}/memory.db", FLAGS) as server:
        asks_nothing(server)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor() as runs:
        started = [runs.submit(run, folder, binary, held_s) for run in (calm, no_connection, no_lock)]
        (quiet, _), *troubled = [one.result() for one in started]
    most = max(PROMPT_S, LATE * quiet.slowest_hundredth())
    print(f"scrapes while nothing is wrong: {len(quiet.took)}, of which one in a hundred took {1000 * quiet.slowest_hundredth():.0f} ms")
    faults = []
    for name, (scraper, wrong) in zip(("no connection is free", "another program holds the write lock"), troubled):
        slow = scraper.slowest_hundredth()
        print(f"scrapes while {name}: {len(scraper.took)}, of which one in a hundred took {1000 * slow:.0f} ms, and the slowest {1000 * max(scraper.took):.0f} ms")
        faults += [f"while {name}: {fault}" for fault in wrong]
        if slow > most:
            faults.append(f"while {name}, one scrape in a hundred takes {slow:.3f} s")
    if faults:
        raise Failure("\n".join(faults))


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(f"FAIL: {failure}", file=sys.stderr)
        sys.exit(1)
