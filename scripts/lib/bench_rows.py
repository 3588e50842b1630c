"""The table that scripts/bench fills: each figure with the value that passes and the one that is aimed at.

A ratio compares two things measured in the same run, so it holds on other machines; a plain figure is this machine's. The
lines to pass are stated for two cores that do nothing else.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure. Without `passes` it is there to be read."""

    name: str
    title: str
    unit: str
    more_is_better: bool = True
    passes: float | None = None
    goal: float | None = None

    def verdict(self, value):
        if self.passes is None:
            return ""
        if self.reaches(value, self.goal):
            return "goal"
        return "pass" if self.reaches(value, self.passes) else "MISSED"

    def reaches(self, value, line):
        return value >= line if self.more_is_better else value <= line


def more(name, title, unit, passes=None, goal=None):
    return Row(name, title, unit, True, passes, goal)


def less(name, title, unit, passes=None, goal=None):
    return Row(name, title, unit, False, passes, goal)


# What a ceiling bounds has no unit; × is of ourselves in better circumstances.
OF_CEILING = ""
RATIOS = [
    more("health", "GET /health, of actix-web answering a constant", OF_CEILING, 0.75, 0.9),
    more("events-16", "one durable event, 16 connections, of raw SQLite in groups of the same size", OF_CEILING, 0.35, 0.5),
    more("events-64", "one durable event, 64 connections, of raw SQLite in groups of the same size", OF_CEILING, 0.35, 0.5),
    more("batch", "durable events in batches of 100, likewise", OF_CEILING),
    more("handoff", "passages of handoffs, of raw SQLite storing as many events as long as they", OF_CEILING),
    less("wake-up-growth", "time of a wake-up, the large store against 10,000 events", "×", 1.5, 1.1),
    less("scrape-growth", "processor time of a scrape, the large store against 1,000 events", "×", 1.2, 1.0),
    less("reads-beside-writes", "p99 of reads beside 16 writers, against beside 16 readers of /health", "×", 3, 1.5),
]
FIGURES = [
    more("events-16-rate", "durable events one by one, 16 connections", "req/s", 6_000, 9_600),
    less("events-16-p99", "their p99", "ms", 15, 10),
    more("events-64-rate", "durable events one by one, 64 connections", "req/s"),
    more("batch-rate", "durable events in batches of 100", "events/s", 20_000, 30_000),
    more("handoff-rate", "handoffs of six fields of 25 words, beside 10,000 events", "req/s", 4_000, 6_500),
    more("handoff-behind-rate", "the same straight after events flat out", "req/s"),
    more("wake-up-rate", "wake-ups over 10,000 events and 100 handoffs", "req/s", 5_000, 10_000),
    more("wake-up-large-rate", "wake-ups over the large store", "req/s"),
    more("context-10k-rate", "context bundles over 10,000 events", "req/s", 1_000, 2_500),
    more("context-100k-rate", "context bundles over 100,000 events", "req/s", 600, 1_500),
    more("context-1m-rate", "context bundles over 1,000,000 events", "req/s", 300, 800),
    more("recall-10k-rate", "searches over 10,000 events", "req/s"),
    less("recall-10k-p95", "p95 of a search over 10,000 events, one at a time", "ms"),
    more("recall-100k-rate", "searches over 100,000 events", "req/s"),
    less("recall-100k-p95", "p95 of a search over 100,000 events, one at a time", "ms", 20, 20),
    more("recall-1m-rate", "searches over 1,000,000 events", "req/s"),
    less("recall-1m-p95", "p95 of a search over 1,000,000 events, one at a time", "ms", 60, 60),
    less("scrape-cpu", "processor time of a scrape over 1,000 events", "ms", 3, 1),
    less("scrape-large-cpu", "processor time of a scrape over the large store", "ms", 3, 1),
    less("memory-idle", "anonymous resident memory, fresh file", "MB", 20, 12),
    less("memory-loaded", "anonymous resident memory after all of this", "MB", 120, 60),
    less("start-empty", "process start to the first 200, fresh file", "ms", 50, 20),
    less("start-large", "process start to the first 200, the large store", "ms", 50, 20),
    less("disk", "disk for an event of 40 words, index included", "bytes", 1_000, 750),
    less("hook-p99", "p99 of a command that writes, beside 16 writers", "ms", 50, 20),
    less("fdatasync", "fdatasync of an append as large as the raw SQLite's commits", "ms"),
    less("fsync", "fsync of the same", "ms"),
]
ROWS = {row.name: row for row in [*RATIOS, *FIGURES]}
