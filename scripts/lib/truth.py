"""Ten thousand random operations, many of which fail, and then every count against counting.

usage: [AGENT_MEMORY_FAULT_BIN=FILE] truth.py [OPERATIONS]

Several clients record, change, supersede and forget at once, send what is refused, and lose writes to faults of the store.
Then what the metrics say is held against `group by` over the stopped server's file, and answers against requests.
"""

import collections
import concurrent.futures
import random
import re
import sqlite3
import sys
import tempfile
import threading

from faults import FaultyServer, build
from server import Failure, read_metrics, run

OPERATIONS = 10_000
CLIENTS = 8
# Which operation comes how often; what is forgotten or changed was made before by the same client.
WEIGHTS = {
    "event": 30, "batch": 3, "handoff": 10, "decision": 10, "supersede": 4, "note": 10, "patch": 5, "forget": 12,
    "twice": 4, "refused": 6, "nowhere": 3, "recall": 3,
}
# A fault for each so many operations of the first client.
FAULT_EVERY = 40
KINDS = ["message", "tool_call", "tool_result", "decision", "task_update", "artifact"]
# Codes of the file (src/domain/vocabulary.rs) behind the labels.
LEVELS = ["full", "summary", "quick_ref", "integrated"]
STATUSES = ["active", "superseded"]
LABEL = re.compile(r'(\w+)="([^"]*)"')


class Talker:
    """One client, and what it knows to be there."""

    def __init__(self, server, number, answers, lock):
        self.server, self.client = server, server.client(f"tenant-{number}")
        self.dice, self.number = random.Random(number), number
        self.known = []
        self.decisions, self.notes = [], []
        self.answers, self.lock = answers, lock

    def send(self, method, path, body=None, route=None, **headers):
        answer = self.client.request(method, path, body, headers=headers)
        with self.lock:
            self.answers[method, route or path, str(answer.status)] += 1
        if answer.status >= 500 and answer.status != 503:
            raise Failure(f"{answer.request} answered {answer.status}: {answer.text[:500]}")
        return answer

    def event(self, kind=None):
        text = "".join(self.dice.choices("abcdefgh äöü漢", k=self.dice.randint(1, 200)))
        return {
            "session_id": f"s{self.dice.randrange(20)}", "channel": "private", "actor": {"type": "agent", "id": "a"},
            "kind": kind or self.dice.choice(KINDS), "content": {"text": text},
        }

    def made(self, path, body, key, plural):
        answer = self.send("POST", f"/api/v1/{path}", body)
        if answer.status == 201:
            self.known.append((plural, answer.json()[key]))
            return answer.json()[key]
        return None

    def do(self, what):
        if what == "event":
            self.made("events", self.event(), "event_id", "events")
        elif what == "batch":
            items = [self.event("nonsense" if self.dice.random() < 0.2 else None) for _ in range(self.dice.randint(1, 20))]
            self.send("POST", "/api/v1/events/batch", items)
        elif what == "handoff":
            body = {"session_id": f"s{self.dice.randrange(20)}", "with_whom": "Ada", "learned": "tides", "becoming": "x" * self.dice.randrange(9)}
            if self.dice.random() < 0.5:
                body["remember"] = self.dice.choice(["", "the tide turns at noon"])
            self.made("handoff", body, "handoff_id", "handoffs")
        elif what == "decision":
            made = self.made("decisions", {"decision": f"decide {self.dice.random()}", "rationale": ["é"]}, "decision_id", "decisions")
            self.decisions += [made] if made else []
        elif what == "supersede" and self.decisions:
            old = self.dice.choice(self.decisions)
            answer = self.send("POST", f"/api/v1/decisions/{old}/supersede", {"decision": "another"}, "/api/v1/decisions/{id}/supersede")
            if answer.status == 201:
                self.decisions.remove(old)
        elif what == "note":
            made = self.made("knowledge", {"content": f"note {self.dice.random()}"}, "note_id", "knowledge")
            self.notes += [made] if made else []
        elif what == "patch" and self.notes:
            self.send("PATCH", f"/api/v1/knowledge/{self.dice.choice(self.notes)}", {"content": "z" * self.dice.randint(1, 99)}, "/api/v1/knowledge/{id}")
        elif what == "forget" and self.known:
            plural, known = self.known.pop(self.dice.randrange(len(self.known)))
            self.send("DELETE", f"/api/v1/{plural}/{known}", route=f"/api/v1/{plural}/{{id}}")
        elif what == "twice":
            body = {**self.event(), "event_id": f"evt_{self.number:016x}{self.dice.randrange(40):016x}"}
            self.send("POST", "/api/v1/events", body)
        elif what == "refused":
            self.send("POST", "/api/v1/events", self.event("nonsense"))
        elif what == "nowhere":
            self.send("DELETE", f"/api/v1/events/evt_{self.dice.getrandbits(128):032x}", route="/api/v1/events/{id}")
        elif what == "recall":
            self.send("POST", "/api/v1/recall", {"query": self.dice.choice(["tides", "xylographer", "note"])})

    def work(self, count):
        for turn in range(count):
            if self.number == 0 and turn % FAULT_EVERY == 0:
                self.server.ask(f"writes {self.dice.choice(['full', 'ioerr', 'busy'])} 1")
            self.do(self.dice.choices(list(WEIGHTS), WEIGHTS.values())[0])


def counted(db):
    """What the metrics should say of what is stored, by counting."""
    file = sqlite3.connect(f"file:{db}?mode=ro", uri=True)
    expected = {}

    def split(name, label, words, table, column):
        found = dict(file.execute(f"select {column}, count(*) from {table} group by {column}"))
        for code, word in enumerate(words):
            expected[name, f'{{{label}="{word}"}}'] = found.get(code, 0)

    split("agent_memory_events", "kind", KINDS, "event", "kind")
    split("agent_memory_handoffs", "compression_level", LEVELS, "handoff", "compression_level")
    split("agent_memory_decisions", "status", STATUSES, "decision", "status")
    for name, table in (("agent_memory_knowledge_notes", "note"), ("agent_memory_sessions", "session")):
        expected[name, ""] = file.execute(f"select count(*) from {table}").fetchone()[0]
    remembered = "select count(*) from handoff where remember <> ''"
    expected["agent_memory_handoffs_to_remember", ""] = file.execute(remembered).fetchone()[0]
    return expected


def main():
    operations = int(sys.argv[1]) if len(sys.argv) > 1 else OPERATIONS
    answers, lock = collections.Counter(), threading.Lock()
    with tempfile.TemporaryDirectory() as folder, FaultyServer(build(), f"{folder}/memory.db") as server:
        talkers = [Talker(server, number, answers, lock) for number in range(CLIENTS)]
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(talker.work, operations // CLIENTS) for talker in talkers]:
                done.result()
        values, _ = read_metrics(server.client().call("GET", "/metrics").text)
        if server.stop() != 0:
            raise Failure(f"the server did not end in order\n{server.log_tail()}")
        wrong = [
            f"{name}{labels} is {values.get((name, labels))} and should be {count}"
            for (name, labels), count in counted(server.db).items() if values.get((name, labels)) != count
        ]
    requests = {}
    for (name, labels), count in values.items():
        if name == "agent_memory_http_requests_total" and count:
            label = dict(LABEL.findall(labels))
            requests[label["method"], label["path"], label["status"]] = count
    for (method, path, status), count in answers.items():
        if requests.get((method, path, status)) != count:
            wrong.append(f"{method} {path} was answered {status} {count} times and counted {requests.get((method, path, status))} times")
    told = [count for (name, _), count in values.items() if name == "agent_memory_handoffs_to_remember"]
    stored = sum(count for (name, _), count in values.items() if name == "agent_memory_handoffs")
    if not told or not 0 < told[0] < stored:
        wrong.append(f"{told} of {stored} handoffs say what to remember, so nothing is known of those that do or do not")
    statuses = collections.Counter()
    for (_, _, status), count in answers.items():
        statuses[status] += count
    print(f"{sum(statuses.values())} requests, by status: {dict(sorted(statuses.items()))}")
    for needed in ("201", "404", "409", "422", "503"):
        if not statuses[needed]:
            wrong.append(f"no request was answered {needed}, so nothing is known of it")
    if wrong:
        raise Failure("\n".join(wrong))


if __name__ == "__main__":
    run(main)
