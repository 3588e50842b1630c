"""schemathesis over the description of the interface, every check on, against the real binary with a file of its own.

usage: api_test.py BINARY EXAMPLES    EXAMPLES is how many requests there have to be at least, over all operations

Fails on a 5xx, an undocumented status, an answer or a refusal that the description does not promise, and if fewer requests
were made than asked for.
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


def serve(binary, folder):
    """A server on a port of the kernel's choice; its process and its address."""
    log = open(os.path.join(folder, "log"), "w+")
    # What is tried is the interface, not the disk.
    command = [binary, "--db", os.path.join(folder, "memory.db"), "serve", "--listen", "127.0.0.1:0", "--durability", "normal"]
    server = subprocess.Popen(command, stderr=log)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = re.search(r"listening on (http://[0-9.:]+)", open(log.name).read())
        if found:
            return server, found.group(1)
        time.sleep(0.05)
    server.kill()
    raise SystemExit("the server does not start")


def main():
    binary, wanted = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        server, address = serve(binary, folder)
        try:
            document = json.load(urllib.request.urlopen(address + "/openapi.json"))
            operations = sum(len(path) for path in document["paths"].values())
            # Operations without parameters are asked once.
            each = 2 * wanted // operations + 1
            phases = "examples,fuzzing" if wanted < 5000 else "examples,coverage,fuzzing,stateful"
            command = [PROGRAM, "--config-file", os.path.join(SUITE, "schemathesis.toml"), "run", address + "/openapi.json",
                       "--checks", "all", "--phases", phases, "--max-examples", str(each), "--workers", "2", "--no-color",
                       "--continue-on-failure", "--generation-database", "none", "--suppress-health-check", "all"]
            if wanted < 5000:
                # The everyday run asks the same each time, so that it fails for what was changed; the long one looks for more.
                command += ["--seed", "1"]
            done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": SUITE, "SCHEMATHESIS_HOOKS": "hooks"},
                                  capture_output=True, text=True)
            print(done.stdout[-20000:], done.stderr[-4000:])
            made = re.search(r"(\d+) generated", done.stdout)
            if done.returncode != 0:
                raise SystemExit("the interface is not as it is described")
            if made is None or int(made.group(1)) < wanted:
                raise SystemExit(f"fewer than {wanted} requests were made")
            if server.poll() is not None:
                raise SystemExit("the server ended")
        finally:
            server.terminate()
            server.wait(20)


main()
