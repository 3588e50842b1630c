"""The monitoring files at work: the release binary, a real Prometheus and Alertmanager, traffic, faults, and who hears of it."""

import json
import math
import os
import pathlib
import subprocess
import threading
import time

import faults
import monitoring_source as source
import monitoring_static as static
from monitoring_record import Recording
from monitoring_stack import Alertmanager, Prometheus, Sink, seconds
from monitoring_traffic import Traffic, batch_of, crowd
from monitoring_witness import Witness
from server import Failure, Server, free_port, read_metrics

# Asked by one client alone, once a round.
COUNTED = "/api/v1/context"
# What the guide promises its quick start shows something after.
TRAFFIC_S = 30
EVENTS_BEFORE = 20_000
# One connection for readers, so that a crowd can be too much for it on any machine.
READERS = 1
# Reads wait their turn for three seconds. A fast machine answers some 600 of these a second.
CROWD = 4_000
# Copies and retention by the clock, so that their panels have something to show.
FLAGS = ("--readers", READERS, "--max-connections", CROWD + 500, "--backup", "6h", "--retain-events", "365d")
CROWD_S = 25


def beginnings(times, step):
    """Those of a series' times, a step apart, before which there was none."""
    return [at for before, at in zip([-math.inf, *times], times) if at - before > 1.5 * step]


class Live:
    """One run. `factor` is how many times faster than shipped the alerts are; 1 takes a quarter of an hour."""

    def __init__(self, binary, folder, factor, say, faulty=None):
        self.faulty = faulty
        self.folder = pathlib.Path(folder)
        self.factor, self.say = factor, say
        # Who is in a hurry scrapes and evaluates each second, and waits no longer for a scrape.
        self.scrape_every_s, evaluate_every_s, scrape_s = (1, 1, 1) if factor != 1 else map(seconds, source.paces())
        self.pace = self.scrape_every_s + evaluate_every_s, scrape_s
        self.server = Server(binary, self.folder / "memory.db", FLAGS, port=free_port())
        self.sink = Sink()
        self.faults = []
        self.recording = None
        # How long a message may take: five minutes of `for` and range at the shipped pace, and what Alertmanager adds.
        self.patience = 45 + 900 / factor

    def run(self):
        with self.server, self.sink:
            self.started = time.time()
            self.alertmanager = Alertmanager(self.folder / "alertmanager", self.sink.url, self.factor)
            with self.alertmanager:
                self.hasty = Prometheus(self.folder / "hasty", self.server.port, self.alertmanager.port, self.factor, hurry=self.factor != 1)
                self.shipped = Prometheus(self.folder / "shipped", self.server.port, free_port())
                with self.hasty, self.shipped:
                    self.stages()
        return self.faults

    def stages(self):
        self.lint("of an empty store")
        self.catalog = self.read_catalog()
        for title, check in static.checks(self.catalog):
            self.check(title, check)
        self.fill()
        traffic = Traffic(self.server.port)
        with traffic, Witness(self.folder, self.factor, traffic.took, self.server, self.pace) as self.witness:
            self.say(f"{TRAFFIC_S} s of traffic")
            began = time.time()
            time.sleep(TRAFFIC_S)
            self.check("Prometheus has loaded exactly the shipped rules", self.rules_loaded)
            self.check("every query of the guide gives a number", self.guide_queries)
            self.lint("under load")
            self.check("the watchdog arrives where a dead man's switch would be", lambda: self.arrives("AgentMemoryWatchdog", "firing", self.started, "/deadman"))
            self.check("nothing else fires on a healthy server", lambda: self.silence(began))
            self.check("the container's health check passes", lambda: self.container_health(True))
            self.recording = Recording(self.hasty, began, self.factor)
            self.recording.calm(time.time(), after_errors=False)
            self.too_many_readers()
            self.killed()
            self.check("counts of what is remembered did not fall with the kill, as those of the process did", self.never_fell)
            self.check("what Prometheus counts over the kill is what the client counted", lambda: self.counted_over_the_kill(traffic.took))
            self.file_gone()
            if self.faulty:
                self.injected()
            self.check("every target of every panel gives data", lambda: self.panel_targets(began))
        self.lint("after the faults")
        self.check("the recorded series make the shipped rules fire in the faults alone", self.replay)
        self.check("scripts/import-dashboard posts it with the proof it was given", self.import_dashboard)

    def quiet(self, minutes):
        """Normal load at the shipped pace, for so long, and nobody is called."""
        with self.server, Prometheus(self.folder / "quiet", self.server.port, free_port()) as self.hasty:
            self.fill()
            traffic = Traffic(self.server.port)
            with traffic, Witness(self.folder, 1, traffic.took, self.server, self.pace) as self.witness:
                began = time.time()
                self.say(f"{minutes:g} minutes of traffic")
                time.sleep(minutes * 60)
                self.check("no alert fires but the watchdog", lambda: self.silence(began))
                self.check("the watchdog fires, so rules are evaluated", self.evaluated)
                print(f"    {len(traffic.took)} requests", flush=True)
        return self.faults

    def evaluated(self):
        return [] if self.hasty.query('ALERTS{alertname="AgentMemoryWatchdog",alertstate="firing"}') else ["it does not"]

    # Each stage below gives a list of faults, or adds to it.

    def check(self, title, check):
        self.say(title)
        try:
            found = check() or []
        except Failure as failure:
            found = [str(failure)]
        for fault in found:
            print(f"    FAULT: {fault}", flush=True)
        self.faults += found

    def lint(self, when):
        def check():
            body = self.server.client().request("GET", "/metrics/prometheus").body
            done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
            return [] if done.returncode == 0 else [(done.stdout + done.stderr).decode()]

        self.check(f"promtool accepts the exposition {when}", check)

    def read_catalog(self):
        values, types = read_metrics(self.server.client().call("GET", "/metrics/prometheus").text)
        return static.catalog_of(values, types)

    def fill(self):
        self.say(f"{EVENTS_BEFORE} events, so that a search has something to do")
        client = self.server.client()
        for start in range(0, EVENTS_BEFORE, 1000):
            client.post_batch(batch_of(start, 1000))

    def rules_loaded(self):
        """The same names, expressions, durations, labels and annotations, and each is evaluated."""
        shipped = {rule.get("alert") or rule["record"]: rule for rule in source.rules()}
        loaded = self.shipped.loaded_rules()
        faults = [f"{rule['name']}: {rule.get('health')}: {rule.get('lastError')}" for rule in loaded if rule.get("health") == "err" or rule.get("lastError")]
        names = [rule["name"] for rule in loaded]
        if sorted(names) != sorted(shipped):
            return faults + [f"loaded but not shipped: {set(names) - set(shipped)}; shipped but not loaded: {set(shipped) - set(names)}"]
        for rule in loaded:
            ours = shipped[rule["name"]]
            for what, there, here in [
                ("expression", self.shipped.formatted(rule["query"]), self.shipped.formatted(ours["expr"])),
                ("`for`", rule.get("duration", 0), seconds(ours.get("for", "0s"))),
                ("labels", rule.get("labels", {}), ours.get("labels", {})),
                ("annotations", rule.get("annotations", {}), ours.get("annotations", {})),
            ]:
                if there != here:
                    faults.append(f"the {what} of {rule['name']} was loaded as {there} and is shipped as {here}")
        print(f"    {len(names)} rules")
        return faults

    def guide_queries(self):
        faults = []
        queries = list(source.guide_queries())
        for where, expression in queries:
            samples = self.shipped.query(expression)
            if not samples:
                faults.append(f"{where}: nothing for {expression}")
        print(f"    {len(queries)} queries")
        return faults

    def wait_for(self, condition, what, limit=None):
        deadline = time.monotonic() + (limit or self.patience)
        while time.monotonic() < deadline:
            got = condition()
            if got:
                return got
            time.sleep(0.25)
        raise Failure(f"{what} did not happen within {limit or self.patience:.0f} s")

    def arrives(self, name, status, since, path=None):
        at, where = self.wait_for(lambda: self.sink.of(name, status, since), f"the message that {name} is {status}")[0]
        print(f"    {name} {status} after {max(0, at - since):.1f} s, at {where}", flush=True)
        return [f"{name} went to {where} instead of {path}"] if path and where != path else []

    def silence(self, since):
        """No alert but the watchdog, unless one about time or about the disk is borne out by who looked at the machine."""
        faults, expressions = [], {rule["name"]: rule["query"] for rule in self.hasty.loaded_rules()}
        fired = self.hasty.query_range('ALERTS{alertstate="firing",alertname!="AgentMemoryWatchdog"}', since, time.time(), 1)
        # Each time that one began to fire is judged by what was seen before that, and not by what was seen once.
        for labels, at in [(labels, at) for labels, points in fired for at in beginnings([at for at, _ in points], 1)]:
            name = labels["alertname"]
            right, seen = self.witness.judge(labels, at)
            values = [value for _, value in self.hasty.query(expressions[name], at)]
            said = f"{name} fired, at {max(values, default=math.nan):.4g}: {seen}"
            if right:
                print(f"    RIGHT, on this machine: {said}", flush=True)
            else:
                faults.append(f"{said}; {labels}")
        return faults

    def too_many_readers(self):
        """More searches than there are connections: they wait, and those that wait too long are refused."""
        began = time.time()
        thread = threading.Thread(target=lambda: self.crowd_said(crowd(self.server.port, self.folder, CROWD, self.crowd_seconds())), daemon=True)
        thread.start()
        names = ("DatabasePoolExhausted", "DatabasePoolTimeouts", "HighErrorRate")
        for name in names:
            self.check(f"{name} reaches the webhook in a crowd", lambda name=name: self.arrives(name, "firing", began, "/critical" if name == "DatabasePoolTimeouts" else "/webhook"))
        until = self.settled()
        thread.join(self.patience + CROWD_S * 2)
        for name in names:
            self.check(f"{name} is resolved afterwards", lambda name=name: self.arrives(name, "resolved", until))
        self.recording.fault(began, until, names)
        self.recording.calm(self.settled(), after_errors=True)

    def crowd_seconds(self):
        return max(CROWD_S, math.ceil(480 / self.factor))

    def crowd_said(self, report):
        print(f"    the crowd: {report[0]}", flush=True)

    def killed(self):
        began = self.killed_at = time.time()
        self.server.process.kill()
        self.server.process.wait()
        self.check("AgentMemoryDown reaches the webhook after kill -9", lambda: self.arrives("AgentMemoryDown", "firing", began, "/critical"))
        self.check("the container's health check fails", lambda: self.container_health(False))
        until = self.settled()
        self.server.start()
        self.check("and is resolved after a restart", lambda: self.arrives("AgentMemoryDown", "resolved", until))
        self.recording.fault(began, until, ("AgentMemoryDown",))
        self.recording.calm(self.settled(), after_errors=True)

    def never_fell(self):
        fell = self.hasty.query('sum by (kind) (resets(agent_memory_events_total{job="agent-memory"}[1h]))')
        begun_anew = self.hasty.query('sum(resets(agent_memory_http_requests_total{job="agent-memory"}[1h]))')
        faults = [f"{labels['kind']} fell {count:.0f} times" for labels, count in fell if count]
        if not fell or not begun_anew or not begun_anew[0][1]:
            faults.append("no counter fell, so nothing is known of those that should not")
        return faults

    def counted_over_the_kill(self, took):
        """A counter of the process begins at 0 with the next, and `increase` knows it. It knows nothing of what was answered
        after the last scrape before the kill, and it looks at the ends of the range as often as it scrapes. A scrape's value is
        of some moment while it was answered, so that all three are unsure by a scrape's pace and the longest that one took; and
        the client looks at its clock a moment after the server has counted, which is one request at most. These are less than
        half of the truth, or nothing is known."""
        now = time.time() - 1
        # A minute before the kill there was traffic already; the more of it, the less the ends matter.
        span = round(now - self.killed_at) + 60
        of_route = [at for at, _, route, _ in list(took) if route == COUNTED]
        within = lambda start, end: sum(start <= at <= end for at in of_route)
        truth = within(now - span, now)
        took_s = self.hasty.query(f'max_over_time(scrape_duration_seconds{{job="agent-memory"}}[{span}s])', now)[0][1]
        scrape_s = self.scrape_every_s + took_s
        unsure = within(self.killed_at - scrape_s, self.killed_at + 1) + within(now - span - scrape_s, now - span + scrape_s) + within(now - scrape_s, now) + 1
        told = self.hasty.query(f'sum(increase(agent_memory_http_requests_total{{path="{COUNTED}",method="POST"}}[{span}s]))', now)
        print(f"    Prometheus {told[0][1]:.1f}, the client {truth}, which may differ by {unsure}")
        return [] if truth > 2 * unsure and abs(told[0][1] - truth) <= unsure else [f"increase over a restart is {told}, and {truth} were answered"]

    def file_gone(self):
        """The file is moved away: the process lives and answers, and every write is refused."""
        began = time.time()
        away = self.server.db.with_suffix(".away")
        os.rename(self.server.db, away)
        try:
            self.check("AgentMemoryDown fires although the process lives", lambda: self.arrives("AgentMemoryDown", "firing", began, "/critical"))
            self.check("HighErrorRate fires and is held back", self.held_back)
            until = self.settled()
        finally:
            os.rename(away, self.server.db)
        self.check("and is resolved when the file is back", lambda: self.arrives("AgentMemoryDown", "resolved", until))
        told = self.sink.of("HighErrorRate", "firing", began)
        if told and told[0][0] < until:
            self.faults.append("HighErrorRate was sent although AgentMemoryDown was")
        self.recording.fault(began, until, ("AgentMemoryDown", "HighErrorRate"))

    def injected(self):
        """What only a fault moves, in the build that can be asked for faults, on the same file and port."""
        self.server.stop()
        server = faults.FaultyServer(self.faulty, self.server.db, (*FLAGS, "--redact", "off"))
        server.fixed_port = self.server.port
        with server:
            began = time.time()
            # What it looked at last grows old while the other faults happen.
            server.ask("sampler off")
            # A counter has to be seen before it can be seen to rise; a busy machine's first scrapes may come too late.
            self.wait_for(lambda: self.hasty.query("agent_memory_redaction_enabled == 0"), "a scrape of the build with faults")
            self.injected_counters(server)
            names = ("AgentMemoryRedactionOff", "AgentMemorySamplerStale")
            for name in names:
                self.check(f"{name} reaches the webhook", lambda name=name: self.arrives(name, "firing", began, "/webhook"))
            until = self.settled()
            self.recording.fault(began, until, names)
            server.ask("sampler on")
            self.check("AgentMemorySamplerStale is resolved", lambda: self.arrives("AgentMemorySamplerStale", "resolved", until))
            server.stop()
        self.server.start()
        self.check("AgentMemoryRedactionOff is resolved with a server that takes secrets out", lambda: self.arrives("AgentMemoryRedactionOff", "resolved", until))

    def injected_counters(self, server):
        for line, name, path in [("writes ioerr 3", "AgentMemorySqliteFault", "/critical"), ("panic 2", "AgentMemoryPanics", "/webhook")]:
            began = time.time()
            server.ask(line)
            self.check(f"{name} reaches the webhook after {line!r}", lambda: self.arrives(name, "firing", began, path))
            self.recording.fault(began, self.settled(), (name,))
            self.check("and is resolved", lambda: self.arrives(name, "resolved", began))

    @staticmethod
    def settled():
        """A moment of a fault for the replay, which has a scrape in twenty seconds and an evaluation in fifteen: what has
        just begun to fire here begins some scrapes later there."""
        time.sleep(4)
        return time.time()

    def held_back(self):
        def inhibited():
            return [alert for alert in self.alertmanager.alerts()
                    if alert["labels"]["alertname"] == "HighErrorRate" and alert["status"]["inhibitedBy"]]

        self.wait_for(inhibited, "that HighErrorRate is inhibited")

    def panel_targets(self, since):
        faults, count = [], 0
        for panel in source.panels():
            for target in panel["targets"]:
                count += 1
                expression = source.resolved(target["expr"])
                series = self.shipped.query_range(expression, since, time.time(), 5)
                if not any(math.isfinite(value) for _, points in series for _, value in points):
                    faults.append(f"panel {panel['id']} {panel['title']!r} is empty: {expression}")
        print(f"    {count} targets")
        return faults

    def container_health(self, wanted):
        """Runs the Dockerfile's HEALTHCHECK here."""
        text = (source.MONITORING / "Dockerfile").read_text()
        command = text.split("CMD ", 1)[1].split("\n", 1)[0]
        done = subprocess.run(json.loads(command), capture_output=True, timeout=5, env=os.environ | {"AGENT_MEMORY_LISTEN": f"127.0.0.1:{self.server.port}"})
        passed = done.returncode == 0
        return [] if passed is wanted else [f"it {'passes' if passed else 'fails'}: {done.stderr.decode()}"]

    def replay(self):
        return self.recording.replay(self.folder)

    def import_dashboard(self):
        token = "of-a-service-account"
        done = subprocess.run([source.ROOT / "scripts/import-dashboard", self.sink.url], capture_output=True, text=True,
                              env=os.environ | {"GRAFANA_TOKEN": token})
        if done.returncode:
            return [done.stderr]
        _, path, body, headers = self.sink.heard[-1]
        right = path == "/api/dashboards/db" and headers.get("Authorization") == f"Bearer {token}" and body["dashboard"] == source.dashboard()
        return [] if right else [f"it sent {path} with {sorted(headers)}"]
