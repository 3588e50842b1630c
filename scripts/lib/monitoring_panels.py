"""Pictures of the dashboard: every panel drawn from live data by Grafana's own components, in Debian's Chromium.

No Grafana server can be had from Debian, npm or PyPI; its drawing and field code can. So this proves units, thresholds,
legends and that there is something to see, and not Grafana's variables, provisioning or alert list.
"""

import functools
import http.server
import json
import math
import pathlib
import re
import subprocess
import threading
import time

import monitoring_source as source
from monitoring_stack import Prometheus
from monitoring_traffic import Traffic, batch_of, crowd
from server import Failure, ROOT, Server, free_port

PROJECT = ROOT / "tests" / "monitoring" / "panels"
PICTURES = ROOT / "target" / "monitoring-panels"
QUIET_S, CROWD_S = 60, 20
STEP_S = 2


def draw(binary, folder, say):
    """Pictures in target/monitoring-panels; gives the faults."""
    build(say)
    folder = pathlib.Path(folder)
    server = Server(binary, folder / "memory.db", ["--readers", 1, "--backup", "6h", "--retain-events", "365d"], port=free_port())
    with server, Prometheus(folder / "prometheus", server.port, free_port(), hurry=True) as prometheus:
        began = time.time()
        for start in range(0, 10_000, 1000):
            server.client().post_batch(batch_of(start, 1000))
        with Traffic(server.port):
            say(f"{QUIET_S} s of traffic, and {CROWD_S} s of a crowd")
            time.sleep(QUIET_S)
            crowd(server.port, folder, 200, CROWD_S)
            time.sleep(15)
            shown = results(prometheus, began + 15, time.time())
    PICTURES.mkdir(parents=True, exist_ok=True)
    (PROJECT / "dist" / "panels.json").write_text(json.dumps(shown))
    say("taking their picture")
    return shoot(sum(1 for panel in shown["panels"] if panel["panel"]["type"] != "row"))


def build(say):
    if not (PROJECT / "node_modules" / ".package-lock.json").exists():
        say("installing Grafana's components (480 MB)")
        run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
    say("building the page")
    run("npx", "vite", "build", "--logLevel", "error")


def run(*command):
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise Failure(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def results(prometheus, start, end):
    panels = []
    for panel in source.dashboard()["panels"]:
        series = []
        for target in panel.get("targets", []):
            found = prometheus.query_range(source.resolved(target["expr"], interval="15s"), start, end, STEP_S)
            for labels, points in found:
                legend = re.sub(r"\{\{(\w+)\}\}", lambda name, labels=labels: labels.get(name[1], ""), target["legendFormat"])
                series.append({
                    "refId": target["refId"], "labels": labels, "legend": legend,
                    "points": [[at * 1000, value if math.isfinite(value) else None] for at, value in points],
                })
        panels.append({"panel": panel, "series": [one for one in series if any(value is not None for _, value in one["points"])]})
    return {"from": start * 1000, "to": end * 1000, "panels": panels}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def shoot(wanted):
    handler = functools.partial(Quiet, directory=str(PROJECT / "dist"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as page:
        threading.Thread(target=page.serve_forever, daemon=True).start()
        said = json.loads(run("node", "shoot.mjs", f"http://127.0.0.1:{page.server_port}/", str(PICTURES)).splitlines()[-1])
        page.shutdown()
    print(f"    {said['panels']} panels, in {PICTURES}")
    return said["faults"] + ([] if said["panels"] == wanted else [f"{said['panels']} panels were drawn instead of {wanted}"])
