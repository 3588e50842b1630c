"""That a scrape asks the store nothing, and answers in time while the store cannot.

usage: [AGENT_MEMORY_FAULT_BIN=FILE] [AGENT_MEMORY_BIN=FILE] scrape_test.py [SECONDS]

In the build with faults, SQLite tells of every statement that any connection begins. Then, for half a minute each and all at
once: every connection for reading is held and more reads wait than are admitted, another program holds the write lock, a
memory of thousands of handoffs is consolidated, and nothing is wrong. In all four each scrape has to be answered 200, and in as
much time as where nothing is wrong. Last, fifty scrapers at once, and what they do to the requests of others.

Who scrapes is a process of its own (`scrape_test.py --scrape PORT`): in one process with dozens of clients it would mostly wait
for Python's lock, and call that the server.
"""

import concurrent.futures
import contextlib
import http.client
import json
import math
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import consolidation_load
from faults import FaultyServer, build
import server as servers
from server import EVENT, Beside, Failure, read_metrics, run, until

HELD_S = 30
# Scrapes in the window that is compared with an idle one of the same length. One statement in each would be as many.
SCRAPES, WINDOW_S = 300, 5
# What is waited for at most by one scrape in a hundred: or three times what it is on the same machine while nothing is wrong,
# since a processor that others use makes everything late. Where that alone is more than half a second, this says nothing: three
# times as much is near what a scrape waited for whatever is held here waits (a connection two seconds, the lock five), so that
# one which asks the store could pass.
PROMPT_S, LATE, TOO_BUSY_S = 0.1, 3, 0.5
PAUSE_S = 0.05
# Longest wait for what has to be seen: the server looks at itself every few seconds.
PATIENCE_S = 15
READERS = 2
# Enough for seconds of consolidation.
HANDOFFS = 8_000
# Twice what is admitted (four for each connection), so that there is a queue before the pool as well.
CROWD = 8 * READERS
FLAGS = ("--readers", READERS, "--workers", 2)
# As monitoring/prometheus.yml has it.
SHIPPED_PACE_S = 10
# Turns without and with fifty of them.
TURNS, TURN_S = 3, 6
FORMATS = ("*/*", "application/openmetrics-text;version=1.0.0")


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
    # The clock has statements and connections of its own: consolidation's totals are read every ten seconds.
    if any(during - before > SCRAPES / 10 for during, before in zip(scraping, idle)):
        raise Failure("a scrape takes a connection, or runs a statement")


# Time.


def scrape_on(port):
    """Scrapes until nobody reads what it says: for each, when it began, how long it took, and what there is to judge it by."""
    while True:
        time.sleep(PAUSE_S)
        began = time.monotonic()
        text, took = scrape(port)
        values = read_metrics(text)[0]
        print(json.dumps({
            "at": began, "took": took, "up": values["agent_memory_up", ""],
            "idle": values["agent_memory_db_pool_connections", '{state="idle"}'],
            "waiting": values["agent_memory_db_pool_connections", '{state="waiting"}'],
            "consolidating": sum(number for (name, _), number in values.items() if name == "agent_memory_consolidation_in_progress"),
        }), flush=True)


class Scraper(Beside):
    """Keeps what another process says of its scrapes, until that is ended."""

    def __init__(self, server):
        super().__init__()
        self.said = []
        self.process = subprocess.Popen([sys.executable, __file__, "--scrape", str(server.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def work(self):
        for line in self.process.stdout:
            self.said.append(json.loads(line))

    def __exit__(self, *_):
        ended = self.process.poll() is not None
        self.process.kill()
        self.process.wait()
        super().__exit__()
        if ended:
            raise Failure(self.process.stderr.read())

    @property
    def last(self):
        return self.said[-1] if self.said else {"up": -1, "idle": -1, "waiting": -1}

    @property
    def ups(self):
        return [(one["at"], one["up"]) for one in list(self.said)]

    @property
    def took(self):
        return [one["took"] for one in list(self.said)]

    def slowest_hundredth(self):
        if len(self.said) < 20:
            raise Failure(f"only {len(self.said)} scrapes were answered")
        return statistics.quantiles(self.took, n=100)[98]


@contextlib.contextmanager
def asking(server, count, method, path, body=None):
    """So many clients that ask over and over, and do not mind to be refused."""
    stopping = threading.Event()

    def ask():
        # Who is refused waits a moment, as it was told to.
        while not stopping.wait(PAUSE_S):
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
            until(lambda: scraper.last["idle"] == 0 and scraper.last["waiting"] >= CROWD - READERS, "that every connection is held", PATIENCE_S)
            scraper.said.clear()
            time.sleep(held_s - 2)
            seen = list(scraper.said)
            text = scrape(server.port)[0]
            wrong = [f"{one['idle']:.0f} connections are free" for one in seen if one["idle"]][:1]
            wrong += [f"up was {one['up']}" for one in seen if one["up"] != 1][:1]
            gave_up = value(text, "agent_memory_db_pool_timeouts_total", '{role="reader"}')
            queued = value(text, "agent_memory_read_queue_wait_seconds_sum")
            # Those in the pool give up after two seconds, those before it after three.
            wrong += [f"{gave_up:.0f} reads gave up"] if gave_up < CROWD else []
            wrong += [f"reads queued for {queued:.1f} s in all"] if queued < held_s else []
        return scraper, wrong


def consolidating(folder, _, held_s):
    """The release binary, since thousands of handoffs are much for the other. Only the scrapes during which a job is at work
    are counted."""
    with servers.Server(servers.build(), f"{folder}/old.db", (*FLAGS, "--consolidation", "1d")) as server:
        client, file = server.client(), pathlib.Path(folder) / "handoffs.jsonl"
        consolidation_load.write_handoffs(file, HANDOFFS)
        # An import that takes longer than a request may is sent again, and goes on.
        while client.request("POST", "/api/v1/import", file.read_bytes(), headers={"Content-Type": "application/x-ndjson"}).status == 408:
            pass
        with Scraper(server) as scraper:
            end = time.monotonic() + held_s
            client.post("/api/v1/consolidation/run", {})
            time.sleep(1)
            until(lambda: time.monotonic() > end or scraper.last["consolidating"] == 0, "that it is over", held_s + 15)
            said = list(scraper.said)
        scraper.said[:] = [one for one in said if one["consolidating"]]
        return scraper, [f"up was {one['up']}" for one in said if one["up"] != 1][:1]


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
            until(lambda: scraper.last["up"] == 1, "that the store can be used again", PATIENCE_S)
        held.close()
        downs = [at for at, up in scraper.ups if up == 0]
        wrong = []
        # A write waits five seconds for the lock.
        if not downs or not 4 < downs[0] - began < 12:
            wrong.append(f"up was 0 after {downs[0] - began if downs else math.inf:.1f} s")
        if any(up == 1 for at, up in scraper.ups if downs and downs[0] + 1 < at < ended):
            wrong.append("up was 1 in between although no write could be made")
        return scraper, wrong


# Fifty of them.


def scrape_many(port, count):
    """So many Prometheus at the shipped pace, spread over it, until the input ends; then what they met."""
    stopping, told, done = threading.Event(), [], []

    def go(number):
        # Each scrapes once at least, however late it comes to it.
        stopping.wait(TURN_S * number / count)
        while True:
            try:
                scrape(port, FORMATS[number % 2])
                done.append(number)
            except Failure as failure:
                told.append(str(failure))
            if stopping.wait(SHIPPED_PACE_S):
                return

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"scrapes": len(done), "scrapers": len(set(done)), "failures": told[:3]}))


def fifty(folder, binary):
    """Each of fifty scrapers is answered each time, while others ask. What these wait for is shown and not judged: that their
    slowest hundredth is a tenth slower at most can be seen on a machine that does nothing else, and no other is known here."""
    took = {True: [], False: []}
    with FaultyServer(binary, f"{folder}/fifty.db", FLAGS) as server:
        client, said = server.client(), []
        for _ in range(50):
            client.post("/api/v1/events", EVENT)
        for turn in range(2 * TURNS):
            scraping = bool(turn % 2)
            many = subprocess.Popen([sys.executable, __file__, "--scrapers", str(server.port), "50"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) if scraping else None
            times, end = [], time.monotonic() + TURN_S
            while time.monotonic() < end:
                began = time.perf_counter()
                client.call("GET", "/api/v1/events", query={"limit": 20})
                times.append(time.perf_counter() - began)
            took[scraping].append(statistics.quantiles(times, n=100)[98])
            if many:
                said.append(json.loads(many.communicate()[0]))
    failed = [failure for one in said for failure in one["failures"]]
    if failed or min(one["scrapers"] for one in said) < 50:
        raise Failure(f"fifty scrapers: {failed}, {said}")
    shown = {scraping: ", ".join(f"{1000 * one:.1f}" for one in sorted(of)) for scraping, of in took.items()}
    print(f"fifty scrapers: {sum(one['scrapes'] for one in said)} scrapes; one request in a hundred takes {shown[True]} ms beside them, {shown[False]} ms without")


def main():
    if sys.argv[1:2] == ["--scrape"]:
        with contextlib.suppress(BrokenPipeError):
            scrape_on(int(sys.argv[2]))
        return
    if sys.argv[1:2] == ["--scrapers"]:
        scrape_many(int(sys.argv[2]), int(sys.argv[3]))
        return
    held_s = int(sys.argv[1]) if len(sys.argv) > 1 else HELD_S
    binary = build()
    with tempfile.TemporaryDirectory() as folder, FaultyServer(binary, f"{folder}/memory.db", FLAGS) as server:
        asks_nothing(server)
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor() as runs:
        started = [runs.submit(run, folder, binary, held_s) for run in (calm, no_connection, no_lock, consolidating)]
        (quiet, _), *troubled = [one.result() for one in started]
    usual = quiet.slowest_hundredth()
    most = max(PROMPT_S, LATE * usual)
    print(f"scrapes while nothing is wrong: {len(quiet.took)}, of which one in a hundred took {1000 * usual:.0f} ms")
    if usual > TOO_BUSY_S:
        raise Failure(f"the machine is too busy to tell: one scrape in a hundred takes {usual:.3f} s while nothing is wrong")
    with tempfile.TemporaryDirectory() as folder:
        fifty(folder, binary)
    faults = []
    for name, (scraper, wrong) in zip(("no connection is free", "another program holds the write lock", "consolidation runs"), troubled):
        slow = scraper.slowest_hundredth()
        print(f"scrapes while {name}: {len(scraper.took)}, of which one in a hundred took {1000 * slow:.0f} ms, and the slowest {1000 * max(scraper.took):.0f} ms")
        faults += [f"while {name}: {fault}" for fault in wrong]
        if slow > most:
            faults.append(f"while {name}, one scrape in a hundred takes {slow:.3f} s")
    if faults:
        raise Failure("\n".join(faults))


if __name__ == "__main__":
    run(main)
