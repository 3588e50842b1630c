"""Compares a run of scripts/bench with an earlier one: ratios, and processor time per request.

Neither depends on how fast requests came, but both on what else ran: beside compilers a request takes more processor time,
since caches are shared, and the raw SQLite waits longer for a processor than the server. So a run beside which others
worked much is judged less strictly, and its ratios to a ceiling are not judged at all.
"""

import json

import bench_rows
from bench_report import MUCH_BESIDE, number
from server import Failure

# One binary measured six times while others used 40 to 65 % of two cores: processor time per request differed by at most
# 20 % in five of them and by 33 % in one; a ratio to SQLite fourfold. The margin for a quiet machine was not measured: it
# is about what is left of that when the rounds of one run agree, and it grows with their spread.
MARGIN, BUSY_MARGIN = 0.15, 0.4


def read(path):
    try:
        older = json.loads(path.read_text())
        return {name: older[name] for name in ("figures", "rates", "settings", "machine")}
    except (OSError, ValueError, KeyError) as error:
        raise Failure(f"{path} is not what --json writes: {error}") from None


def compare(older, newer):
    """Prints new / old, and answers with the regressions."""
    check_alike(older, newer)
    busy = max(one["machine"]["others_share"] for one in (older, newer)) > MUCH_BESIDE
    problems = []
    print(f"\nNew / old{' (the machine was busy: a wide margin, and no judgement of ratios to a ceiling)' if busy else ''}")
    for name, old, new, row in pairs(older, newer):
        quotient = new["value"] / old["value"]
        worse = 1 / quotient if row and row.more_is_better else quotient
        margin = max(BUSY_MARGIN if busy else MARGIN, spread(old["rounds"]), spread(new["rounds"]))
        judged = not (busy and row and row.unit == bench_rows.OF_CEILING)
        verdict = "REGRESSION" if judged and worse > 1 + margin else ""
        print(f"  {name:28} {number(old['value']):>9} → {number(new['value']):>9}  {quotient:5.2f}  {verdict}")
        if verdict:
            problems.append(f"{name}: {number(old['value'])} became {number(new['value'])}; noise explains {margin:.0%}")
    return problems


def check_alike(older, newer):
    """Other loads, stores or processors would make a difference of their own."""
    for part, key in (("settings", "seconds"), ("settings", "events"), ("machine", "cpu"), ("machine", "cores")):
        if older[part][key] != newer[part][key]:
            raise Failure(f"the earlier run had other {key}: {older[part][key]} and not {newer[part][key]}")


def pairs(older, newer):
    """Ratios with their row, then processor times per request."""
    for row in bench_rows.RATIOS:
        if row.name in older["figures"] and row.name in newer["figures"]:
            yield row.name, older["figures"][row.name], newer["figures"][row.name], row
    for name in newer["rates"]:
        if name in older["rates"]:
            old, new = (one["rates"][name] for one in (older, newer))
            yield f"{name} CPU µs", cpu(old), cpu(new), None


def cpu(rate):
    return {"value": rate["cpu_us"], "rounds": rate["cpu_us_rounds"]}


def spread(rounds):
    """How far the rounds of one run were apart, of their middle."""
    return (max(rounds) - min(rounds)) / sorted(rounds)[len(rounds) // 2] if rounds else 0
