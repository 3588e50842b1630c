"""scripts/test-mcp, once the clients are there."""

import http.client
import json
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import server  # noqa: E402
from server import ROOT, Failure, Server, build, clean_env  # noqa: E402

CLIENTS = ROOT / "target" / "mcp-clients"
NODE = CLIENTS / "node_modules" / ".bin" / "node"
CONFORMANCE = CLIENTS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
INSPECTOR = CLIENTS / "node_modules" / ".bin" / "mcp-inspector"
PYTHON = CLIENTS / "venv" / "bin" / "python"
# A certificate for `localhost`, made for the tests, and its key.
CERT = ROOT / "tests" / "data" / "tls" / "cert.pem"
# A client that takes longer hangs.
LIMIT_S = 90
# What the inspector calls each tool with; {id} is what the tool before has made.
CALLS = (
    ("wake_up", {}),
    ("remember", {"content": "the gauge stands on the pier", "pinned": True}),
    ("recall", {"query": "gauge", "limit": 3}),
    ("build_context", {"task": "read the gauge"}),
    ("create_handoff", {"remember": "paint the gauge"}),
    ("record_decision", {"decision": "read it at noon", "rationale": ["the tide is out"]}),
    ("list_memories", {"type": "decision"}),
    ("memory_status", {}),
    ("record_event", {"text": "the gauge was read"}),
    ("forget", {"id": "{id}"}),
)


class Secure(Server):
    """A server that speaks TLS and asks for a key."""

    def __init__(self, binary, db):
        super().__init__(binary, db, ("--tls-cert", CERT, "--tls-key", CERT.with_name("key.pem")))
        made = [str(binary), "--db", str(db), "key", "create", "client", "--scope", "write"]
        self.key = subprocess.run(made, env=clean_env(), check=True, capture_output=True, text=True).stdout.strip()

    def connect(self, timeout_s):
        trusted = ssl.create_default_context(cafile=CERT)
        return http.client.HTTPSConnection("localhost", self.port, timeout=timeout_s, context=trusted)


def run(command, home, **more):
    """Runs a client in a home of its own; answers what it wrote."""
    env = clean_env() | {"HOME": str(home)} | more
    done = subprocess.run(
        [str(word) for word in command], cwd=CLIENTS, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S,
    )
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def conformance(url, home):
    """Every server scenario passes, or fails in the very way that tests/mcp/not-applicable.json says it has to."""
    listed = run([NODE, CONFORMANCE, "list", "--server"], home)
    scenarios = {line.split()[1] for line in listed.splitlines() if line.startswith("  - ")}
    out = home / "conformance"
    # It ends with 1 if any scenario failed; which ones, its files say.
    command = [NODE, CONFORMANCE, "server", "--suite", "all", "--url", url, "--output-dir", out]
    subprocess.run([str(word) for word in command], cwd=CLIENTS, env=clean_env(), capture_output=True, timeout=LIMIT_S, check=False)
    failed, idle, seen = {}, set(), set()
    for file in out.glob("*/checks.json"):
        name = max((name for name in scenarios if file.parent.name.startswith(f"server-{name}-")), key=len, default=None)
        if name is None:
            raise Failure(f"{file.parent.name} is of no scenario that is listed")
        seen.add(name)
        checks = json.loads(file.read_text())
        if not any(check["status"] in ("SUCCESS", "FAILURE") for check in checks):
            idle.add(name)
        bad = [check for check in checks if check["status"] == "FAILURE"]
        if bad:
            failed[name] = "; ".join(str(check.get("errorMessage")) for check in bad)
    if not scenarios or seen != scenarios:
        raise Failure(f"scenarios that did not run: {sorted(scenarios - seen)}")
    expected = json.loads((ROOT / "tests/mcp/not-applicable.json").read_text())
    wrong = [f"{name} failed: {why}" for name, why in failed.items() if expected.get(name, {}).get("fails_with", "\0") not in why]
    wrong += [f"{name} is said not to apply and passes" for name in expected if name not in failed]
    if wrong:
        raise Failure("\n".join(wrong))
    passed = len(scenarios) - len(failed) - len(idle)
    return (f"{len(scenarios)} scenarios: {passed} pass, {len(failed)} do not apply, {len(idle)} found nothing to check "
            f"({', '.join(sorted(idle))})")


def sessions(binary, home):
    """Each SDK, in each era it knows, over each transport, on a file of its own."""
    ways = [[NODE, "session.mjs", "v1", "legacy"], [NODE, "session.mjs", "v2", "legacy"], [NODE, "session.mjs", "v2", "modern"],
            [PYTHON, "session.py", "legacy"], [PYTHON, "session.py", "modern"]]
    for name in ("session.mjs", "session.py"):
        shutil.copy(ROOT / "tests/mcp" / name, CLIENTS)
    for number, way in enumerate(ways):
        with Server(binary, home / f"http{number}.db") as server:
            run([*way, "http", f"http://127.0.0.1:{server.port}/mcp"], home)
        run([*way, "stdio", binary, home / f"stdio{number}.db"], home)
    # The same over TLS with a key. The Python SDK would take a client of another package for it.
    for way in ways[:3]:
        with Secure(binary, home / f"tls{'-'.join(way[2:])}.db") as server:
            url = f"https://localhost:{server.port}/mcp"
            run([*way, "http", url, server.key], home, NODE_EXTRA_CA_CERTS=str(CERT))
            refused(way, url, home)
    return f"{2 * len(ways)} sessions, and 3 over TLS with a key"


def refused(way, url, home):
    """Without the key there is no session."""
    try:
        run([*way, "http", url], home, NODE_EXTRA_CA_CERTS=str(CERT))
    except Failure as failure:
        if "401" in str(failure) or "nauthorized" in str(failure):
            return
        raise
    raise Failure("a client without a key got in")


def inspect(target, era, home):
    """The inspector lists the tools, finds no fault in their schemas, and calls each."""
    def ask(method, *flags):
        command = [NODE, INSPECTOR, "--cli", *target, "--method", method, "--protocol-era", era, "--quiet", *flags]
        return json.loads(run(command, home))

    tools = {tool["name"] for tool in ask("tools/list", "--strict")["tools"]}
    if tools != {name for name, _ in CALLS}:
        raise Failure(f"the inspector lists {sorted(tools)}")
    made = ""
    for name, arguments in CALLS:
        arguments = {key: made if value == "{id}" else value for key, value in arguments.items()}
        result = ask("tools/call", "--tool-name", name, "--tool-args-json", json.dumps(arguments))
        if result.get("isError") or "structuredContent" not in result:
            raise Failure(f"the inspector called {name} and got {result}")
        made = result["structuredContent"].get("id", made)
    for method, key in (("prompts/list", "prompts"), ("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")):
        if not ask(method)[key]:
            raise Failure(f"the inspector finds no {key}")
    return f"{len(tools)} tools"


def main():
    binary = build()
    started = time.monotonic()

    def say(text):
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(folder)
        with Server(binary, home / "memory.db") as server:
            url = f"http://127.0.0.1:{server.port}/mcp"
            say(f"conformance: {conformance(url, home)}")
            say(f"inspector over HTTP, 2026-07-28: {inspect([url], 'modern', home)}")
        say(f"inspector over stdio, 2025-11-25: {inspect([binary, '--db', home / 'inspected.db', 'mcp'], 'legacy', home)}")
        say(f"TypeScript (1 and 2) and Python: {sessions(binary, home)}")


if __name__ == "__main__":
    server.run(main)
