"""schemathesis over the description of the interface, every check on, against the real binary with a file of its own.

usage: api_test.py BINARY EXAMPLES [SCOPE]
       EXAMPLES is how many requests there have to be at least, over all operations; SCOPE (read, write or admin) makes a key
       and shows it with each.

Fails on a 5xx, an undocumented status, an answer or a refusal that the description does not promise, and if fewer requests
were made than asked for. With a key of scope read it fails as well if anything was written, if an operation that takes more than
that was answered with anything but a refusal, or if one of them was never refused for the key.
"""
import collections
import os
import re
import subprocess
import sys
import tempfile

from server import Failure, Server, clean_env, run

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITE = os.path.join(ROOT, "tests", "schemathesis")
PROGRAM = os.path.join(ROOT, "target", "schemathesis", "bin", "schemathesis")
# From here on it is the long run.
MANY = 5000
# An everyday run takes a minute or two. The long one goes on for as long as it finds something to ask, within reason.
LIMIT_S, LONG_LIMIT_S = 600, 5400
# What timeout(1) ends with when the time is up.
TIMED_OUT = 124
# No answer takes that long, unless the machine stands still.
PATIENCE_S = 300
# Operations that read though their method could write; what a message of /mcp asks for is another matter.
READING_POSTS = ("/api/v1/recall", "/api/v1/context", "/api/v1/acb/build", "/mcp")
# Refusals that come before anybody looks at what a key may do: no key, and what cannot be read. That is a path, a query or a body
# that says nothing, a method that there is not, a body that is too long or in no format that is known, a head that is too long.
EARLIER = {"400", "401", "405", "411", "413", "415", "422", "431"}
COUNTED = re.compile(r'^agent_memory_http_requests_total\{method="(\w+)",path="([^"]+)",status="(\w+)"\} (\S+)$', re.MULTILINE)


class Memory(Server):
    """A server on a file of its own, and commands on the same file."""

    def __init__(self, binary, folder):
        # What is tried is the interface: neither the disk nor how often one may ask.
        super().__init__(binary, os.path.join(folder, "memory.db"), ("--durability", "normal", "--rate-limit", "off"))

    def command(self, *args):
        command = [self.binary, "--db", self.db, *args]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=clean_env()).stdout

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}"

    def get(self, path, key=None):
        return self.client().call("GET", path, headers={"X-API-Key": key} if key else {})

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
    operations = sum(len(path) for path in memory.get("/openapi.json").json()["paths"].values())
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
    ended = running.wait()
    if ended == TIMED_OUT:
        raise Failure(f"it was not done after {limit[1]} s, so nothing is known of what was not asked")
    if ended != 0:
        raise Failure("the interface is not as it is described")
    made = re.search(r"(\d+) generated", "".join(said))
    if made is None or int(made.group(1)) < wanted:
        raise Failure(f"fewer than {wanted} requests were made")


def nothing_written(memory, before, key):
    """What a key of scope read must not have done."""
    if memory.rows() != before:
        raise Failure("a key of scope read has written")
    answered = collections.defaultdict(collections.Counter)
    for method, path, status, count in COUNTED.findall(memory.get("/metrics/prometheus").text):
        managing = path.startswith(("/api/v1/keys", "/api/v1/audit"))
        writing = method in ("POST", "PATCH", "DELETE") and path.startswith("/api/") and path not in READING_POSTS
        if float(count) and (managing or writing):
            answered[method, path][status] += int(float(count))
    for (method, path), counts in sorted(answered.items()):
        print(f"{method} {path}: {', '.join(f'{count} times {status}' for status, count in sorted(counts.items()))}")
    faults = []
    for (method, path), counts in answered.items():
        # Somebody tried a method that the path has not.
        if set(counts) == {"405"}:
            continue
        if wrong := set(counts) - EARLIER - {"403"}:
            faults.append(f"a key of scope read was answered {', '.join(sorted(wrong))} to {method} {path}")
        if not counts["403"]:
            faults.append(f"no {method} {path} with a key of scope read was refused with 403")
    if not answered or faults:
        raise Failure("\n".join(faults) or "nothing that takes more than a key of scope read was tried")
    refused = sum(counts["403"] for counts in answered.values())
    print(f"{refused} requests to {len(answered)} operations were refused with 403, nothing was written")
    memory.get("/api/v1/stats", key)


def main():
    binary, wanted = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    scope = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory() as folder:
        memory = Memory(binary, folder)
        seed(memory)
        key = memory.command("key", "create", "tests", "--scope", scope).strip() if scope else None
        before = memory.rows()
        with memory:
            schemathesis(memory, wanted, key)
            if scope == "read":
                nothing_written(memory, before, key)
            if code := memory.stop():
                raise Failure(f"the server ended with status {code}\n{memory.log_tail()}")


if __name__ == "__main__":
    run(main)
