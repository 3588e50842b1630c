"""Uses a release server for minutes as agents would, all at once, and checks that it is as good at the end as in the
middle. For scripts/test --full soak.

Usage: [SOAK_SECONDS=900] [AGENT_MEMORY_BIN=...] python3 scripts/lib/soak.py

Eight clients, a process each, write, read, search, forget and send nonsense; beside them a scrape every few seconds and
now and then the command line. The run is judged by its thirds: the first warms up, and the last has to look like the
middle one. Needs Linux (/proc).
"""

import multiprocessing
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import bench_machine as machine  # noqa: E402
import server  # noqa: E402
import soak_client  # noqa: E402
from server import Failure  # noqa: E402

SECONDS = int(os.environ.get("SOAK_SECONDS", "900"))
CLIENTS = 8
SAMPLE_S = 2
REPORT_S = 15
COMMAND_S = 10
# Over and above the run: clients that finish, checking every row, the stop.
OVERTIME_S = 120
MB = 1000 * 1000
# Memory of the last third against the middle one. What a memory holds is not kept in memory, so it may not grow with it;
# the allocator gives and takes some megabytes.
MORE_MEMORY, MEMORY_SLACK = 1.15, 16 * MB
# Disk for each byte of stored text, index included: the same at the end as in the middle, or something is not given back.
MORE_DISK = 1.15
# The log is cut back beyond 64 MiB; a group of large rows may stand beyond that.
MOST_LOG = 100 * MB
# What drifts, drifts for most requests: the slowest tenth is judged. The slowest hundredth of a rare action is a few
# requests, and one pause of the disk decides them; it is printed. The machine has other work too: twice is a drift, and
# below the floor is noise.
MORE_TIME, TIME_FLOOR_MS = 2.0, 50
# One helper that waits for the write turn comes and goes; so do connections of scrapes.
MORE_THREADS, MORE_FILES = 2, 6
# An overload is allowed to be said; a server of this load has no reason to.
MOST_REFUSED = 0.01


class Watch:
    """The server from outside: one sample every few seconds."""

    def __init__(self, running, folder):
        self.server, self.folder, self.samples = running, folder, []
        self.commands = 0
        self.client = running.client()

    def sample(self, at):
        pid = self.server.process.pid
        if self.server.process.poll() is not None:
            raise Failure(f"the server ended by itself\n{self.server.log_tail()}")
        metrics, _ = server.read_metrics(self.client.call("GET", "/metrics").text)
        if metrics["agent_memory_up", ""] != 1:
            raise Failure("the server says of itself that it is not up")
        self.samples.append({
            "at": at,
            "memory": machine.anonymous_bytes(pid),
            "threads": len(os.listdir(f"/proc/{pid}/task")),
            "files": len(os.listdir(f"/proc/{pid}/fd")),
            "disk": self.server.db.stat().st_size,
            "log": size(f"{self.server.db}-wal"),
            "text": metrics["agent_memory_storage_bytes", '{type="text"}'],
            "stored": sum(value for (name, _), value in metrics.items() if name == "agent_memory_events"),
            "requests": sum(value for (name, _), value in metrics.items() if name == "agent_memory_http_requests_total"),
        })
        return self.samples[-1]

    def command(self):
        """A write by the command line, on the same file."""
        text = f"said on the command line for the {self.commands + 1}. time"
        command = [str(self.server.binary), "--db", str(self.server.db), "record", text]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=server.clean_env())
        if done.returncode:
            raise Failure(f"the command line ended with {done.returncode}: {done.stderr}")
        self.commands += 1


def size(path):
    path = pathlib.Path(path)
    return path.stat().st_size if path.exists() else 0


def main():
    binary = server.build()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="soak-", dir=os.environ.get("SOAK_DIR", server.ROOT / "target")))
    try:
        with server.Server(binary, folder / "soak.db") as running:
            soak(running, folder)
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def soak(running, folder):
    began = time.monotonic()
    clients = [
        multiprocessing.Process(target=soak_client.run, args=(number, running.port, began, began + SECONDS, folder), daemon=True)
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    watch = Watch(running, folder)
    print(f"{CLIENTS} clients for {SECONDS} s")
    keep_watch(watch, began)
    for client in clients:
        client.join(max(1, began + SECONDS + OVERTIME_S - time.monotonic()))
        if client.exitcode != 0:
            raise Failure(f"a client ended with {client.exitcode}; above is why")
    told = [soak_client.load(folder, number) for number in range(CLIENTS)]
    problems = [*of_answers(told), *of_rows(running, told, watch.commands), *of_thirds(watch.samples, told)]
    if running.stop() != 0:
        problems.append("the server did not end with 0 on SIGTERM")
    doctor = subprocess.run([str(running.binary), "--db", str(running.db), "doctor"], capture_output=True, text=True,
                            timeout=OVERTIME_S, check=False, env=server.clean_env())
    if doctor.returncode:
        problems.append(f"doctor: {doctor.stdout}{doctor.stderr}")
    if problems:
        raise Failure("\n  ".join([f"{len(problems)} things are wrong:", *problems]))
    print(f"soak passed: {SECONDS} s, {watch.commands} command lines")


def keep_watch(watch, began):
    reported, commanded = began, began
    last = {"requests": 0, "at": 0}
    while (now := time.monotonic()) < began + SECONDS:
        sample = watch.sample(now - began)
        if now - commanded >= COMMAND_S:
            watch.command()
            commanded = now
        if now - reported >= REPORT_S:
            rate = (sample["requests"] - last["requests"]) / (sample["at"] - last["at"])
            print(f"{sample['at']:6.0f} s  {rate:6.0f} req/s  {sample['stored']:9.0f} events  memory {sample['memory'] / MB:6.1f} MB  "
                  f"file {sample['disk'] / MB:7.1f} MB  log {sample['log'] / MB:5.1f} MB  threads {sample['threads']}  "
                  f"files {sample['files']}", flush=True)
            reported, last = now, sample
        time.sleep(min(SAMPLE_S, max(0, began + SECONDS - time.monotonic())))


def of_answers(told):
    """Statuses: nothing but what was to be expected of what was sent."""
    counts = {}
    for client in told:
        for key, count in client["statuses"].items():
            counts[key] = counts.get(key, 0) + count
    refused = sum(count for (_, status), count in counts.items() if status == 503)
    total = sum(counts.values())
    print(f"{total} requests, {refused} refused with 503 and Retry-After")
    for client in told:
        yield from client["surprises"][:5]
    if refused > total * MOST_REFUSED:
        yield f"{refused} of {total} requests were refused as too many"


def of_rows(running, told, commands):
    """Every acknowledged write is there, what was forgotten is not, and there is nothing else."""
    client = running.client()
    for kind, (path, name, key) in soak_client.LISTS.items():
        stored = {item[key] for item in client.pages(path, name, 1000)}
        acknowledged = set().union(*(client["acknowledged"][kind] for client in told))
        forgotten = set().union(*(client["forgotten"][kind] for client in told))
        unsure = set().union(*(client["unsure"][kind] for client in told))
        lost = acknowledged - forgotten - unsure - stored
        kept = (forgotten - unsure) & stored
        others = stored - acknowledged - unsure
        print(f"{kind}: {len(acknowledged)} acknowledged, {len(forgotten)} forgotten, {len(stored)} stored, {len(unsure)} unsure")
        if not acknowledged or not forgotten:
            yield f"no {kind} was written and forgotten: this run shows nothing"
        if lost:
            yield f"{len(lost)} acknowledged {kind} are not there, such as {next(iter(lost))}"
        if kept:
            yield f"{len(kept)} forgotten {kind} are still there, such as {next(iter(kept))}"
        if len(others) != (commands if kind == "events" else 0):
            yield f"{len(others)} {kind} are there that no client wrote; the command line wrote {commands} events"


def of_thirds(samples, told):
    """The last third against the middle one."""
    middle = [sample for sample in samples if SECONDS / 3 <= sample["at"] < SECONDS * 2 / 3]
    last = [sample for sample in samples if sample["at"] >= SECONDS * 2 / 3]
    if len(middle) < 5 or len(last) < 5:
        yield "too few samples: this run shows nothing"
        return

    def both(of):
        return of(middle), of(last)

    before, after = both(lambda part: statistics.median(sample["memory"] for sample in part))
    print(f"anonymous memory: {before / MB:.1f} MB in the middle, {after / MB:.1f} MB at the end")
    if after > before * MORE_MEMORY + MEMORY_SLACK:
        yield f"memory grows: {before / MB:.1f} to {after / MB:.1f} MB"
    before, after = both(lambda part: part[-1]["disk"] / part[-1]["text"])
    print(f"file for each byte of text: {before:.3f} in the middle, {after:.3f} at the end")
    if after > before * MORE_DISK:
        yield f"the file grows beyond what is stored: {before:.3f} to {after:.3f} bytes for each byte of text"
    log = max(sample["log"] for sample in samples)
    if log > MOST_LOG:
        yield f"the log came to {log / MB:.1f} MB"
    for what, more in (("threads", MORE_THREADS), ("files", MORE_FILES)):
        before, after = both(lambda part, what=what: max(sample[what] for sample in part))
        print(f"{what}: {before} in the middle, {after} at the end, at most")
        if after > before + more:
            yield f"{what} grow: {before} to {after}"
    for action in sorted({action for client in told for action in client["times"]}):
        before, after = (
            [ms for client in told for at, ms in client["times"].get(action, ()) if begin <= at < end]
            for begin, end in ((SECONDS / 3, SECONDS * 2 / 3), (SECONDS * 2 / 3, SECONDS)))
        tenth, hundredth = ((percentile(before, share), percentile(after, share)) for share in (90, 99))
        print(f"{action}: p90 {tenth[0]:.1f} ms in the middle, {tenth[1]:.1f} ms at the end; p99 {hundredth[0]:.1f}, "
              f"{hundredth[1]:.1f} ms ({len(after)} requests)")
        if tenth[1] > max(tenth[0] * MORE_TIME, TIME_FLOOR_MS):
            yield f"{action} becomes slower: p90 {tenth[0]:.1f} to {tenth[1]:.1f} ms"


def percentile(values, share):
    if not values:
        raise Failure("an action was never done in a third of the run: this run shows nothing")
    values.sort()
    return values[min(len(values) - 1, len(values) * share // 100)]


if __name__ == "__main__":
    sys.exit(main())
