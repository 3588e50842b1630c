"""Reads what the machine is, and what a process and a database file have used. Linux alone: most of it is in /proc."""

import os
import pathlib
import platform
import re
import struct
import subprocess
import time

from server import Failure

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# File systems that live in memory: an fsync there costs nothing, so no durable figure would mean anything.
IN_MEMORY = ("tmpfs", "ramfs")
# A server is at rest after so many looks in a row, seconds apart, that found it using less than this share of a processor.
REST_CALM, REST_LOOK_S, REST_CPU, REST_LIMIT_S = 3, 1, 0.05, 120


def describe(folder):
    """The machine in words, for whoever reads the figures elsewhere."""
    wrk = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    version = re.search(r"wrk\s+(\S+)", wrk.stdout + wrk.stderr)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "filesystem": filesystem(folder),
        "load_before": os.getloadavg()[0],
        "wrk": version[1] if version else "unknown",
    }


def cpu_model():
    found = re.search(r"^model name\s*:\s*(.+)$", read("/proc/cpuinfo"), re.MULTILINE)
    return found[1] if found else platform.machine()


def filesystem(folder):
    """The type of the mount that the folder is on; of two on one point the later is on top."""
    folder = pathlib.Path(folder).resolve()
    best = (-1, "unknown")
    for line in read("/proc/self/mountinfo").splitlines():
        point = line.split(" ")[4].replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= best[0]:
            best = (len(point), line.split(" - ")[1].split(" ")[0])
    return best[1]


def anonymous_bytes(pid):
    """Resident memory that is the process's own; pages of files that the kernel may drop are not in it."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", read(f"/proc/{pid}/status"), re.MULTILINE)
    if not found:
        raise Failure(f"/proc/{pid}/status has no RssAnon")
    return int(found[1]) * 1024


def cpu_s(pid):
    """Processor time of all threads by the scheduler's own clock (clock_getcpuclockid(3)), which has no ticks of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)


def rest(pid):
    """Waits until a server has nothing left to do of its own accord, and answers how many seconds that took.

    After much was written it merges the many segments of the index, beside whatever is asked meanwhile.
    """
    began, calm = time.monotonic(), 0
    while calm < REST_CALM:
        before = cpu_s(pid)
        time.sleep(REST_LOOK_S)
        calm = calm + 1 if cpu_s(pid) - before < REST_CPU * REST_LOOK_S else 0
        if time.monotonic() - began > REST_LIMIT_S:
            raise Failure(f"the server is still at work {REST_LIMIT_S} s after the last write")
    return time.monotonic() - began - REST_CALM * REST_LOOK_S


def workers(pid):
    """How many threads of actix answer requests: its arbiters, whose name the kernel cuts to 15 characters."""
    names = [read(path).strip() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/comm")]
    count = sum(name == "actix-rt|system" for name in names)
    if not count:
        raise Failure(f"none of the server's threads is known as actix's: {', '.join(sorted(set(names)))}")
    return count


class Meanwhile:
    """What else used the processors since this was made, as shares of all of them."""

    def __init__(self):
        self.began, self.before = time.monotonic(), spent_s()

    def shares(self):
        """Ask when every process of the run has ended: a child's time is known once it was waited for."""
        whole = (time.monotonic() - self.began) * (os.cpu_count() or 1)
        busy, stolen, own = (now - before for now, before in zip(spent_s(), self.before, strict=True))
        return {"others_share": max(0, busy - own) / whole, "stolen_share": stolen / whole}


def spent_s():
    """Time that all cores worked, that the host gave to other machines (proc(5), /proc/stat), and that was ours."""
    user, nice, system, _, _, irq, softirq, steal = map(int, read("/proc/stat").split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq) / TICKS_PER_S, steal / TICKS_PER_S, sum(os.times()[:4])


def commits(db):
    """How many transactions were committed, modulo 2^32: iChange. So the size of a group is known without the server."""
    return wal_index(db)[2]


def database_bytes(db):
    """The database with what is still in its log alone: nPage. The log itself, which is cut back, is not in it."""
    _, _, _, _, _, page_bytes, _, pages = wal_index(db)
    # 64 KiB does not fit into the field.
    return pages * (65_536 if page_bytes == 1 else page_bytes)


def wal_index(db):
    """The header of the file's WAL index up to nPage: iVersion, unused, iChange, isInit, bigEndCksum, szPage, mxFrame, nPage.

    Documented in https://www.sqlite.org/walformat.html, "The WAL-Index Header"; native byte order.
    """
    layout = struct.Struct("=IIIBBHII")
    with open(f"{db}-shm", "rb") as index:
        return layout.unpack(index.read(layout.size))


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror}); scripts/bench needs Linux") from None
