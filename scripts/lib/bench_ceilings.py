"""Runs tests/bench/ceilings.rs: what the machine can do at most."""

import json
import os
import subprocess
import time

import server
from server import ROOT, Failure

# Filling a file with as many events as the server has takes some seconds before the clock starts.
OVERTIME_S = 120


def build():
    """Builds the ceilings as the binary is built, unless AGENT_MEMORY_CEILINGS names them, and returns their path."""
    named = os.environ.get("AGENT_MEMORY_CEILINGS")
    if named:
        return server.checked_binary(named)
    command = ["cargo", "build", "--release", "--quiet", "--bench", "ceilings", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    paths = [message["executable"] for message in messages if message.get("target", {}).get("name") == "ceilings"]
    if not paths:
        raise Failure("cargo built no ceilings")
    return server.checked_binary(paths[-1])


class Constant(server.Server):
    """actix-web that answers everything with the same 200."""

    def __init__(self, binary, log, workers):
        super().__init__(binary, log)
        self.workers = workers

    def start(self):
        self.port = server.free_port()
        command = [str(self.binary), "constant", "--listen", f"127.0.0.1:{self.port}", "--workers", str(self.workers)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + server.START_LIMIT_S
        while not self.lives():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"the constant server did not start\n{self.log_tail()}")
            time.sleep(0.02)


def raw_sqlite(binary, file, texts, group, seconds, rows):
    """The same statements as an event write, `group` events a commit, on a file that holds at least `rows` before."""
    return report(
        [binary, "sqlite", "--group", group, "--seconds", seconds, "--file", file, "--texts", texts, "--rows", rows], seconds
    )


def sync(binary, file, seconds, pages):
    return report([binary, "sync", "--file", file, "--seconds", seconds, "--pages", round(pages)], seconds)


def report(command, seconds):
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + OVERTIME_S, check=False)
    except subprocess.TimeoutExpired:
        raise Failure(f"the ceiling did not end: {' '.join(command)}") from None
    if done.returncode:
        raise Failure(f"the ceiling ended with status {done.returncode}: {' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)
