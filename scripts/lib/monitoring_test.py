"""scripts/test-monitoring, inside its virtual environment."""

import argparse
import pathlib
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import faults  # noqa: E402
import monitoring_panels  # noqa: E402
import monitoring_source as source  # noqa: E402
import server  # noqa: E402
from monitoring_live import Live  # noqa: E402

# How many times faster than shipped the alerts are in the everyday run. Their shortest range is then three scrapes.
FACTOR = 20
KEPT = "# Written by scripts/test-monitoring --record, from series of a real run.\n"


def main():
    parser = argparse.ArgumentParser(prog="scripts/test-monitoring", description="The monitoring files on a real Prometheus and Alertmanager.")
    parser.add_argument("--full", action="store_true", help="alerts at the pace they are shipped with; about 25 minutes")
    parser.add_argument("--record", action="store_true", help="keep the recorded series as tests/monitoring/recorded_test.yml")
    parser.add_argument("--faults", action="store_true", help="also faults that only the build with faults can have (AGENT_MEMORY_FAULT_BIN)")
    parser.add_argument("--panels", action="store_true", help="take pictures of the dashboard instead; needs node, npm and chromium")
    parser.add_argument("--quiet", type=float, metavar="MINUTES", help="normal load at the shipped pace instead; nothing may fire")
    asked = parser.parse_args()
    # Who ends this ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    started = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - started:5.1f} s] {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="agent-memory-monitoring-") as folder:
        if asked.panels:
            found = monitoring_panels.draw(server.build(), folder, say)
            for fault in found:
                print(f"    FAULT: {fault}")
            return 1 if found else 0
        if asked.quiet:
            found = Live(server.build(), folder, 1, say).quiet(asked.quiet)
            say(f"{len(found)} faults" if found else "nobody was called")
            return 1 if found else 0
        live = Live(server.build(), folder, 1 if asked.full else FACTOR, say, faults.build() if asked.faults else None)
        found = live.run()
        if asked.record and not found:
            made = (pathlib.Path(folder) / "recorded_test.yml").read_text()
            (source.CASES / "recorded_test.yml").write_text(KEPT + made.replace(str(source.MONITORING), "../../monitoring"))
    say(f"{len(found)} faults" if found else "the monitoring works")
    return 1 if found else 0


if __name__ == "__main__":
    server.run(main)
