"""Runs an agent-memory server on a free port and talks to it over one connection.

Nothing here knows what is measured or shown; scripts/demo and scripts/eval do.
"""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
# A start or a stop that takes longer than this is a fault, not a slow machine.
START_LIMIT_S = 10
STOP_LIMIT_S = 10
REQUEST_LIMIT_S = 30
# The server may close a connection that was idle for about five seconds.
IDLE_LIMIT_S = 3
# What the API takes in one batch.
BATCH_ITEMS = 1000
BATCH_BYTES = 8 * 1000 * 1000


# An event like any other, for whom it does not matter what it says.
EVENT = {
    "session_id": "s", "channel": "private", "actor": {"type": "agent", "id": "a"}, "kind": "message",
    "content": {"text": "the tide gauge stands on the pier"},
}


class Failure(Exception):
    """Something did not go as the contract says; the text is for a reader."""


def run(main):
    """Runs a script. What fails is said in a line on standard error, with exit status 1."""
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"FAIL: {failure}", file=sys.stderr)
        sys.exit(1)


def until(holds, what, limit_s=10):
    """Waits for something to hold, and answers what it was answered."""
    deadline = time.monotonic() + limit_s
    while not (got := holds()):
        if time.monotonic() > deadline:
            raise Failure(f"waited in vain: {what}")
        time.sleep(0.05)
    return got


class Beside(threading.Thread):
    """Something that goes on beside a `with` block: `work`, which ends once `stopping` is set."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stopping = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(60)

    def run(self):
        self.work()


def build():
    """Builds the release binary, unless AGENT_MEMORY_BIN names one, and returns its path."""
    named = os.environ.get("AGENT_MEMORY_BIN")
    if named:
        return checked_binary(named)
    subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=ROOT, check=True)
    return checked_binary(default_binary())


def default_binary():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return ROOT / target / "release" / "agent-memory"


def checked_binary(path):
    path = pathlib.Path(path).expanduser().resolve()
    if not os.access(path, os.X_OK):
        raise Failure(f"{path} is not an executable file; run `cargo build --release` first")
    return path


def clean_env():
    """The environment without settings of the user's own server, which must not change what is shown here."""
    return {key: value for key, value in os.environ.items() if not key.startswith("AGENT_MEMORY_")}


class Server:
    """One server process on one file. Use it in a `with` block, so that it never outlives the script."""

    def __init__(self, binary, db, flags=(), port=None):
        self.binary = binary
        self.flags = flags
        self.db = pathlib.Path(db)
        self.fixed_port = port
        self.log = self.db.with_suffix(".log")
        self.process = None
        self.port = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self):
        """Starts the process and returns once it says that it lives."""
        self.port = self.fixed_port or free_port()
        command = [str(self.binary), "serve", "--db", str(self.db), "--listen", f"127.0.0.1:{self.port}", *map(str, self.flags)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=clean_env())
        deadline = time.monotonic() + START_LIMIT_S
        while not self.lives():
            code = self.process.poll()
            if code is not None:
                raise Failure(f"the server ended with status {code} while starting\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise Failure(f"the server did not answer GET /health/live within {START_LIMIT_S} s\n{self.log_tail()}")
            time.sleep(0.02)

    def connect(self, timeout_s):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def lives(self):
        connection = self.connect(1)
        try:
            connection.request("GET", "/health/live")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def stop(self):
        """Asks the process to end and returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not end within {STOP_LIMIT_S} s of SIGTERM\n{self.log_tail()}") from None

    def client(self, tenant=None):
        return Client(self.port, tenant)

    def log_tail(self, lines=15):
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(["the last lines of its log:", *text[-lines:]] if text else ["its log is empty"])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer:
    """What came back: status, headers, body."""

    def __init__(self, request, status, headers, body):
        self.request, self.status, self.headers, self.body = request, status, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failure(f"{self.request} answered {self.status} with no JSON: {self.text[:500]}") from None


class Client:
    """One keep-alive connection, as an agent would hold it."""

    def __init__(self, port, tenant=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_LIMIT_S)
        self.tenant = tenant
        self.last_used = time.monotonic()

    def request(self, method, path, body=None, query=None, headers=None):
        """Sends one request and returns the answer, whatever its status is."""
        sent = {"Accept": "application/json", **(headers or {})}
        if self.tenant:
            sent["X-Tenant-Id"] = self.tenant
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
            sent.setdefault("Content-Type", "application/json")
        if query:
            path += "?" + urllib.parse.urlencode(query)
        if time.monotonic() - self.last_used > IDLE_LIMIT_S:
            self.connection.close()
        try:
            self.connection.request(method, path, body, sent)
            got = self.connection.getresponse()
            answer = Answer(f"{method} {path}", got.status, got.headers, got.read())
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Failure(f"{method} {path}: {type(error).__name__}: {error}") from None
        self.last_used = time.monotonic()
        return answer

    def call(self, method, path, body=None, query=None, headers=None):
        """Like `request`, but any status other than 2xx is a failure that shows the body."""
        answer = self.request(method, path, body, query, headers)
        if not 200 <= answer.status < 300:
            raise Failure(f"{answer.request} answered {answer.status}:\n{answer.text[:2000]}")
        return answer

    def get(self, path, **query):
        return self.call("GET", path, query=query).json()

    def post(self, path, body):
        return self.call("POST", path, body).json()

    def post_batch(self, events):
        """Records events in one batch. A 207 in which an item failed is a failure too."""
        answer = self.call("POST", "/api/v1/events/batch", as_ndjson(events), headers={"Content-Type": "application/x-ndjson"})
        results = results_of(answer)
        failed = [result for result in results if is_failed(result)]
        if failed:
            shown = json.dumps(failed[:3], ensure_ascii=False, indent=1)
            raise Failure(f"{len(failed)} of {len(events)} items of a batch failed, the first ones:\n{shown}")
        if len(results) != len(events):
            raise Failure(f"a batch of {len(events)} items was answered with {len(results)} results:\n{answer.text[:2000]}")

    def pages(self, path, name, limit, **query):
        """Every item of a list, page by page."""
        cursor = None
        while True:
            page = self.get(path, limit=limit, **query, **({"cursor": cursor} if cursor else {}))
            if len(page[name]) > limit:
                raise Failure(f"GET {path} gave {len(page[name])} items, {limit} were asked for")
            yield from page[name]
            following = page.get("next_cursor")
            if not following:
                return
            if following == cursor:
                raise Failure(f"GET {path} gave the same cursor twice: {cursor}")
            cursor = following


def as_ndjson(events):
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events).encode()


def batches(events):
    """Cuts events into batches the API takes, in order."""
    batch, size = [], 0
    for event in events:
        length = len(as_ndjson([event]))
        if batch and (len(batch) == BATCH_ITEMS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield batch


def results_of(answer):
    body = answer.json()
    lists = [body] if isinstance(body, list) else [value for value in body.values() if isinstance(value, list)]
    if len(lists) != 1:
        raise Failure(f"{answer.request} answered {answer.status} without one list of results:\n{answer.text[:2000]}")
    return lists[0]


def is_failed(result):
    if isinstance(result.get("status"), int):
        return result["status"] >= 400
    return "event_id" not in result or bool(result.get("error") or result.get("errors"))


SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)")


def read_metrics(text):
    """A Prometheus page as ({(name, labels): value}, {name: type})."""
    values, types = {}, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif match := SAMPLE.match(line):
            values[match[1], match[2] or ""] = float(match[3])
    return values, types
