"""Somebody who looks at the machine while alerts are judged, without asking the server or Prometheus.

An alert about a disk or about time is right on a machine whose disk stalls or whose processor others have. So one that fires
where none should is held against what this saw in the same minute: how long the same disk took for a write of its own, how
long the kernel kept the server's threads from a processor that they were ready for, how long the client waited for answers,
what was free. If that does not bear it out, it is a false alarm, and a fault.
"""

import os
import pathlib
import threading
import time

# Ten looks a second are cheap, and a stall of a quarter of a second is not missed.
PAUSE_S = 0.1
PAGE = b"\0" * 4096
# Bounds of the rules (monitoring/alerts.yml).
SLOW_COMMIT_S, SLOW_REQUEST_S, LITTLE_FREE = 0.25, 1.0, 0.4
RANGE_S, FOR_S, HORIZON_S = 300, 300, 24 * 3600


class Witness:
    """Looks from `with` to its end. `took` is what the client keeps of its requests: when, route, seconds."""

    def __init__(self, folder, factor, took, server):
        self.folder, self.factor, self.took, self.server = pathlib.Path(folder), factor, took, server
        # When, how long a write took, how long one of the server's threads waited since the look before, octets free, in all.
        self.looks = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(60)

    def run(self):
        with open(self.folder / "witness", "wb", buffering=0) as file:
            due, waits = time.monotonic(), {}
            while not self.stopping.wait(max(0, due - time.monotonic())):
                late, waits = waited_since(waits, self.server)
                began = time.monotonic()
                file.seek(0)
                file.write(PAGE)
                os.fsync(file.fileno())
                wrote = time.monotonic() - began
                disk = os.statvfs(self.folder)
                self.looks.append((time.time(), wrote, late, disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize))
                due = time.monotonic() + PAUSE_S

    def judge(self, labels, at):
        """Whether an alert that began to fire then is borne out, and what was seen. An alert about anything else is not."""
        name = labels["alertname"]
        within = [look for look in self.looks if at - (RANGE_S + FOR_S) / self.factor - 2 <= look[0] <= at]
        if not within:
            return False, "nobody looked"
        wrote, late = max(look[1] for look in within), most_in_a_second(within)
        seen = f"a write of 4 KiB to the same disk took up to {wrote:.2f} s, and the server waited up to {late:.2f} s in a second for a processor"
        if name == "AgentMemorySlowCommits":
            return max(wrote, late) > SLOW_COMMIT_S, seen
        if name == "AgentMemoryDown":
            # In a hurry a scrape has a second.
            return late > SLOW_REQUEST_S / 2, seen
        if name == "AgentMemorySlowRequests":
            waited = [seconds for when, route, seconds in list(self.took) if within[0][0] <= when <= at and route == labels.get("path")]
            slow = sum(seconds > SLOW_REQUEST_S for seconds in waited)
            right = slow * 100 >= len(waited) > 0 and max(wrote, late) > SLOW_REQUEST_S / 2
            return right, f"the client waited over a second for {slow} of {len(waited)} answers; {seen}"
        if name == "AgentMemoryDiskFullIn24h":
            free, size = within[-1][3:]
            trend = slope([(look[0], look[3]) for look in self.looks if look[0] <= at])
            left = free + trend * HORIZON_S / self.factor
            return left < 0 and free < LITTLE_FREE * size, f"{free / 1e9:.1f} of {size / 1e9:.1f} GB were free, and went by {-trend / 1e6:.1f} MB/s"
        return False, seen


def waited_since(before, server):
    """How long the unluckiest thread of a server was ready to run and did not, since the numbers before, and the numbers now
    (Documentation/scheduler/sched-stats.rst: the second of a thread's schedstat, in nanoseconds)."""
    now = {}
    for file in pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/schedstat"):
        try:
            now[file.parent.name] = int(file.read_text().split()[1])
        except OSError:
            continue  # It has ended meanwhile.
    return max((waited - before[thread] for thread, waited in now.items() if thread in before), default=0) / 1e9, now


def most_in_a_second(looks):
    """The largest sum of what was waited within a second."""
    return max(sum(look[2] for look in looks if first[0] <= look[0] < first[0] + 1) for first in looks)


def slope(points):
    """The straight line's, by least squares, as `predict_linear` has it."""
    if len(points) < 2:
        return 0.0
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    across = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * (value - mean) for at, value in points) / across if across else 0.0
