"""What users feel while a large memory is consolidated for the first time: the p99 of writes and reads before, and meanwhile.

usage: python3 scripts/lib/consolidation_load.py BINARY [HANDOFFS]

Both are measured in one run, at the same pace by the same clients, so a busy machine is busy in both.
"""

import datetime
import json
import math
import pathlib
import random
import re
import sys
import tempfile
import threading
import time

import export_file
from server import EVENT, Failure, Server, checked_binary, read_metrics, run

# How much longer than before it may take. From the contract.
MORE_MS = 10
IDLE_S = 20
# How long a slice holds the writer, in ms, and how many of a hundred have to keep to that; these are bounds of the histogram. A
# slice begins no change after 5 ms, and on a busy machine a thread is put aside in the middle of one: so some take longer, the
# longer the fewer. A writer that is held for 100 ms is felt, and none may be held for 500, which no scheduler does to a thread
# that is ready for so little.
SLICES = {5: 90, 20: 99, 100: 99.9, 500: 100}
# Sentences of a handoff: about 250 tokens, as agents write them.
SENTENCES = 14
PAUSE_S = 0.01


def sentence(dice, words):
    return (" ".join(dice.choices(words, k=dice.randint(8, 18))) + f" {dice.randint(1, 9999)}.").capitalize()


def write_handoffs(path, count):
    out, dice = export_file.ExportFile(path), random.Random(5)
    words = export_file.word_pool()[:200_000].split()
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = []
    for number in range(count):
        text = [sentence(dice, words) for _ in range(SENTENCES)]
        ended = now - datetime.timedelta(days=35 + 330 * number / count)
        lines.append(json.dumps({
            "type": "handoff", "handoff_id": f"sh_{number:032x}", "tenant_id": "default", "session_id": f"s{number}",
            "with_whom": "Ada", "experienced": " ".join(text[:9]), "noticed": "", "learned": " ".join(text[9:12]), "story": "",
            "becoming": text[12] if number % 10 == 0 else "", "remember": text[13], "significance": 0.5, "tags": [],
            "sensitivity": "none", "origin": "agent", "compression_level": "full",
            "created_at": ended.strftime("%Y-%m-%dT%H:%M:%S.000Z")}, ensure_ascii=False))
        if len(lines) == 2_000:
            out.write(lines)
            lines = []
    if lines:
        out.write(lines)
    out.counts["handoffs"] = count
    out.close()


class Watch:
    """Two clients, one that writes and one that reads, and what each of their requests took."""

    def __init__(self, server):
        self.times, self.stopped = {"write": [], "read": []}, False
        self.threads = [threading.Thread(target=self.go, args=(kind, server.client())) for kind in self.times]
        for thread in self.threads:
            thread.start()

    def go(self, kind, client):
        number = 0
        while not self.stopped:
            number += 1
            begun = time.perf_counter()
            if kind == "write":
                client.post("/api/v1/events", EVENT | {"content": {"text": f"reading {number} of the gauge"}})
            elif number % 2:
                client.get("/api/v1/wake-up")
            else:
                client.get("/api/v1/handoffs", limit=5, order="desc")
            self.times[kind].append((time.perf_counter() - begun) * 1e3)
            time.sleep(PAUSE_S)

    def take(self):
        taken = {kind: sorted(times) for kind, times in self.times.items()}
        for times in self.times.values():
            times.clear()
        return taken

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()


def p99(times):
    if not times:
        raise Failure("nothing was measured")
    return times[min(len(times) - 1, len(times) * 99 // 100)]


def slices(client):
    """How many units of consolidation the writer did within which time in ms, by the server's own histogram."""
    values, _ = read_metrics(client.request("GET", "/metrics/prometheus").text)
    name = "agent_memory_sqlite_statement_duration_seconds_bucket"
    found = {}
    for (series, labels), value in values.items():
        if series == name and 'op="consolidate"' in labels:
            bound = re.search(r'le="([^"]+)"', labels)[1]
            found[math.inf if bound == "+Inf" else float(bound) * 1e3] = value
    return dict(sorted(found.items()))


def main():
    binary, count = checked_binary(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_handoffs(folder / "handoffs.jsonl", count)
        with Server(binary, folder / "m.db", ["--consolidation", "1d"]) as server:
            client = server.client()
            body = (folder / "handoffs.jsonl").read_bytes()
            client.call("POST", "/api/v1/import", body, headers={"Content-Type": "application/x-ndjson"})
            print(f"{count} handoffs are in")
            time.sleep(5)
            watch = Watch(server)
            time.sleep(IDLE_S)
            idle = watch.take()
            begun = time.monotonic()
            client.post("/api/v1/consolidation/run", {})
            while True:
                time.sleep(0.5)
                jobs = client.get("/api/v1/consolidation/jobs", limit=100)["jobs"]
                if all(job["status"] != "running" for job in jobs):
                    break
            took = time.monotonic() - begun
            busy = watch.take()
            watch.stop()
            held = slices(client)
    print("| job | changed | tokens before | after |\n|---|---|---|---|")
    for job in jobs:
        print(f"| {job['job_type']} ({job['status']}) | {job['items_affected']} of {job['items_processed']} "
              f"| {job['tokens_before']} | {job['tokens_after']} |")
    print(f"consolidating took {took:.1f} s")
    faults = [f"{job['job_type']} {job['status']}: {job.get('error')}" for job in jobs if job["status"] == "failed"]
    units = held.get(math.inf, 0)
    print(f"{units:.0f} units of work on the writer: " + ", ".join(
        f"{100 * within / max(units, 1):.2f} % within {bound:g} ms" for bound, within in held.items() if bound != math.inf))
    for most, share in SLICES.items():
        kept = max((within for bound, within in held.items() if bound <= most), default=0)
        if 100 * kept < share * units or not units:
            faults.append(f"{units - kept:.0f} of {units:.0f} slices held the writer for more than {most} ms")
    for kind in idle:
        before, meanwhile = p99(idle[kind]), p99(busy[kind])
        print(f"{kind}: p99 {before:.1f} ms idle ({len(idle[kind])} requests), {meanwhile:.1f} ms meanwhile ({len(busy[kind])})")
        if meanwhile > before + MORE_MS:
            faults.append(f"{kind}s take {meanwhile - before:.1f} ms longer meanwhile, and may take {MORE_MS}")
    if faults:
        raise Failure("; ".join(faults))


if __name__ == "__main__":
    run(main)
