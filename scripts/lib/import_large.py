"""Imports a very large export with the release binary and watches memory, log and words. For scripts/test --full import.

Usage: [IMPORT_MB=5000] [IMPORT_DIR=/large/disk] [AGENT_MEMORY_BIN=...] python3 scripts/lib/import_large.py

Needs Linux (/proc) and about four times the size on disk, which it gives back.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import export_file  # noqa: E402
import server  # noqa: E402
from server import Failure  # noqa: E402

MB = 1000 * 1000
SIZE = int(os.environ.get("IMPORT_MB", "5000")) * MB
# What an import may take at any size: two lines of the longest kind, a cache of pages, and the program.
MOST_MEMORY = 300 * MB
# The log is cut back beyond 64 MiB; a slice of rows may stand beyond that.
MOST_LOG = 100 * MB
# A line may have 32 MiB; what lies in the pipe and in the reader's buffer comes on top.
MOST_READ = 40 * MB
# The part that is cut off in a line and mended.
PART = min(SIZE // 5, 100 * MB)
# Rows of one slice of an import.
BLOCK_LINES = 200
SAMPLE_S = 0.05
REPORT_S = 15


class Watched:
    """A running import, looked at from outside."""

    def __init__(self, binary, db, source, stdin=subprocess.DEVNULL):
        self.db, self.source = db, source
        command = [binary, "--db", db, "--json", "import", source]
        self.process = subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=stdin == subprocess.DEVNULL,
            env=server.clean_env())
        self.memory = self.anonymous = self.log = 0
        self.started = time.monotonic()

    def sample(self):
        try:
            status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return
        for name, value in re.findall(r"^(VmHWM|RssAnon):\s+(\d+) kB", status, re.MULTILINE):
            if name == "VmHWM":
                self.memory = max(self.memory, int(value) * 1024)
            else:
                self.anonymous = max(self.anonymous, int(value) * 1024)
        self.log = max(self.log, size_of(f"{self.db}-wal"))

    def position(self):
        """How far the file was read."""
        folder = pathlib.Path(f"/proc/{self.process.pid}")
        try:
            for fd in (folder / "fd").iterdir():
                if os.readlink(fd) == str(self.source):
                    return int(re.search(r"pos:\s+(\d+)", (folder / "fdinfo" / fd.name).read_text())[1])
        except OSError:
            pass
        return 0

    def finish(self):
        """Waits for the end; returns the exit status and what was said."""
        reported = time.monotonic()
        while self.process.poll() is None:
            self.sample()
            if time.monotonic() - reported > REPORT_S:
                reported = time.monotonic()
                took = reported - self.started
                read = self.position()
                print(f"  {took:5.0f} s  {read / MB:8,.0f} MB read, {read / MB / took:5.1f} MB/s; {self.figures()}", flush=True)
            time.sleep(SAMPLE_S)
        said, errors = self.process.communicate()
        return self.process.returncode, said, errors

    def figures(self):
        return (f"peak memory {self.memory / MB:.0f} MB ({self.anonymous / MB:.0f} anonymous), "
                f"log {self.log / MB:.0f} MB at most, file {size_of(self.db) / MB:,.0f} MB")

    def check(self):
        expect(0 < self.memory < MOST_MEMORY, f"peak memory is {self.memory / MB:.0f} MB")
        expect(self.log < MOST_LOG, f"the log grew to {self.log / MB:.0f} MB")


def size_of(path):
    try:
        return os.path.getsize(path)
    except OSError:
        return 0


def expect(holds, otherwise):
    if not holds:
        raise Failure(otherwise)


def main():
    if not pathlib.Path("/proc/self/status").exists():
        raise Failure("this run reads /proc, so it needs Linux")
    binary = server.build()
    with tempfile.TemporaryDirectory(prefix="agent-memory-import-", dir=os.environ.get("IMPORT_DIR")) as folder:
        folder = pathlib.Path(folder)
        free = shutil.disk_usage(folder).free
        expect(free > 4 * SIZE, f"{folder} has {free / MB:,.0f} MB free, {4 * SIZE / MB:,.0f} are needed; set IMPORT_DIR")
        part = whole(binary, folder)
        broken_off(binary, folder, part)
        endless(binary, folder)


def whole(binary, folder):
    started = time.monotonic()
    source, db = folder / "all.jsonl", folder / "memory.db"
    made = export_file.write(source, SIZE)
    took = time.monotonic() - started
    print(f"{made.bytes / MB:,.0f} MB in {made.lines:,} lines written in {took:.0f} s")
    run = Watched(binary, db, source)
    status, said, errors = run.finish()
    took = time.monotonic() - run.started
    expect(status == 0, f"the import ended with status {status}: {errors}")
    events = made.counts["events"]
    print(f"imported in {took:.0f} s: {made.bytes / MB / took:.1f} MB/s, {events / took:,.0f} events/s; {run.figures()}")
    run.check()
    expect(json.loads(said)["stored"] == made.counts, f"stored is not what the file holds: {said}")
    check_status(binary, db, made.counts)
    source.unlink()
    # The beginning of it again, in an export of its own: all of it is there.
    part = export_file.write(folder / "part.jsonl", PART)
    run = Watched(binary, db, part.path)
    status, said, errors = run.finish()
    expect(status == 0, f"the import of what is there ended with status {status}: {errors}")
    run.check()
    expect(json.loads(said)["unchanged"] == part.counts, f"what is there was not left as it is: {said}")
    check_status(binary, db, made.counts)
    took = time.monotonic() - run.started
    print(f"the first {part.bytes / MB:.0f} MB again, unchanged: {part.bytes / MB / took:.1f} MB/s; {run.figures()}")
    for left in folder.glob("memory.db*"):
        left.unlink()
    return part


def check_status(binary, db, counts):
    output = subprocess.run([binary, "--db", db, "--json", "status"], check=True, capture_output=True, env=server.clean_env())
    stats = json.loads(output.stdout)["stats"]
    for name in ["events", "handoffs"]:
        stored = sum(value for key, value in stats.items() if key.split(".")[0] == name)
        expect(stored == counts[name], f"status counts {stored} {name}, {counts[name]} were imported")


def broken_off(binary, folder, part):
    """A file that ends in the middle of a line: what stands above is stored, and the whole file goes on from there."""
    cut, db = folder / "cut.jsonl", folder / "cut.db"
    data = part.path.read_bytes()
    end = data.index(b'"content"', len(data) * 7 // 10)
    cut.write_bytes(data[:end])
    line = data.count(b"\n", 0, end) + 1
    # Without the header and the broken one; an artifact is a row as well.
    above = line - 2
    run = Watched(binary, db, cut)
    status, _, errors = run.finish()
    said = re.search(r"line (\d+): line: is not valid JSON .*; (\d+) rows were stored before; the same import again", errors)
    expect(status == 2 and said, f"a file that breaks off ended with status {status}: {errors}")
    stored = int(said[2])
    expect(int(said[1]) == line, f"line {said[1]} is named, the broken one is {line}")
    expect(above - BLOCK_LINES <= stored <= above, f"{stored} rows are said to be stored, {above} stand above")
    run.check()
    print(f"broken off: {errors.strip()}")
    run = Watched(binary, db, part.path)
    status, said, errors = run.finish()
    expect(status == 0, f"the whole file after the broken one ended with status {status}: {errors}")
    report = json.loads(said)
    there, now = (sum(report[name].values()) for name in ["unchanged", "stored"])
    rows = sum(part.counts.values())
    expect((there, there + now) == (stored, rows), f"{there} rows were there and {now} stored, of {rows}")
    check_status(binary, db, part.counts)
    print(f"mended: {there:,} rows were there, {now:,} stored now")
    for left in [part.path, cut, *folder.glob("cut.db*")]:
        left.unlink()


def endless(binary, folder):
    """A line that does not end is refused at its limit, and not read to its end."""
    for begin in [export_file.header() + '\n{"type":"event","content":{"text":"', '{"type":"header","format":"']:
        run = Watched(binary, folder / "endless.db", "-", subprocess.PIPE)
        block, sent = b"x" * MB, 0
        try:
            run.process.stdin.write(begin.encode())
            while sent < SIZE:
                run.process.stdin.write(block)
                sent += len(block)
                run.sample()
            run.process.stdin.close()
        except BrokenPipeError:
            pass
        run.process.stdin = None
        status, _, errors = run.finish()
        errors, line = errors.decode(), begin.count("\n") + 1
        expect(status == 2 and f"line {line}: line: is longer than 32 MiB; nothing was stored" in errors,
               f"an endless line ended with status {status}: {errors}")
        expect(sent < MOST_READ, f"{sent / MB:.0f} MB of an endless line were read")
        run.check()
        print(f"one line of {SIZE / MB:,.0f} MB: refused after {sent / MB:.0f} MB; {run.figures()}")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
