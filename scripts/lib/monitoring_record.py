"""Series of a live run, written down as a promtool test: what the rules as shipped make of what really happened.

The run was faster than the shipped pace; a second of it becomes `factor` seconds, so that the shipped `for` and ranges fit.
Ages are not made longer by that: the sampler looks every ten seconds in either. So a moment that something happened at is
written as so long before the sample as it was, and the start of the process alone as a place on the longer clock.
"""

import re
import time

import yaml

import monitoring_source as source
import monitoring_static as static

# There are too many of them.
LEFT_OUT = re.compile(r"_bucket$")
STARTED, HAPPENED = "process_start_time_seconds", re.compile(r"_timestamp_seconds$")
BUDGET = "AgentMemoryErrorBudgetFastBurn"
GROUPS = [group["name"] for group in source.rule_groups()]


class Recording:
    def __init__(self, prometheus, start, factor):
        self.prometheus, self.start, self.factor = prometheus, start, factor
        self.probes = []

    def fault(self, began, fired, names):
        """Before `began` these alerts were silent, and at `fired` they fired."""
        for name in names:
            self.probes += [(began, name, 0), (fired, name, 1)]

    def calm(self, at, after_errors):
        """Nothing fires but the watchdog and, after a crowd was turned away, the budget that looks back for hours."""
        self.probes += [(at, None, 0), (at, BUDGET, int(after_errors))]

    def place(self, at):
        return f"{round((at - self.start) * self.factor)}s"

    def series(self, names, end):
        taken = []
        for name in sorted(names):
            if LEFT_OUT.search(name):
                continue
            for labels, points in self.prometheus.query_range(f'{name}{{job="agent-memory"}}', self.start, end, 1):
                if name.endswith("_total") and points[0][1] == points[-1][1] and len({value for _, value in points}) == 1:
                    continue
                taken.append((name, {key: value for key, value in labels.items() if key != "__name__"}, points))
        return taken

    def as_of(self, name, at, value):
        """A value of the longer clock, which begins at 0. What never happened stays 0, and what did is later than that."""
        if name == STARTED:
            return round((value - self.start) * self.factor)
        if HAPPENED.search(name) and value > 0:
            return max(1, round((at - self.start) * self.factor - (at - value)))
        return value

    def test(self, names, end):
        length = int(end - self.start) + 1
        given = []
        for name, labels, points in self.series(names, end):
            by_second = {round(at - self.start): self.as_of(name, at, value) for at, value in points}
            inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
            given.append({"series": f"{name}{{{inside}}}", "values": compressed(by_second, length)})
        probes = []
        for at, name, count in self.probes:
            which = f'alertname="{name}"' if name else f'alertname!~"AgentMemoryWatchdog|{BUDGET}"'
            probes.append({
                "expr": f'count(ALERTS{{alertstate="firing",{which}}})',
                "eval_time": self.place(at),
                "exp_samples": [{"labels": "{}", "value": count}] if count else [],
            })
        return {
            "name": "Recorded from a server in a crowd, killed, without its file, and with faults of its own",
            "interval": f"{self.factor}s",
            "input_series": given,
            "promql_expr_test": probes,
        }

    def write(self, file, names):
        made = {
            "rule_files": [str(path) for path in source.RULE_FILES],
            "evaluation_interval": "15s",
            "group_eval_order": GROUPS,
            "tests": [self.test(names, time.time())],
        }
        file.write_text(yaml.safe_dump(made, sort_keys=False, width=2**20))
        return len(made["tests"][0]["input_series"]), len(made["tests"][0]["promql_expr_test"])

    def replay(self, folder):
        names = self.names()
        file = folder / "recorded_test.yml"
        series, probes = self.write(file, names)
        print(f"    {series} series, {probes} moments")
        return static.rule_test(file)

    def names(self):
        """The series that alerts are made of."""
        text = " ".join(rule["expr"] for rule in source.rules())
        return {name for name in re.findall(r"\b(up|agent_memory_\w+|process_\w+|scrape_\w+)\b", text)}


def compressed(by_second, length):
    """promtool's notation: runs of one value, a gap, and `stale` where a series ended."""
    values, was = [], False
    for second in range(length):
        if second in by_second:
            values.append(f"{by_second[second]:.10g}")
            was = True
        else:
            values.append("stale" if was else "_")
            was = False
    out, place = [], 0
    while place < length:
        end = place
        while end + 1 < length and values[end + 1] == values[place]:
            end += 1
        run = end - place
        if values[place] == "_":
            out.append(f"_x{run + 1}")
        elif values[place] == "stale" or run == 0:
            out += [values[place]] * (run + 1)
        else:
            out.append(f"{values[place]}x{run}")
        place = end + 1
    return " ".join(out)
