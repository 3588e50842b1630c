"""Keeps what scripts/bench found and prints it: ratios first, then figures, ceilings and the machine."""

import statistics

# Beyond this the ratios to one-threaded SQLite flatter us: it waits for a processor at each fsync, where the server has
# several threads that compete. With two compilers beside it on 2 cores a ratio of 0.7 became 1.7.
MUCH_BESIDE = 0.1


class Report:
    """Everything that was measured, by name."""

    def __init__(self):
        self.ratios, self.rates, self.figures, self.ceilings = {}, {}, {}, {}
        self.sqlite_version = "unknown"

    def ratio(self, name, ours, ceiling, against):
        """Each round has its own ratio, so that a slow minute of the machine hurts both sides."""
        rounds = [one / other for one, other in zip(ours, ceiling, strict=True)]
        self.ratios[name] = {"median": statistics.median(rounds), "rounds": rounds, "against": against}
        self.ceilings[name] = {**self.ceilings.get(name, {}), "per_s": statistics.median(ceiling)}

    def raw(self, name, runs):
        self.ceilings[name] = {
            key: statistics.median(run[key] for run in runs)
            for key in ("group", "commits_per_s", "commit_p50_ms", "commit_p99_ms", "commit_max_ms")
        }

    def loads(self, name, runs, connections):
        """The median of the rounds; the worst p99 is in the JSON, since one round may have met a pause.

        wrk corrects its percentiles for what a pause kept it from sending: one pause of 100 ms counts as all the requests
        that would have waited in it.
        """
        self.rates[name] = {
            "connections": connections,
            "requests": sum(run.requests for run in runs),
            **{key: statistics.median(getattr(run, key) for run in runs) for key in ("per_s", "p50_ms", "p99_ms", "cpu_us")},
            "worst_p99_ms": max(run.p99_ms for run in runs),
            "max_ms": max(run.max_ms for run in runs),
        }

    def figure(self, name, title, value, unit, note=""):
        self.figures[name] = {"title": title, "value": value, "unit": unit, "note": note}

    def as_dict(self):
        return {"ratios": self.ratios, "rates": self.rates, "figures": self.figures, "ceilings": self.ceilings}

    def show(self, titles, about):
        if about["others_share"] > MUCH_BESIDE:
            print(
                f"\nWARNING: other programs used {about['others_share']:.0%} of the processors meanwhile. "
                "These figures are too low and the ratios to SQLite too high; measure again when the machine is idle."
            )
        if self.ratios:
            print("\nRatios: ours / the ceiling of the same round (median; all rounds in brackets)")
            for name, ratio in self.ratios.items():
                rounds = " ".join(f"{one:.2f}" for one in ratio["rounds"])
                print(f"  {name:12} {ratio['median']:5.2f}  [{rounds}]  {titles[name]}\n{'':22}{ratio['against']}")
        if self.rates:
            print("\nRates (median of the rounds; the load generator is on the same machine)")
            print(f"  {'':12} {'conns':>5} {'req/s':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8} {'CPU µs/req':>11}")
            for name, rate in self.rates.items():
                print(
                    f"  {name:12} {rate['connections']:5} {rate['per_s']:9,.0f} {rate['p50_ms']:8.2f} {rate['p99_ms']:8.2f} "
                    f"{rate['max_ms']:8.1f} {rate['cpu_us']:11.1f}  {titles[name]}"
                )
        if self.figures:
            print("\nFigures")
            for name, figure in self.figures.items():
                note = f" ({figure['note']})" if figure["note"] else ""
                print(f"  {name:14} {number(figure['value']):>9} {figure['unit']:12} {figure['title']}{note}")
        if self.ceilings:
            print("\nCeilings (median of the rounds)")
            for name, ceiling in self.ceilings.items():
                extra = ""
                if "group" in ceiling:
                    extra = (
                        f" events/s in groups of {ceiling['group']:.0f}: {ceiling['commits_per_s']:,.0f} commits/s, "
                        f"p50 {ceiling['commit_p50_ms']:.2f} ms, p99 {ceiling['commit_p99_ms']:.2f} ms, "
                        f"longest {ceiling['commit_max_ms']:.0f} ms"
                    )
                print(f"  {name:12} {ceiling['per_s']:9,.0f}{extra or ' req/s'}")
        print(
            f"\nMachine: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; {about['kernel']}; "
            f"files on {about['filesystem']}; SQLite {about['sqlite']}; wrk {about['wrk']}; load before {about['load_before']:.2f}; "
            f"of the processors' time {about['others_share']:.1%} used by other programs, {about['stolen_share']:.1%} taken by "
            f"the host; measured in {about['seconds']:.0f} s",
            flush=True,
        )


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}" if value < 1 else f"{value:.1f}"
