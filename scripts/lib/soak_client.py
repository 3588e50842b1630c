"""One client of the soak: a process with one connection that does what an agent does, and remembers what it was told."""

import collections
import pickle
import random
import socket
import time
import uuid

import server
from server import Failure

# From one request to the next, on average: eight clients then make some hundred requests a second, which two cores serve
# with room to spare. A client that does not rest would measure itself.
REST_S = 0.006
# Each list, and under which name and key its items stand.
LISTS = {
    "events": ("/api/v1/events", "events", "event_id"),
    "handoffs": ("/api/v1/handoffs", "handoffs", "handoff_id"),
    "decisions": ("/api/v1/decisions", "decisions", "decision_id"),
    "notes": ("/api/v1/knowledge", "knowledge", "note_id"),
}
PREFIX = {"events": "evt_", "handoffs": "sh_", "decisions": "dec_", "notes": "kn_"}
WORDS = (
    "harbour gauge tide table import station parser index queue writer reader budget token session handoff wake deploy "
    "rollback migration schema cursor limit header timeout retry socket thread latency median disk page cache commit "
    "branch review release changelog flag default tenant project query ranking stem passage window"
).split()
BATCH = 20


class Refused(Exception):
    """503 with Retry-After: announced, and nothing was done."""


class Client:
    def __init__(self, number, port, began):
        self.number, self.port, self.began = number, port, began
        self.http = server.Client(port)
        self.dice = random.Random(number)
        self.acknowledged = {kind: set() for kind in LISTS}
        self.forgotten = {kind: set() for kind in LISTS}
        self.unsure = {kind: set() for kind in LISTS}
        # What may be read or forgotten: a window, so that choosing stays cheap.
        self.recent = {kind: collections.deque(maxlen=500) for kind in LISTS}
        self.statuses, self.times, self.surprises = collections.Counter(), collections.defaultdict(list), []
        self.turn = 0

    def text(self, words):
        drawn = " ".join(self.dice.choices(WORDS, k=words))
        return f"{drawn} {self.dice.getrandbits(40):010x}"

    def new(self, kind):
        return PREFIX[kind] + uuid.UUID(int=self.dice.getrandbits(128)).hex

    def ask(self, action, expected, method, path, body=None, headers=None):
        """One request, timed; an answer of another status than expected is a surprise."""
        begun = time.monotonic()
        answer = self.http.request(method, path, body, headers=headers)
        self.times[action].append((begun - self.began, (time.monotonic() - begun) * 1000))
        self.statuses[action, answer.status] += 1
        if answer.status == 503 and answer.headers.get("Retry-After"):
            raise Refused
        if answer.status not in expected:
            self.surprises.append(f"{action}: {answer.request} answered {answer.status}: {answer.text[:300]}")
        return answer

    def write(self, action, path, kind, ids, body, headers=None):
        """A write of rows with these ids; what is not acknowledged may have happened."""
        self.unsure[kind].update(ids)
        try:
            answer = self.ask(action, (201, 207), "POST", path, body, headers)
        except Refused:
            self.unsure[kind].difference_update(ids)
            raise
        if answer.status != 408:
            self.unsure[kind].difference_update(ids)
        if answer.status in (201, 207):
            failed = answer.json()["failed"] if answer.status == 207 else 0
            if failed:
                self.surprises.append(f"{failed} of a batch failed: {answer.text[:300]}")
                return
            self.acknowledged[kind].update(ids)
            self.recent[kind].extend(ids)

    def event(self, text):
        session = f"soak-{self.number}-{self.turn // 200}"
        return {"event_id": self.new("events"), "session_id": session, "channel": "team", "kind": "message",
                "actor": {"type": "agent", "id": f"agent-{self.number}"}, "content": {"text": text}}

    def record(self):
        event = self.event(self.text(40))
        self.write("event", "/api/v1/events", "events", [event["event_id"]], event)

    def record_batch(self):
        events = [self.event(self.text(40)) for _ in range(BATCH)]
        self.write("batch", "/api/v1/events/batch", "events", [event["event_id"] for event in events],
                   server.as_ndjson(events), {"Content-Type": "application/x-ndjson"})

    def record_long(self):
        event = self.event(self.text(12_000))
        self.write("long event", "/api/v1/events", "events", [event["event_id"]], event)

    def hand_off(self):
        body = {"handoff_id": self.new("handoffs"), "session_id": f"soak-{self.number}-{self.turn}", "with_whom": "Ada",
                "learned": self.text(25), "remember": self.text(25), "becoming": self.text(10)}
        self.write("handoff", "/api/v1/handoff", "handoffs", [body["handoff_id"]], body)

    def decide(self):
        body = {"decision_id": self.new("decisions"), "decision": self.text(20), "rationale": [self.text(20)]}
        self.write("decision", "/api/v1/decisions", "decisions", [body["decision_id"]], body)

    def note(self):
        body = {"note_id": self.new("notes"), "content": self.text(30), "tags": ["soak"]}
        self.write("note", "/api/v1/knowledge", "notes", [body["note_id"]], body)

    def forget(self):
        kind = self.dice.choice([kind for kind in LISTS if self.recent[kind]])
        recent = self.recent[kind]
        row = recent[self.dice.randrange(len(recent))]
        recent.remove(row)
        self.unsure[kind].add(row)
        try:
            answer = self.ask("forget", (204,), "DELETE", f"{LISTS[kind][0]}/{row}")
        except Refused:
            self.unsure[kind].discard(row)
            recent.append(row)
            raise
        if answer.status == 204:
            self.unsure[kind].discard(row)
            self.forgotten[kind].add(row)

    def read(self):
        kind = self.dice.choice(list(LISTS))
        if self.recent[kind]:
            row = self.recent[kind][-1]
            self.ask("read", (200,), "GET", f"{LISTS[kind][0]}/{row}")

    def list(self):
        self.ask("list", (200,), "GET", f"{self.dice.choice(list(LISTS.values()))[0]}?limit=50&order=desc")

    def wake_up(self):
        self.ask("wake-up", (200,), "GET", "/api/v1/wake-up?with_whom=Ada")

    def recall(self):
        self.ask("recall", (200,), "POST", "/api/v1/recall", {"query": self.text(5)})

    def context(self):
        self.ask("context", (200,), "POST", "/api/v1/context", {"query_text": self.text(5), "max_tokens": 2000})

    def nonsense(self):
        method, path, body, status = self.dice.choice([
            ("POST", "/api/v1/events", b"{broken", 400),
            ("POST", "/api/v1/events", {"session_id": 5}, 422),
            ("POST", "/api/v1/recall", {"query": "x", "colour": "red"}, 422),
            ("GET", "/api/v1/events?limit=0", None, 422),
            ("GET", "/api/v1/events/evt_" + "0" * 32, None, 404),
            ("GET", "/nowhere", None, 404),
            ("PUT", "/api/v1/events", None, 405),
        ])
        self.ask("nonsense", (status,), method, path, body)

    def break_off(self):
        """Half a request, or no HTTP at all, and gone."""
        half = b"POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n{"
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as wire:
            wire.sendall(self.dice.choice([half, half[:30], b"\x16\x03\x01 what?\r\n\r\n"]))

    def work(self, until):
        mix = {
            self.record: 30, self.record_batch: 4, self.record_long: 0.2, self.hand_off: 5, self.decide: 3, self.note: 3,
            self.forget: 5, self.read: 18, self.list: 6, self.wake_up: 10, self.recall: 4, self.context: 2,
            self.nonsense: 2, self.break_off: 1,
        }
        actions, weights = list(mix), list(mix.values())
        self.note(), self.hand_off(), self.decide(), self.record()
        while time.monotonic() < until:
            self.turn += 1
            try:
                self.dice.choices(actions, weights)[0]()
            except Refused:
                time.sleep(1)
            except (Failure, OSError) as error:
                self.surprises.append(f"no answer: {error}")
                if len(self.surprises) > 100:
                    raise
            time.sleep(self.dice.expovariate(1 / REST_S))


def run(number, port, began, until, folder):
    client = Client(number, port, began)
    client.work(until)
    told = {name: getattr(client, name) for name in ("acknowledged", "forgotten", "unsure", "statuses", "surprises")}
    told["times"] = dict(client.times)
    (folder / f"client-{number}.pickle").write_bytes(pickle.dumps(told))


def load(folder, number):
    return pickle.loads((folder / f"client-{number}.pickle").read_bytes())
