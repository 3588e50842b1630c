"""Gives the exposition of a running server to promtool and to the strict parsers of prometheus_client, in both formats:
on an empty store, and after requests, errors and hostile names.

usage: AGENT_MEMORY_BIN=FILE exposition.py     (with a python that has prometheus_client; scripts/test makes one)"""
import gzip
import math
import subprocess
import tempfile

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from server import EVENT, Failure, Server, build, run

OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
# What goes to and fro from one scrape to the next.
MOVING = (
    "process_", "agent_memory_memory_bytes", "agent_memory_allocator_bytes", "agent_memory_sqlite_memory_bytes",
    "agent_memory_metrics_",
)


def scrape(client, accept):
    headers = {"Accept": accept, "Accept-Encoding": "gzip"}
    answer = client.request("GET", "/metrics/prometheus", headers=headers)
    if answer.status != 200 or answer.headers["Content-Encoding"] != "gzip":
        raise Failure(f"a scrape was answered {answer.status} in {answer.headers['Content-Encoding']}")
    return gzip.decompress(answer.body).decode()


def series(families, when):
    """Each sample by name and labels; twice the same is a failure."""
    found = {}
    for family in families:
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            if key in found:
                raise Failure(f"{key} stands twice {when}")
            if math.isnan(sample.value):
                raise Failure(f"{key} is not a number {when}")
            found[key] = sample
    return found


def lint(text, when):
    checked = subprocess.run(["promtool", "check", "metrics"], input=text.encode(), capture_output=True)
    said = checked.stdout.decode() + checked.stderr.decode()
    if checked.returncode != 0 or said.strip():
        raise Failure(f"promtool does not like the exposition {when}:\n{said}")


def check(client, when):
    text, openmetrics, later = scrape(client, "*/*"), scrape(client, OPENMETRICS), scrape(client, "*/*")
    lint(text, when)
    plain = series(parse_text(text), when)
    strict = series(parse_openmetrics(openmetrics), when)
    again = series(parse_text(later), when)
    if plain.keys() != again.keys():
        raise Failure(f"a second scrape has other series {when}: {sorted(plain.keys() ^ again.keys())[:5]}")
    if plain.keys() != strict.keys():
        raise Failure(f"the formats have other series {when}: {sorted(plain.keys() ^ strict.keys())[:5]}")
    # The scrapes and an idle writer count meanwhile: what grew was in between, and all else is the same.
    for key, sample in plain.items():
        least, most = sorted((sample.value, again[key].value))
        if not key[0].startswith(MOVING) and not least <= strict[key].value <= most:
            raise Failure(f"{key} is {least} to {most} in one format and {strict[key].value} in the other {when}")
    exemplars = sum(1 for sample in strict.values() if sample.exemplar)
    print(f"promtool and both parsers accept {len(plain)} series, {exemplars} of them with an exemplar, {when}")
    return plain, exemplars


def main():
    with tempfile.TemporaryDirectory() as folder, Server(build(), f"{folder}/memory.db") as server:
        client = server.client()
        before, _ = check(client, "of an empty store")
        for number in range(50):
            client.request("POST", "/api/v1/events", EVENT)
            client.request("POST", "/api/v1/recall", {"query": "scrape interval"})
            client.request("POST", "/api/v1/recall", {"query": 5})
            client.request("DELETE", f"/api/v1/events/{number}%22%5C%0A%00%F0%9F%A6%80")
            client.request("GET", "/no/such/route")
            client.request("BR-EW", f"/{'x' * 5000}")
        after, exemplars = check(client, "after requests and errors")
        if before.keys() != after.keys():
            raise Failure(f"requests made other series: {sorted(before.keys() ^ after.keys())[:5]}")
        if exemplars < 5:
            raise Failure("hardly a request is named as an exemplar")


if __name__ == "__main__":
    run(main)
