"""Runs wrk. What it sends is made by wrk.lua, of lines in files."""

import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess

from server import ROOT, Failure

SCRIPT = ROOT / "scripts" / "lib" / "wrk.lua"
# On 2 cores, against a constant answer, two threads made 115,000 requests a second and one 77,000.
THREADS = 2
# wrk's own 2 s would count one slow fsync of a shared disk as an error; the server's own limit is 30 s.
TIMEOUT_S = 10
# Over and above the run itself: connecting, and waiting for what is under way.
OVERTIME_S = 30
# What goes on beside another measure is ended with it; this is for the case that nobody ends it.
BESIDE_S = 300


class Load:
    """What one run of wrk counted."""

    # Processor time of the server per request, where it was measured.
    cpu_us = None

    def __init__(self, report):
        self.requests = report["requests"]
        self.per_s = report["requests"] / report["seconds"]
        self.p50_ms, self.p95_ms, self.p99_ms = report["p50_ms"], report["p95_ms"], report["p99_ms"]
        self.max_ms = report["max_ms"]


class Turns:
    """Runs of equal length as one load: percentiles are the median of theirs."""

    def __init__(self, runs):
        self.requests = sum(run.requests for run in runs)
        self.per_s = statistics.mean(run.per_s for run in runs)
        self.p50_ms, self.p95_ms, self.p99_ms = (
            statistics.median(getattr(run, key) for run in runs) for key in ("p50_ms", "p95_ms", "p99_ms")
        )
        self.max_ms = max(run.max_ms for run in runs)
        if all(run.cpu_us is not None for run in runs):
            self.cpu_us = sum(run.cpu_us * run.requests for run in runs) / self.requests


class Beside:
    """A load that runs until the measure beside it is done; `load` is there after that."""

    load = None


class Wrk:
    """The load generator, with the number of the run as its seed."""

    def __init__(self):
        if not shutil.which("wrk"):
            raise Failure("wrk is missing; install it: `apt-get install wrk` (Debian, Ubuntu), `brew install wrk` (macOS)")
        self.runs = 0

    def command(self, port, path, connections, seconds, what, file, threads):
        self.runs += 1
        threads = min(threads, connections, os.cpu_count() or 1)
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s", f"-s{SCRIPT}"]
        return [*command, f"http://127.0.0.1:{port}{path}", "--", what, str(file), str(self.runs)]

    def run(self, port, path, connections, seconds, what="get", file="", threads=THREADS):
        """Loads one route. An answer other than 2xx, or none, is a failure."""
        command = self.command(port, path, connections, seconds, what, file, threads)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + OVERTIME_S, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"wrk did not end: {' '.join(command)}") from None
        return read(command, done.returncode, done.stdout, done.stderr)

    @contextlib.contextmanager
    def beside(self, port, path, connections, what="get", file=""):
        """Loads one route for as long as the block runs. Ctrl-C is how wrk is told to stop and report."""
        command = self.command(port, path, connections, BESIDE_S, what, file, THREADS)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        beside = Beside()
        try:
            yield beside
            if process.poll() is not None:
                raise Failure(f"wrk ended before the measure beside it: {' '.join(command)}")
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=OVERTIME_S)
            beside.load = read(command, process.returncode, out, errors)
        except subprocess.TimeoutExpired:
            raise Failure(f"wrk did not end: {' '.join(command)}") from None
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def read(command, status, out, errors):
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if status or len(lines) != 1:
        raise Failure(f"wrk ended with status {status}: {' '.join(command)}\n{out}{errors}")
    report = json.loads(lines[0])
    if report["bad_status"] or report["broken"] or not report["requests"]:
        raise Failure(
            f"{' '.join(command)}: of {report['requests']} answers {report['bad_status']} were not 2xx; "
            f"{report['broken']} requests had none (connection refused or broken, or over {TIMEOUT_S} s)"
        )
    return Load(report)
