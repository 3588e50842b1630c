"""schemathesis over the description of the interface, every check on, against the real binary with a file of its own.

usage: api_test.py BINARY EXAMPLES [SCOPE]
       EXAMPLES is how many requests there have to be at least, over all operations; SCOPE (read, write or admin) makes a key
       and shows it with each.

Fails on a 5xx, an undocumented status, an answer or a refusal that the description does not promise, and if fewer requests
were made than asked for. With a key of scope read it fails as well if anything was written, or if an operation that writes was
answered with anything but a refusal.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITE = os.path.join(ROOT, "tests", "schemathesis")
PROGRAM = os.path.join(ROOT, "target", "schemathesis", "bin", "schemathesis")
# From here on it is the long run.
MANY = 5000
# Of an everyday run two minutes are enough; the long one takes what it takes, within reason.
LIMIT_S, LONG_LIMIT_S = 600, 5400
# No answer takes that long, unless the machine stands still.
PATIENCE_S = 300
# Operations that read though their method could write; what a message of /mcp asks for is another matter.
READING_POSTS = ("/api/v1/recall", "/api/v1/context", "/api/v1/acb/build", "/mcp")
COUNTED = re.compile(r'^agent_memory_http_requests_total\{method="(\w+)",path="([^"]+)",status="(\w+)"\} (\S+)$', re.MULTILINE)


class Memory:
    """A file, the binary, and a server on a port of the kernel's choice."""

    def __init__(self, binary, folder):
        self.binary, self.db = binary, os.path.join(folder, "memory.db")
        self.log = open(os.path.join(folder, "log"), "w+")
        self.server = self.address = None

    def command(self, *args):
        return subprocess.run([self.binary, "--db", self.db, *args], check=True, capture_output=True, text=True).stdout

    def serve(self):
        # What is tried is the interface: neither the disk nor how often one may ask.
        flags = ("--listen", "127.0.0.1:0", "--durability", "normal", "--rate-limit", "off")
        self.server = subprocess.Popen([self.binary, "--db", self.db, "serve", *flags], stderr=self.log)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            found = re.search(r"listening on (http://[0-9.:]+)", open(self.log.name).read())
            if found:
                self.address = found.group(1)
                return
            time.sleep(0.05)
        self.server.kill()
        raise SystemExit("the server does not start")

    def get(self, path, key=None):
        request = urllib.request.Request(self.address + path, headers={"X-API-Key": key} if key else {})
        return urllib.request.urlopen(request).read().decode()

    def rows(self):
        """What is stored, without the time of the export."""
        return [line for line in self.command("export").splitlines() if '"type":"header"' not in line and '"type":"trailer"' not in line]


def seed(memory):
    """Something to read."""
    memory.command("record", "the lighthouse keeper measured the tide", "--session", "s")
    memory.command("handoff", "--session", "s", "--with-whom", "Ada", "--becoming", "who measures first", "--remember", "the gauge")
    memory.command("decide", "the gauge is read at noon")
    memory.command("note", "the valve sticks at low water")


def schemathesis(memory, wanted, key):
    """Runs it, and shows what it says as it says it."""
    operations = sum(len(path) for path in json.loads(memory.get("/openapi.json"))["paths"].values())
    # Operations without parameters are asked once. One worker: of several threads that parse Python, CPython 3.11 fails now and
    # then with "AST constructor recursion depth mismatch".
    each = 2 * wanted // operations + 1
    phases = "examples,coverage,fuzzing,stateful" if wanted >= MANY else "examples,fuzzing"
    command = [PROGRAM, "--config-file", os.path.join(SUITE, "schemathesis.toml"), "run", memory.address + "/openapi.json",
               "--checks", "all", "--phases", phases, "--max-examples", str(each), "--workers", "1", "--no-color",
               "--request-timeout", str(PATIENCE_S), "--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all"]
    if wanted < MANY:
        # The everyday run asks the same each time, so that it fails for what was changed; the long one looks for more.
        command += ["--seed", "1"]
    if key:
        command += ["--header", f"X-API-Key: {key}"]
    environment = os.environ | {"PYTHONPATH": SUITE, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONUNBUFFERED": "1"}
    limit = ["timeout", str(LONG_LIMIT_S if wanted >= MANY else LIMIT_S)]
    running = subprocess.Popen(limit + command, cwd=os.path.dirname(memory.db), env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = []
    for line in running.stdout:
        said.append(line)
        if wanted >= MANY:
            print(line, end="", flush=True)
    if wanted < MANY:
        print("".join(said)[-20000:])
    if running.wait() != 0:
        raise SystemExit("the interface is not as it is described")
    made = re.search(r"(\d+) generated", "".join(said))
    if made is None or int(made.group(1)) < wanted:
        raise SystemExit(f"fewer than {wanted} requests were made")


def nothing_written(memory, before, key):
    """What a key of scope read must not have done."""
    if memory.rows() != before:
        raise SystemExit("a key of scope read has written")
    refused = 0
    for method, path, status, count in COUNTED.findall(memory.get("/metrics/prometheus")):
        managing = path.startswith(("/api/v1/keys", "/api/v1/audit"))
        writing = method in ("POST", "PATCH", "DELETE") and path.startswith("/api/") and path not in READING_POSTS
        if float(count) and (managing or writing):
            if not status.startswith("4"):
                raise SystemExit(f"a key of scope read was answered {status} to {method} {path}")
            refused += float(count) if status == "403" else 0
    if not refused:
        raise SystemExit("no write was tried with a key of scope read")
    print(f"{refused:.0f} requests were refused with 403, nothing was written")
    memory.get("/api/v1/stats", key)


def main():
    binary, wanted = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    scope = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(binary, folder)
        seed(memory)
        key = memory.command("key", "create", "tests", "--scope", scope).strip() if scope else None
        before = memory.rows()
        memory.serve()
        try:
            schemathesis(memory, wanted, key)
            if scope == "read":
                nothing_written(memory, before, key)
            if memory.server.poll() is not None:
                raise SystemExit("the server ended")
        finally:
            memory.server.terminate()
            memory.server.wait(20)


main()
