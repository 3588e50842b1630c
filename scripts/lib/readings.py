"""That gauges and sums say what is the case: memory that is taken and given back, connections that are held and waited for,
faults by their code, and times as a client measures them.

usage: [AGENT_MEMORY_FAULT_BIN=FILE] readings.py
"""

import concurrent.futures
import tempfile
import time

from faults import FaultyServer, build
from server import EVENT, Failure, read_metrics, run, until

MEGABYTE = 1_000_000
HEAP_MB = 100
# What the allocator rounds up, and what else the server does meanwhile.
NEAR = 0.05
# How long the allocator keeps what was freed, with room to spare: its threads give it back within ten seconds of idling.
GIVEN_BACK_S = 30
READERS, WAITERS, HELD_MS = 8, 5, 1_500
# The writer keeps up to 16 MB of the file; so many texts of 60 kB fill a good part of it.
CACHE_WRITES, CACHE_MB = 60, 5
# Each of these is long beside what a connection on loopback takes.
SLOW_READS, SLOW_MS = 5, 500
# Other programs may keep the client from looking at its clock.
TRIES = 3
# Those that a write can meet; what `up` is afterwards is told by tests/fault.
CODES = ("busy", "locked", "nomem", "readonly", "ioerr", "corrupt", "full", "cantopen", "protocol", "notadb")


def scrape(server):
    return read_metrics(server.client().call("GET", "/metrics").text)[0]


def value(server, name, labels=""):
    return scrape(server)[name, labels]


def near(what, got, wanted, within=NEAR):
    print(f"{what}: {got:,.6g}, and should be {wanted:,.6g}", flush=True)
    if abs(got / wanted - 1) > within:
        raise Failure(f"{what} is {got:,.6g} and not {wanted:,.6g}")


def memory(server):
    used, anonymous = ('agent_memory_memory_bytes', '{type="heap_used"}'), ('agent_memory_memory_bytes', '{type="rss_anon"}')
    # What starting took is given back first.
    time.sleep(2)
    before, resident = value(server, *used), value(server, *anonymous)
    server.ask(f"allocate {HEAP_MB * MEGABYTE}")
    near("what the heap grew by", value(server, *used) - before, HEAP_MB * MEGABYTE)
    if value(server, *anonymous) - resident < (1 - NEAR) * HEAP_MB * MEGABYTE:
        raise Failure("anonymous resident memory did not grow with it")
    server.ask("free")
    fell = until(lambda: value(server, *used) - before < NEAR * HEAP_MB * MEGABYTE, "that the heap shrinks")
    began = time.monotonic()
    most = 1.3 * max(resident, 10 * MEGABYTE)
    until(lambda: value(server, *anonymous) < most, f"resident memory below {most:,.0f}", GIVEN_BACK_S)
    print(f"what was freed was given back after {time.monotonic() - began:.1f} s", flush=True)
    return fell


def pool(server):
    states = lambda: tuple(int(value(server, "agent_memory_db_pool_connections", f'{{state="{state}"}}')) for state in ("total", "idle", "waiting"))
    waits = ("agent_memory_db_pool_wait_seconds_count", '{role="reader"}'), ("agent_memory_db_pool_wait_seconds_sum", '{role="reader"}')
    timeouts = ("agent_memory_db_pool_timeouts_total", '{role="reader"}')
    before = scrape(server)
    server.ask(f"slow-reads {HELD_MS} {READERS}")
    with concurrent.futures.ThreadPoolExecutor(READERS + WAITERS) as clients:
        reads = [clients.submit(server.client().call, "GET", "/api/v1/events") for _ in range(READERS + WAITERS)]
        until(lambda: states() == (READERS, 0, WAITERS), f"{READERS} connections held and {WAITERS} calls that wait; it is {states()}")
        for read in reads:
            read.result()
    after = scrape(server)
    if after[waits[0]] - before[waits[0]] != READERS + WAITERS or after[timeouts] != before[timeouts]:
        raise Failure("a read that waited is counted other than once, or as one that gave up")
    near("how long they waited", after[waits[1]] - before[waits[1]], WAITERS * HELD_MS / 1000)
    until(lambda: states() == (READERS, READERS, 0), "that all are free")


def codes(server):
    for code in CODES:
        labels = f'{{code="{code}"}}'
        before = scrape(server)
        server.ask(f"writes {code} 1")
        answer = server.client().request("POST", "/api/v1/events", EVENT)
        after = scrape(server)
        moved = {key: after[key] - before[key] for key in after if key[0] == "agent_memory_sqlite_errors_total" and after[key] != before[key]}
        if moved != {("agent_memory_sqlite_errors_total", labels): 1}:
            raise Failure(f"a write that met {code} was answered {answer.status} and counted as {moved}")
        until(lambda: server.client().request("GET", "/health/ready").status == 200, f"a write after {code}", 20)
    print(f"{len(CODES)} codes, each counted once and as what it is", flush=True)


def cache(server):
    """What SQLite has allocated grows by what its connections keep of the file, as the two of them say apart."""
    used = lambda now: now["agent_memory_memory_bytes", '{type="external"}']
    kept = lambda now: sum(number for (name, _), number in now.items() if name == "agent_memory_sqlite_cache_bytes")
    before = scrape(server)
    for number in range(CACHE_WRITES):
        server.client().post("/api/v1/events", EVENT | {"content": {"text": f"{number} the tide gauge stands on the pier " * 1_500}})
    grown = lambda now: kept(now) - kept(before)
    after = until(lambda: (now := scrape(server)) and grown(now) > CACHE_MB * MEGABYTE and now, f"{CACHE_MB} MB of pages that are kept")
    # Beside pages SQLite has what the index waits to write and statements, which come and go.
    near("what SQLite allocated more", used(after) - used(before), grown(after), within=0.15)


def times(server):
    """What the client's clock says and the server's may differ when others keep the client from looking at it: that is tried
    again, and what is counted wrong is not."""
    for _ in range(TRIES):
        told, took = timed(server)
        if abs(told / took - 1) <= NEAR:
            break
    near("the sum of times", told, took)


def timed(server):
    path = '{method="GET",path="/api/v1/events"}'
    family = "agent_memory_http_request_duration_seconds"
    before, took, client = scrape(server), 0.0, server.client()
    for _ in range(SLOW_READS):
        server.ask(f"slow-reads {SLOW_MS} 1")
        began = time.monotonic()
        client.call("GET", "/api/v1/events")
        took += time.monotonic() - began
    after = scrape(server)
    for bound, wanted in (("0.2", 0), ("+Inf", SLOW_READS)):
        labels = path.replace("}", f',le="{bound}"}}')
        if after[f"{family}_bucket", labels] - before[f"{family}_bucket", labels] != wanted:
            raise Failure(f"not {wanted} of {SLOW_READS} requests are in the bucket {bound}")
    return after[f"{family}_sum", path] - before[f"{family}_sum", path], took


def main():
    with tempfile.TemporaryDirectory() as folder, FaultyServer(build(), f"{folder}/memory.db", ("--readers", READERS, "--redact", "off")) as server:
        # It reads with what is asked for below, too.
        server.ask("sampler off")
        for check in (memory, pool, cache, times, codes):
            check(server)
        if code := server.stop():
            raise Failure(f"the server ended with status {code}\n{server.log_tail()}")


if __name__ == "__main__":
    run(main)
