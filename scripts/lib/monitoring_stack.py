"""A real Prometheus, a real Alertmanager and somebody who listens to it, all on loopback and on free ports."""

import http.server
import json
import pathlib
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

import monitoring_source as source
from server import Failure, free_port

READY_LIMIT_S = 20
DURATION = re.compile(r"(\d+)(ms|[smhd])")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
# Where alertmanager.yml sends until somebody puts a receiver in.
SHIPPED_RECEIVER = "http://127.0.0.1:8001"


def seconds(text):
    return sum(int(number) * SECONDS[unit] for number, unit in DURATION.findall(text))


def shortened(text, factor):
    """A duration so many times shorter, as Prometheus writes it."""
    return f"{max(1, round(seconds(text) * 1000 / factor))}ms"


# What a rate is multiplied with to be a number of its range, and how far ahead a trend is followed.
OF_A_RANGE = re.compile(r"(?<=\* )300\b|(?<=24 \* )3600\b")


def shortened_rules(text, factor):
    """The rules with every `for` and every range so many times shorter, and what is counted or foretold over them, too: at
    least 20 requests in five minutes are at least 20 in fifteen seconds. Nothing else is changed."""
    made = yaml.safe_load(text)
    for group in made["groups"]:
        for rule in group["rules"]:
            rule["expr"] = re.sub(r"\[(\w+)\]", lambda found: f"[{shortened(found[1], factor)}]", rule["expr"])
            rule["expr"] = OF_A_RANGE.sub(lambda found: f"{int(found[0]) / factor:g}", rule["expr"])
            if "for" in rule:
                rule["for"] = shortened(rule["for"], factor)
    return yaml.safe_dump(made, sort_keys=False)


class Child:
    """A process that does not outlive the `with` block it is used in."""

    name = "a process"

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        raise NotImplementedError

    def __enter__(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + READY_LIMIT_S
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-15:])
                self.__exit__()
                raise Failure(f"{self.name} did not become ready\n{tail}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def get(self, path, **query):
        """The data of an answer. A refused query is a failure that shows what Prometheus said of it."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(query, doseq=True)}", timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Failure(f"{self.name}: {query}: {error.read().decode(errors='replace')}") from None


class Prometheus(Child):
    """Prometheus on the shipped configuration, with other addresses; scraping each second if in a `hurry`, and with
    durations so many times shorter if there is a `factor`."""

    name = "Prometheus"

    def __init__(self, folder, server_port, alertmanager_port, factor=1, hurry=False):
        super().__init__(folder)
        made = yaml.safe_load((source.MONITORING / "prometheus.yml").read_text())
        text = yaml.safe_dump(made, sort_keys=False)
        for shipped, real in [(3456, server_port), (9090, self.port), (9093, alertmanager_port)]:
            text = text.replace(f"127.0.0.1:{shipped}", f"127.0.0.1:{real}")
        if hurry:
            text = re.sub(r"(scrape_interval|evaluation_interval|scrape_timeout): \w+", r"\1: 1s", text)
        (self.folder / "prometheus.yml").write_text(text)
        for file in source.RULE_FILES:
            rules = file.read_text()
            (self.folder / file.name).write_text(rules if factor == 1 else shortened_rules(rules, factor))

    def command(self):
        return ["prometheus", f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn",
                # What is sent before Alertmanager was found is lost, and sent again only after this.
                "--rules.alert.resend-delay=5s"]

    def query(self, expression, at=None):
        """The samples of an expression that are numbers."""
        got = self.get("/api/v1/query", query=expression, **({"time": at} if at else {}))["data"]
        if got["resultType"] == "scalar":
            return [({}, float(got["result"][1]))]
        return [(sample["metric"], float(sample["value"][1])) for sample in got["result"] if sample["value"][1] != "NaN"]

    def query_range(self, expression, start, end, step):
        got = self.get("/api/v1/query_range", query=expression, start=start, end=end, step=step)["data"]["result"]
        return [(series["metric"], [(float(at), float(value)) for at, value in series["values"]]) for series in got]

    def loaded_rules(self):
        """Every rule it has loaded, as it tells of it."""
        return [rule for group in self.get("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]

    def formatted(self, expression):
        """An expression as Prometheus writes it, without its spacing: two that mean the same letter by letter are equal."""
        return "".join(self.get("/api/v1/format_query", query=expression)["data"].split())


class Alertmanager(Child):
    """Alertmanager on the shipped configuration, with its messages sent to `sink`, in a hurry."""

    name = "Alertmanager"

    def __init__(self, folder, sink_url, factor):
        super().__init__(folder)
        text = (source.MONITORING / "alertmanager.yml").read_text()
        if SHIPPED_RECEIVER not in text:
            raise Failure(f"alertmanager.yml no longer sends to {SHIPPED_RECEIVER}, which the tests replace")
        text = text.replace(SHIPPED_RECEIVER, sink_url)
        text = re.sub(r"(group_wait|group_interval|repeat_interval|resolve_timeout): (\w+)",
                      lambda found: f"{found[1]}: {shortened(found[2], factor)}", text)
        (self.folder / "alertmanager.yml").write_text(text)

    def command(self):
        program = shutil.which("prometheus-alertmanager") or "alertmanager"
        return [program, f"--config.file={self.folder}/alertmanager.yml", f"--storage.path={self.folder}/data",
                f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=warn"]

    def alerts(self):
        return self.get("/api/v2/alerts")


class Sink:
    """Takes what Alertmanager sends, as a receiver of yours would."""

    def __init__(self):
        heard = self.heard = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                heard.append((time.time(), self.path, json.loads(body), dict(self.headers)))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def of(self, name, status, since=0.0):
        """When, and at which path, an alert arrived with this status."""
        return [
            (at, path) for at, path, body, _ in list(self.heard)
            if at >= since and any(alert["labels"].get("alertname") == name and alert["status"] == status for alert in body.get("alerts", []))
        ]
