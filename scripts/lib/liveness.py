"""Moves every family of metrics that a server exports, and fails if one never moved.

usage: [AGENT_MEMORY_FAULT_BIN=FILE] liveness.py

Works with a server as its users do, breaks it on purpose where only a fault moves a series, kills it and starts it again.
A family has moved if any of its series had two values. CONSTANT says which cannot, and why; a family that stands there and
moved all the same is a failure too. AS_IT_COMES says which need not.
"""

import concurrent.futures
import contextlib
import json
import pathlib
import resource
import socket
import sqlite3
import struct
import subprocess
import tempfile
import time

from export_file import STAMP, ExportFile
from faults import FaultyServer, build
from server import EVENT, Failure, read_metrics, run, until

# Each is a setting, a size of the machine, or what the build is.
CONSTANT = {
    "agent_memory_backup_interval_seconds": "a setting",
    "agent_memory_build_info": "what was built",
    "agent_memory_db_pool_max_connections": "a setting",
    "agent_memory_filesystem_size_bytes": "the size of the disk",
    "agent_memory_memory_limit_bytes": "a setting of the machine",
    "agent_memory_redaction_enabled": "a setting",
    "agent_memory_retention_age_seconds": "a setting",
    "agent_memory_sqlite_page_size_bytes": "part of the file's format",
    "agent_memory_write_queue_capacity": "compiled in",
    "process_max_fds": "a setting of the machine",
}
# May move, and need not: nothing that a client does makes it.
AS_IT_COMES = {
    "process_major_page_faults_total": "the kernel reads a page from the disk when it had to give it up",
    "agent_memory_consolidation_in_progress": "jobs of a small memory end between two scrapes",
    "agent_memory_consolidation_next_run_timestamp_seconds": "moves when a round was due",
}
# Longest wait for something that has to happen: the sampler comes every 10 s.
PATIENCE_S = 25
# More writes than can wait, each on a connection of its own.
CROWD = 1_400
FLAGS = (
    "--readers", "2", "--workers", "2", "--max-connections", "1500",
    "--max-body", "40000000", "--max-artifact", "40000000", "--retain-events", "3650d",
)


class Watch:
    """Every scrape, and which families had two values."""

    def __init__(self):
        self.types, self.first, self.moved = {}, {}, set()

    def scrape(self, server):
        client = server.client()
        values, types = read_metrics(client.call("GET", "/metrics").text)
        self.types |= types
        for series, value in values.items():
            if self.first.setdefault(series, value) != value:
                self.moved.add(self.family(series[0]))
        return values

    def family(self, name):
        if name in self.types:
            return name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.removesuffix(suffix) in self.types:
                return name.removesuffix(suffix)
        raise Failure(f"{name} has no type")

    def until(self, server, what, holds):
        """Scrapes until something holds."""
        return until(lambda: holds(values := self.scrape(server)) and values, what, PATIENCE_S)


def event(text, **over):
    return EVENT | {"content": {"text": text}} | over


def use(client):
    """What users do."""
    for kind in ("message", "tool_call", "tool_result", "decision", "task_update", "artifact"):
        client.post("/api/v1/events", event(f"the tide gauge was read for the {kind}", kind=kind))
    client.post_batch([event(f"reading {number} of the tide gauge") for number in range(200)])
    key = "-".join(["sk", "ant", "api03", "Zq7Xw9Lk2Mv4" * 3])
    recorded = client.post("/api/v1/events", event(f"the key is {key}"))
    handoff = {"session_id": "s", "with_whom": "Ada", "learned": "tides", "becoming": "careful"}
    client.post("/api/v1/handoff", {**handoff, "remember": "the gauge is read at noon"})
    decided = client.post("/api/v1/decisions", {"decision": "read the gauge at noon"})["decision_id"]
    client.post(f"/api/v1/decisions/{decided}/supersede", {"decision": "read the gauge at dawn"})
    note = client.post("/api/v1/knowledge", {"content": "the gauge stands on the pier"})["note_id"]
    client.call("PATCH", f"/api/v1/knowledge/{note}", {"pinned": True})
    client.post("/api/v1/session/start", {"session_id": "t", "with_whom": "Ada"})
    for query in ("tide gauge", "xylographer"):
        client.post("/api/v1/recall", {"query": query})
    client.get("/api/v1/wake-up", with_whom="Ada")
    client.get("/api/v1/identity-thread")
    context = {"session_id": "s", "agent_id": "a", "channel": "private", "intent": "read the gauge", "query_text": "tide gauge"}
    client.post("/api/v1/context", context)
    for listed in ("events", "handoffs", "decisions", "knowledge", "sessions", "projects", "stats"):
        client.get(f"/api/v1/{listed}")
    client.call("GET", "/health/detailed")
    client.call("GET", "/api/v1/export/all")
    called = {"name": "recall", "arguments": {"query": "tide gauge"}}
    client.call("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": called})
    with tempfile.NamedTemporaryFile() as file:
        client.call("POST", "/api/v1/import", conclusions(file.name), headers={"Content-Type": "application/x-ndjson"})
    client.call("DELETE", f"/api/v1/events/{recorded['event_id']}")


def conclusions(path):
    """A reflection and a principle, which come in by an import alone."""
    out = ExportFile(path)
    out.counts |= {"reflections": 1, "principles": 1}
    shared = {"tenant_id": "default", "sensitivity": "none", "created_at": STAMP}
    out.write([json.dumps(row) for row in (
        {"type": "reflection", "reflection_id": f"refl_{1:032x}", "period_start": "2025-12-31T00:00:00.000Z", "period_end": STAMP,
         "session_count": 1, "summary": "the gauge was read", "insights": [], "themes": [], **shared},
        {"type": "principle", "principle_id": f"prin_{1:032x}", "text": "read the gauge before speaking of the tide",
         "source_handoffs": [], "count": 1, "updated_at": STAMP, **shared},
    )])
    out.close()
    return pathlib.Path(path).read_bytes()


def misuse(server):
    """What users should not do: each is refused, and a family says so."""
    client = server.client()
    for method, path, body in (
        ("POST", "/api/v1/events", b"{"), ("POST", "/api/v1/events", {"kind": "nonsense"}), ("GET", "/no/such/route", None),
        ("PUT", "/api/v1/events", None), ("BREW", "/api/v1/events", None), ("GET", "/api/v1/events/evt_nothing", None),
    ):
        client.request(method, path, body)
    client.request("GET", "/api/v1/events", headers={"Host": "evil.example"})
    # Gone before the answer, by a reset: a client that only stops sending may still read.
    server.ask("slow-reads 500 1")
    with raw(server) as gone:
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(request("GET", "/api/v1/events"))
        time.sleep(0.1)
    time.sleep(0.6)


def consolidate(server, watch):
    """An old handoff is shown in a shorter form."""
    client = server.client()
    client.post("/api/v1/handoff", {
        "session_id": "old", "with_whom": "Ada", "created_at": STAMP,
        "experienced": "The tide gauge was opened on the pier. The float was stuck for two days. " * 20})
    client.post("/api/v1/consolidation/run", {})
    name = "agent_memory_consolidation_tokens_saved_total"
    watch.until(server, "tokens to be saved", lambda now: value(now, name, job_type="handoff_compression") > 0)


def raw(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def request(method, path, body=b""):
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def break_it(server, watch):
    """What only faults move."""
    client = server.client()

    server.ask("writes full 1")
    refused(client.request("POST", "/api/v1/events", event("no room")), 503)
    watch.until(server, "a store that cannot be written", lambda now: value(now, "agent_memory_up") == 0)
    watch.until(server, "the proof that it can", lambda now: value(now, "agent_memory_up") == 1)
    if value(watch.scrape(server), "agent_memory_writes_dropped_total", reason="failed") != 1:
        raise Failure("a write that was taken in and not stored is not counted as that")

    server.ask("reads ioerr 1")
    watch.until(server, "a store that cannot be read", lambda now: value(now, "agent_memory_up") == 0)
    watch.until(server, "the next read", lambda now: value(now, "agent_memory_up") == 1)

    for asked in ("panic 1", "panic-blocking 1"):
        server.ask(asked)
        # A connection may end with its handler.
        with contextlib.suppress(Failure):
            server.client().request("GET", "/api/v1/events")
            server.client().request("POST", "/api/v1/recall", {"query": "tide gauge"})

    stall(server, watch)

    # Both connections are kept for longer than a read waits for one.
    server.ask("slow-reads 4000 2")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        reads = [pool.submit(server.client().request, "GET", "/api/v1/events") for _ in range(6)]
        watch.until(server, "reads that wait", lambda now: value(now, "agent_memory_db_pool_connections", state="waiting") > 0)
        watch.until(server, "an old read", lambda now: value(now, "agent_memory_sqlite_oldest_reader_seconds") > 1)
        watch.until(server, "a read that waited in vain", lambda now: value(now, "agent_memory_db_pool_timeouts_total", role="reader") > 0)
        concurrent.futures.wait(reads)

    # More than are admitted (four for each connection): the others queue before the pool.
    server.ask("slow-reads 300 4")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        concurrent.futures.wait([pool.submit(server.client().request, "GET", "/api/v1/events") for _ in range(20)])

    crowd(server, watch)

    # Another program keeps the lock of the file.
    held = sqlite3.connect(server.db, isolation_level=None)
    held.execute("begin immediate")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        written = pool.submit(server.client().request, "POST", "/api/v1/events", event("after the other program"))
        watch.until(server, "tries for the lock", lambda now: value(now, "agent_memory_sqlite_busy_retries_total") > 0)
        held.execute("rollback")
        refused(written.result(), 201)

    spool(server, watch, held)

    # What an index gives has to be sorted without it.
    indexes = [row[0] for row in held.execute("select sql from sqlite_schema where name = 'event_by_time'")]
    held.execute("drop index event_by_time")
    end = time.monotonic() + PATIENCE_S
    while not value(watch.scrape(server), "agent_memory_sqlite_sorts_total", role="reader"):
        client.get("/api/v1/events")
        if time.monotonic() > end:
            raise Failure("a lost index shows nowhere")
        time.sleep(0.15)
    held.execute(indexes[0])

    # More than the writer's cache holds.
    client.post("/api/v1/events", event("tide " * 5_000_000))

    server.ask("look")
    name = "agent_memory_sqlite_integrity_last_success_timestamp_seconds"
    watch.until(server, "a look at the whole file", lambda now: value(now, name) > 0)
    held.execute("update stat set value = value + 7 where name = 'events' and label = 'message'")
    server.ask("look")
    watch.until(server, "a count that is wrong", lambda now: value(now, "agent_memory_stat_drift_rows") > 0)
    held.execute("update stat set value = value - 7 where name = 'events' and label = 'message'")
    server.ask("look")
    watch.until(server, "counts that are right", lambda now: value(now, "agent_memory_stat_drift_rows") == 0)
    held.close()

    server.ask("allocate 200000000")
    watch.scrape(server)
    server.ask("free")

    name = "agent_memory_sampler_last_run_timestamp_seconds"
    server.ask("sampler off")
    time.sleep(0.5)
    before = value(watch.scrape(server), name)
    time.sleep(11)
    if value(watch.scrape(server), name) != before:
        raise Failure("the sampler that was stopped ran")
    server.ask("sampler on")
    watch.until(server, "the sampler", lambda now: value(now, name) > before)


def spool(server, watch, held):
    """A hook that cannot store, the next one that can, and a line that nobody can read."""
    session = pathlib.Path(f"{server.db}.session.jsonl")
    said = {"type": "user", "uuid": "u1", "timestamp": STAMP, "message": {"content": "read the gauge at dawn"}}
    session.write_text(json.dumps(said) + "\n")
    told = json.dumps({"session_id": "hooked", "transcript_path": str(session), "cwd": str(session.parent)})
    hook = [str(server.binary), "--db", str(server.db), "hook"]
    held.execute("begin immediate")
    subprocess.run([*hook, "stop"], input=told, text=True, check=True, capture_output=True)
    waits = lambda now: value(now, "agent_memory_spool_bytes") > 0
    watch.until(server, "what a hook could not store", waits)
    held.execute("rollback")
    with open(f"{server.db}.spool", "a", encoding="utf-8") as lines:
        lines.write("not a line of ours\n")
    subprocess.run([*hook, "replay"], text=True, check=True, capture_output=True)
    stored = lambda now: all(
        value(now, f"agent_memory_spool_{what}_total") > 0 for what in ("replayed", "dropped")
    ) and not waits(now)
    watch.until(server, "what waited to be stored", stored)


def copy(server, watch):
    """A copy by hand, and an event that the next start takes out for its age."""
    command = [str(server.binary), "--db", str(server.db), "backup", f"{server.db}.copy"]
    subprocess.run(command, check=True, capture_output=True)
    made = lambda now: value(now, "agent_memory_backups_total", outcome="completed") > 0
    watch.until(server, "a copy that was made beside the server", made)
    server.client().post("/api/v1/events", event("long ago", ts="2000-01-01T00:00:00Z"))


def stall(server, watch):
    """Keeps one worker from all else, and asks the other one."""
    name = "agent_memory_workers"
    for _ in range(5):
        server.ask("block 3000 1")
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            pool.submit(server.client().request, "GET", f"/api/v1/events/evt_{1:032x}")
            time.sleep(1.5)
            seen = list(pool.map(lambda _: watch.scrape(server), range(4)))
        if any(value(now, name, state="stalled") for now in seen):
            return
    raise Failure("no scrape saw a worker that was stalled")


def crowd(server, watch):
    """More writes than can wait, while a slow one keeps the writer."""
    server.ask("slow-writes 5000 1")
    body = json.dumps(event("one of many")).encode()
    with contextlib.ExitStack() as open_until_the_end:
        for _ in range(CROWD):
            writing = open_until_the_end.enter_context(raw(server))
            writing.sendall(request("POST", "/api/v1/events", body))
        name = "agent_memory_writes_rejected_total"
        watch.until(server, "a write that was turned away", lambda now: value(now, name, reason="queue_full") > 0)
        watch.until(server, "an empty queue", lambda now: value(now, "agent_memory_write_queue_depth") == 0)
        # One more than there may be.
        with contextlib.ExitStack() as too_many:
            with contextlib.suppress(OSError):
                for _ in range(200):
                    too_many.enter_context(raw(server)).sendall(b"G")
            time.sleep(0.3)


def value(values, name, **labels):
    found = [
        number for (series, text), number in values.items()
        if series == name and all(f'{label}="{word}"' in text for label, word in labels.items())
    ]
    if len(found) != 1:
        raise Failure(f"{len(found)} series are {name} {labels}")
    return found[0]


def refused(answer, status):
    if answer.status != status:
        raise Failure(f"{answer.request} answered {answer.status} and not {status}: {answer.text[:500]}")


def give_back(server, watch):
    """A long text that is forgotten leaves free pages in the file."""
    client = server.client()
    long = client.post("/api/v1/events", event("a long watch at the gauge " * 20_000))
    client.call("DELETE", f"/api/v1/events/{long['event_id']}")
    watch.until(server, "free pages", lambda values: value(values, "agent_memory_sqlite_freelist_pages") > 0)


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2 * CROWD + 500), hard), hard))
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, FaultyServer(build(), f"{folder}/memory.db", FLAGS) as server:
        watch.scrape(server)
        use(server.client())
        watch.scrape(server)
        give_back(server, watch)
        consolidate(server, watch)
        misuse(server)
        watch.scrape(server)
        break_it(server, watch)
        copy(server, watch)
        server.process.kill()
        server.process.wait()
        server.start()
        watch.until(server, "what is too old to go", lambda now: value(now, "agent_memory_retention_events_total") > 0)
        if server.stop() != 0:
            raise Failure(f"the server did not end in order\n{server.log_tail()}")
    families = set(watch.types)
    still = sorted(families - watch.moved - set(CONSTANT) - set(AS_IT_COMES))
    wrong = sorted(set(CONSTANT) & watch.moved | (set(CONSTANT) | set(AS_IT_COMES)) - families)
    print(f"{len(families)} families: {len(watch.moved)} moved, {len(families & set(CONSTANT))} cannot, {len(families & set(AS_IT_COMES))} need not")
    if still or wrong:
        raise Failure(f"never moved: {', '.join(still) or 'none'}; said to be constant and are not, or are not there: {', '.join(wrong) or 'none'}")


if __name__ == "__main__":
    run(main)
