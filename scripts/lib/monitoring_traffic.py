"""What agents do to a server, a little of everything, for as long as it is asked; and a crowd that is too much for it."""

import json
import pathlib
import random
import resource
import subprocess
import time

from server import Beside, Client, Failure, ROOT

WORDS = "ferry harbour invoice retry migration index cursor lock ledger sensor tide beacon deploy rollback schema cache".split()


class Traffic(Beside):
    """One thread of mixed requests, until the `with` block ends. A server that is down meanwhile is nothing to it."""

    def __init__(self, port, pause=0.02):
        super().__init__()
        self.port, self.pause = port, pause
        self.rounds = 0
        # What the client waited for: when, method, route, how long.
        self.took = []

    def work(self):
        client = Client(self.port, None)
        while not self.stopping.is_set():
            for method, path, body in self.round():
                if self.stopping.wait(self.pause):
                    return
                began = time.monotonic()
                try:
                    client.request(method, path, body)
                    self.took.append((time.time(), method, path.partition("?")[0], time.monotonic() - began))
                except Failure:
                    self.stopping.wait(0.2)
            self.rounds += 1

    def round(self):
        number, say = self.rounds, lambda count: " ".join(random.choices(WORDS, k=count))
        session = f"session-{number // 20}"
        actor = {"type": "agent", "id": "tester"}
        event = {"session_id": session, "channel": "private", "actor": actor}
        yield "POST", "/api/v1/events", event | {"kind": "message", "content": {"text": say(30) + f" {number}"}}
        yield "POST", "/api/v1/events", event | {"kind": "tool_call", "content": {"tool": "grep", "args": {"q": say(3)}}}
        yield "POST", "/api/v1/events/batch", [event | {"kind": "message", "content": {"text": say(20)}} for _ in range(20)]
        yield "POST", "/api/v1/recall", {"query": say(3)}
        yield "GET", "/api/v1/search?q=zyxxyzqq", None
        yield "GET", "/api/v1/wake-up?with_whom=Ada", None
        yield "POST", "/api/v1/context", {"query_text": say(4), "session_id": session}
        yield "GET", f"/api/v1/events?session_id={session}&limit=5", None
        yield "GET", "/health", None
        if number % 5 == 0:
            yield "POST", "/api/v1/handoff", {"session_id": session, "with_whom": "Ada", "learned": say(20), "remember": say(5)}
            yield "POST", "/api/v1/decisions", {"decision": say(8)}
            yield "POST", "/api/v1/knowledge", {"text": say(12)}
            yield "GET", "/no/such/route", None
            yield "POST", "/api/v1/recall", {"query": 5}
            yield "PUT", "/api/v1/events", {}
            yield "POST", "/api/v1/events", event | {"kind": "message", "content": {"text": "key sk-ant-api03-" + "A" * 90}}
            yield "GET", "/api/v1/export/all", None
        # Once: a round that a crowd keeps from its connection fails, and two of them are an alert.
        if number == 0:
            yield "POST", "/api/v1/consolidation/run", {}


def batch_of(start, count):
    """Events of many sessions, of words that searches ask for."""
    return [
        {"session_id": f"before-{number // 200}", "channel": "private", "actor": {"type": "agent", "id": "tester"}, "kind": "message",
         "content": {"text": " ".join(random.choices(WORDS, k=25)) + f" {number}"}}
        for number in range(start, start + count)
    ]


def crowd(port, folder, connections, seconds):
    """More searches at once than there is a connection for, from wrk. Gives how many were answered, and how many of them badly."""
    lines = pathlib.Path(folder) / "crowd.txt"
    with open(lines, "w") as file:
        for _ in range(200):
            file.write(f"POST /api/v1/recall {json.dumps({'query': ' '.join(random.choices(WORDS, k=12)), 'limit': 50})}\n")
    # A connection is a file; what this starts inherits the limit.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    started = time.monotonic()
    done = subprocess.run(
        ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-s", str(ROOT / "scripts/lib/wrk.lua"),
         f"http://127.0.0.1:{port}", "--", "requests", str(lines), "1"],
        capture_output=True, text=True, timeout=seconds + 60,
    )
    if done.returncode:
        raise Failure(f"wrk: {done.stderr}")
    return done.stdout.strip().splitlines()[-1], time.monotonic() - started
