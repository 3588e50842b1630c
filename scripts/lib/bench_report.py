"""Keeps what scripts/bench found and prints it: ratios first, then figures, loads, ceilings and the machine."""

import statistics

import bench_rows

# Beyond this the ratios to one-threaded SQLite flatter us: it waits for a processor at each fsync, where the server has
# several threads that compete. With two compilers beside it on 2 cores a ratio of 0.7 became 1.7.
MUCH_BESIDE = 0.1
RATE_KEYS = ("per_s", "p50_ms", "p95_ms", "p99_ms", "cpu_us")
RAW_KEYS = ("group", "commits_per_s", "commit_p50_ms", "commit_p99_ms", "commit_max_ms", "pages_per_commit")


class Report:
    """Everything that was measured, by name."""

    def __init__(self):
        self.figures, self.rates, self.ceilings = {}, {}, {}
        self.sqlite_version = "unknown"

    def figure(self, name, value, note="", rounds=()):
        row = bench_rows.ROWS[name]
        self.figures[name] = {
            "value": value, "unit": row.unit, "title": row.title, "passes": row.passes, "goal": row.goal,
            "verdict": row.verdict(value), "rounds": list(rounds), "note": note,
        }

    def ratio(self, name, ours, theirs, note):
        """Each round has its own ratio, so that a slow minute of the machine hurts both sides."""
        rounds = [one / other for one, other in zip(ours, theirs, strict=True)]
        self.figure(name, statistics.median(rounds), note, rounds)
        if bench_rows.ROWS[name].unit == bench_rows.OF_CEILING:
            self.ceilings[name] = {**self.ceilings.get(name, {}), "per_s": statistics.median(theirs)}

    def disk(self, size, events):
        self.figure("disk", size / events, f"{size / 1e6:,.1f} MB, {events:,} events")

    def raw(self, name, runs):
        self.ceilings[name] = {key: statistics.median(run[key] for run in runs) for key in RAW_KEYS}

    def loads(self, name, runs, connections):
        """The median of the rounds; the worst p99 is in the JSON, since one round may have met a pause.

        wrk corrects its percentiles for what a pause kept it from sending: one pause of 100 ms counts as all the requests
        that would have waited in it.
        """
        self.rates[name] = {
            "connections": connections,
            "requests": sum(run.requests for run in runs),
            **{key: statistics.median(getattr(run, key) for run in runs) for key in RATE_KEYS},
            "cpu_us_rounds": [run.cpu_us for run in runs],
            "worst_p99_ms": max(run.p99_ms for run in runs),
            "max_ms": max(run.max_ms for run in runs),
        }

    def as_dict(self):
        return {"figures": self.figures, "rates": self.rates, "ceilings": self.ceilings}

    def show(self, titles, about):
        if about["others_share"] > MUCH_BESIDE:
            print(
                f"\nWARNING: other programs used {about['others_share']:.0%} of the processors meanwhile. "
                "These figures are too low and the ratios to SQLite too high; measure again when the machine is idle."
            )
        for heading, rows in (("Ratios", bench_rows.RATIOS), ("Figures", bench_rows.FIGURES)):
            if found := [row for row in rows if row.name in self.figures]:
                print(f"\n{heading} (median of the rounds)\n  {'':20} {'':>9} {'':9} {'pass':>8} {'goal':>8}")
                for row in found:
                    self.show_row(row)
        if self.rates:
            self.show_rates(titles)
        if self.ceilings:
            self.show_ceilings()
        print(f"\n{machine_line(about)}", flush=True)

    def show_row(self, row):
        found = self.figures[row.name]
        rounds = f" [{' '.join(number(one) for one in found['rounds'])}]" if len(found["rounds"]) > 1 else ""
        note = f"; {found['note']}" if found["note"] else ""
        print(
            f"  {row.name:20} {number(found['value']):>9} {row.unit:9} {line(row, row.passes):>8} {line(row, row.goal):>8}  "
            f"{found['verdict']:7} {row.title}{rounds}{note}"
        )

    def show_rates(self, titles):
        print("\nLoads (median of the rounds; the load generator is on the same machine)")
        print(f"  {'':20} {'conns':>5} {'req/s':>9} {'p50 ms':>8} {'p95 ms':>8} {'p99 ms':>8} {'max ms':>8} {'CPU µs/req':>11}")
        for name, rate in self.rates.items():
            print(
                f"  {name:20} {rate['connections']:5} {rate['per_s']:9,.0f} {rate['p50_ms']:8.2f} {rate['p95_ms']:8.2f} "
                f"{rate['p99_ms']:8.2f} {rate['max_ms']:8.1f} {rate['cpu_us']:11.1f}  {titles.get(name, '')}"
            )

    def show_ceilings(self):
        print("\nCeilings (median of the rounds)")
        for name, ceiling in self.ceilings.items():
            extra = " req/s"
            if "group" in ceiling:
                extra = (
                    f" events/s in groups of {ceiling['group']:.0f}: {ceiling['commits_per_s']:,.0f} commits/s of "
                    f"{ceiling['pages_per_commit']:.0f} pages, p50 {ceiling['commit_p50_ms']:.2f} ms, "
                    f"p99 {ceiling['commit_p99_ms']:.2f} ms, longest {ceiling['commit_max_ms']:.0f} ms"
                )
            print(f"  {name:20} {ceiling['per_s']:9,.0f}{extra}")

    def markdown(self, about):
        """The table of the README; a load has its p99 and its processor time beside it."""
        lines = ["| | measured | pass | goal | p99 | CPU a request |", "|---|---|---|---|---|---|"]
        for row in [*bench_rows.RATIOS, *bench_rows.FIGURES]:
            if found := self.figures.get(row.name):
                value = f"{number(found['value'])} {row.unit}".strip() + (" (missed)" if found["verdict"] == "MISSED" else "")
                load = self.rates.get(row.name.removesuffix("-rate")) if row.name.endswith("-rate") else None
                beside = f"{number(load['p99_ms'])} ms | {number(load['cpu_us'])} µs" if load else "|"
                lines.append(f"| {row.title} | {value} | {line(row, row.passes)} | {line(row, row.goal)} | {beside} |")
        return "\n".join([machine_line(about), "", *lines])


def line(row, value):
    if value is None:
        return ""
    return f"{'≥' if row.more_is_better else '≤'} {value:,g}"


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine_line(about):
    return (
        f"{about['date']}: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; {about['kernel']}; files on "
        f"{about['filesystem']}; SQLite {about['sqlite']}; load by wrk {about['wrk']} on the same machine, load before "
        f"{about['load_before']:.2f}; of the processors' time {about['others_share']:.1%} used by other programs, "
        f"{about['stolen_share']:.1%} taken by the host; measured in {about['seconds']:.0f} s"
    )
