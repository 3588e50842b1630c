"""Somebody who looks at the machine while alerts are judged, without asking the server or Prometheus.

An alert about a disk or about time is right on a machine whose disk stalls or whose processor others have. So one that fires
where none should is held against what this saw in the same minute: how long the same disk took for a write of its own, how
long the kernel kept the server's threads from a processor that they were ready for, how long the client waited for answers,
what was free. If that does not bear it out, it is a false alarm, and a fault.
"""

import os
import pathlib
import time

import monitoring_source as source
from monitoring_stack import seconds
from server import Beside

# Ten looks a second are cheap, and a stall of a quarter of a second is not missed.
PAUSE_S = 0.1
PAGE = b"\0" * 4096
# Bounds of the rules (monitoring/alerts.yml), and the range of those that look at one.
SLOW_COMMIT_S, SLOW_REQUEST_S, LITTLE_FREE = 0.25, 1.0, 0.4
RANGE_S = {"AgentMemorySlowCommits": 300, "AgentMemorySlowRequests": 300}
HORIZON_S = 24 * 3600


class Witness(Beside):
    """Looks from `with` to its end. `took` is what the client keeps of its requests: when, method, route, seconds. `pace` is what
    Prometheus keeps: how long after it happened something is seen at the latest, and how long a scrape may take, in seconds."""

    def __init__(self, folder, factor, took, server, pace):
        super().__init__()
        self.seen_s, self.scrape_s = pace
        self.holds_for = {rule["alert"]: seconds(rule.get("for", "0s")) for rule in source.alerts()}
        self.folder, self.factor, self.took, self.server = pathlib.Path(folder), factor, took, server
        # When, how long a write took, how long one of the server's threads waited since the look before, octets free, in all.
        self.looks = []

    def work(self):
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
        began = at - (RANGE_S.get(name, 0) + self.holds_for[name]) / self.factor - self.seen_s
        within = [look for look in self.looks if began <= look[0] <= at]
        if not within:
            return False, "nobody looked"
        wrote, late = max(look[1] for look in within), most_within(within, 1)
        seen = f"a write of 4 KiB to the same disk took up to {wrote:.2f} s, and the server waited up to {late:.2f} s in a second for a processor"
        if name == "AgentMemorySlowCommits":
            # Who writes waits for the commit, and the rule asks for one in a hundred.
            right, waited = self.waited(began, at, SLOW_COMMIT_S, lambda method, _: method == "POST")
            return right and max(wrote, late) > SLOW_COMMIT_S, f"{waited}; {seen}"
        if name == "AgentMemoryDown":
            # A scrape that was not answered in time: for more than half of it there was no processor.
            return most_within(within, self.scrape_s) > self.scrape_s / 2, seen
        if name == "AgentMemorySlowRequests":
            right, waited = self.waited(began, at, SLOW_REQUEST_S, lambda _, route: route == labels.get("path"))
            return right and max(wrote, late) > SLOW_REQUEST_S / 2, f"{waited}; {seen}"
        if name == "AgentMemoryDiskFullIn24h":
            free, size = within[-1][3:]
            trend = slope([(look[0], look[3]) for look in self.looks if look[0] <= at])
            left = free + trend * HORIZON_S / self.factor
            return left < 0 and free < LITTLE_FREE * size, f"{free / 1e9:.1f} of {size / 1e9:.1f} GB were free, and went by {-trend / 1e6:.1f} MB/s"
        return False, seen

    def waited(self, began, ended, bound_s, of):
        """Whether the client waited longer than that for one in a hundred answers at least, and that in words."""
        waited = [took for when, method, route, took in list(self.took) if began <= when <= ended and of(method, route)]
        slow = sum(took > bound_s for took in waited)
        return slow * 100 >= len(waited) > 0, f"the client waited over {bound_s:g} s for {slow} of {len(waited)} answers"


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


def most_within(looks, span_s):
    """The largest sum of what was waited within so long."""
    return max(sum(look[2] for look in looks if first[0] <= look[0] < first[0] + span_s) for first in looks)


def slope(points):
    """The straight line's, by least squares, as `predict_linear` has it."""
    if len(points) < 2:
        return 0.0
    middle = sum(at for at, _ in points) / len(points)
    mean = sum(value for _, value in points) / len(points)
    across = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * (value - mean) for at, value in points) / across if across else 0.0
