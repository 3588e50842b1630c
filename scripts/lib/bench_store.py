"""The servers that scripts/bench measures, and how their files are filled."""

import http.client
import json
import queue
import random
import threading
import time

import bench_machine as machine
import bench_text
import server
from server import Failure

BATCH = 1_000
# Two cores are busy with six connections, the generator of the texts included.
SENDERS = 6
# Of what is stored, so many events are remembered here to ask for them.
SAMPLE = 800
# A store of N events holds N / 100 handoffs, and a few of what agents write seldom.
EVENTS_PER_HANDOFF = 100
DECISIONS, NOTES, PINNED = 40, 40, 5
PROGRESS_S = 10


class TimedServer(server.Server):
    """A server whose first answer is timed, from before the process is made."""

    first_answer_ms = None

    def start(self):
        self.began = time.perf_counter()
        super().start()

    def lives(self):
        """Asks every half millisecond for as long as the caller would have slept."""
        until = time.perf_counter() + 0.1
        while time.perf_counter() < until and self.process.poll() is None:
            if self.healthy():
                self.first_answer_ms = 1000 * (time.perf_counter() - self.began)
                return True
            time.sleep(0.0005)
        return False

    def healthy(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def end(self):
        if code := self.stop():
            raise Failure(f"the server ended with status {code}\n{self.log_tail()}")


class Store(TimedServer):
    """A server on a file that grows, and a sample of what is in it."""

    def __init__(self, binary, db, words, tell):
        super().__init__(binary, db)
        self.text = bench_text.Text(words, 1)
        self.tell = tell
        self.events = self.handoffs = 0
        self.sample, self.chance = [], random.Random(2)

    def events_counted(self):
        """What the server counts as stored."""
        values, _ = server.read_metrics(self.client().call("GET", "/metrics/prometheus").text)
        counts = [value for (name, _), value in values.items() if name == "agent_memory_events_total"]
        if not counts:
            raise Failure("GET /metrics/prometheus has no agent_memory_events_total")
        return int(sum(counts))

    def grow(self, events):
        """Stores events until there are so many, and answers how many a second that were; None if there are enough."""
        missing = events - self.events
        if missing <= 0:
            return None
        if not self.events:
            self.send(self.seldom())
        counted, began = self.events_counted(), time.monotonic()
        self.send(self.batches(events))
        took = time.monotonic() - began
        if (stored := self.events_counted() - counted) != missing:
            raise Failure(f"{missing} events were acknowledged, {stored} are counted as stored")
        return missing / took

    def grow_handoffs(self):
        """Writes the handoffs that belong to the events there are."""
        wanted = self.events // EVENTS_PER_HANDOFF
        made = [self.text.handoff(number) for number in range(self.handoffs, wanted)]
        self.handoffs = max(wanted, self.handoffs)
        self.send(("/api/v1/handoff", bench_text.compact(handoff).encode(), 1) for handoff in made)

    def rest(self):
        """Waits until the server has nothing left to do, and answers how many seconds that took."""
        return machine.rest(self.process.pid)

    def batches(self, events):
        reported = time.monotonic()
        while self.events < events:
            batch = [self.text.event(number) for number in range(self.events, min(events, self.events + BATCH))]
            for event in batch:
                self.remember(event)
            body = f"[{','.join(map(bench_text.compact, batch))}]".encode()
            yield "/api/v1/events/batch", body, len(batch)
            if time.monotonic() - reported > PROGRESS_S:
                reported = time.monotonic()
                self.tell(f"  {self.events:,} of {events:,} events")

    def remember(self, event):
        """Keeps each event in the sample with the same chance (reservoir sampling)."""
        self.events += 1
        place = len(self.sample) if len(self.sample) < SAMPLE else self.chance.randrange(self.events)
        if place < SAMPLE:
            self.sample[place : place + 1] = [event]

    def seldom(self):
        for number in range(DECISIONS):
            body = {
                "decision": self.text.finish(self.text.draw(bench_text.FIELD_WORDS)),
                "rationale": [self.text.finish(self.text.draw(bench_text.FIELD_WORDS))],
                "project_id": bench_text.PROJECTS[number % len(bench_text.PROJECTS)],
                "scope": "policy" if number < PINNED else "project",
            }
            yield "/api/v1/decisions", bench_text.compact(body).encode(), 1
        for number in range(NOTES):
            body = {
                "content": self.text.finish(self.text.draw(bench_text.EVENT_WORDS)), "pinned": number < PINNED,
                "project_id": bench_text.PROJECTS[number % len(bench_text.PROJECTS)],
            }
            yield "/api/v1/knowledge", bench_text.compact(body).encode(), 1

    def send(self, requests):
        """Posts what is made here over a few connections; the first failure ends it."""
        waiting, failures = queue.Queue(2 * SENDERS), []

        def sender():
            client = self.client()
            while (one := waiting.get()) is not None:
                try:
                    if not failures:
                        post(client, *one)
                except Failure as failure:
                    failures.append(failure)

        threads = [threading.Thread(target=sender, daemon=True) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for one in requests:
            waiting.put(one)
            if failures:
                break
        for _ in threads:
            waiting.put(None)
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]


def post(client, path, body, count):
    answer = client.call("POST", path, body, headers={"Content-Type": "application/json"})
    if path.endswith("/batch"):
        report = json.loads(answer.body)
        if (report["stored"], report["failed"]) != (count, 0):
            raise Failure(f"a batch of {count} events was answered with {answer.text[:1000]}")


class Trickle:
    """Writes one event a second, so that nothing that is cached stays valid for longer."""

    def __init__(self, store):
        self.store, self.client = store, store.client()
        self.done, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self.write, daemon=True)

    def write(self):
        text = bench_text.Text(self.store.text.words, 3)
        try:
            while not self.done.wait(1):
                self.client.post("/api/v1/events", {**text.event(0), "session_id": "trickle"})
        except Failure as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join()
        if self.failure and kind is None:
            raise self.failure
