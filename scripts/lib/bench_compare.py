"""Compares a run of scripts/bench with an earlier one: what does not depend on how busy the machine was."""

import json

import bench_rows
from bench_report import number
from server import Failure

# Placeholder until measured.
MARGIN = 0.15


def read(path):
    try:
        older = json.loads(path.read_text())
        return {"figures": older["figures"], "rates": older["rates"], "settings": older["settings"], "machine": older["machine"]}
    except (OSError, ValueError, KeyError) as error:
        raise Failure(f"{path} is not what --json writes: {error}") from None


def compare(older, newer):
    """Prints new / old for each ratio and each processor time, and answers with the regressions."""
    problems = []
    print("\nNew / old")
    for name, old, new, more_is_better in pairs(older, newer):
        quotient = new["value"] / old["value"]
        worse = 1 / quotient if more_is_better else quotient
        margin = max(MARGIN, spread(old["rounds"]), spread(new["rounds"]))
        regressed = worse > 1 + margin
        print(
            f"  {name:32} {number(old['value']):>9} → {number(new['value']):>9}  {quotient:5.2f}  "
            f"{'REGRESSION' if regressed else ''}"
        )
        if regressed:
            problems.append(f"{name}: {number(old['value'])} became {number(new['value'])}, noise explains {margin:.0%}")
    return problems


def pairs(older, newer):
    for name in bench_rows.RATIO_NAMES & older["figures"].keys() & newer["figures"].keys():
        yield name, older["figures"][name], newer["figures"][name], bench_rows.ROWS[name].more_is_better
    for name in older["rates"].keys() & newer["rates"].keys():
        old, new = (
            {"value": one["rates"][name]["cpu_us"], "rounds": one["rates"][name]["cpu_us_rounds"]} for one in (older, newer))
        yield f"{name} CPU", old, new, False


def spread(rounds):
    """How far the rounds of one run were apart, of their middle."""
    return (max(rounds) - min(rounds)) / sorted(rounds)[len(rounds) // 2] if rounds else 0
