"""What is shipped for monitoring, read for the tests: rules, dashboard, guide, and every PromQL expression in them."""

import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
GUIDE = MONITORING / "README.md"
DASHBOARD = MONITORING / "grafana-dashboard.json"
RULE_FILES = [MONITORING / "recording.yml", MONITORING / "alerts.yml"]
CASES = ROOT / "tests" / "monitoring"

BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)

CONTINUED = re.compile(r"\s|[-+*/)<>=]|(and|or|unless)\b")


def rule_groups():
    return [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]


def rules():
    return [rule for group in rule_groups() for rule in group["rules"]]


def alerts():
    return [rule for rule in rules() if "alert" in rule]


def paces():
    """How often the server is scraped and the rules are evaluated, and how long a scrape may take."""
    made = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    job = next(job for job in made["scrape_configs"] if job["job_name"] == "agent-memory")
    return job["scrape_interval"], made["global"]["evaluation_interval"], job["scrape_timeout"]


def recorded():
    """The recorded series and what they are made of."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def guide_blocks(kind):
    """The fenced blocks of a kind, without their indent, each with the line it begins at."""
    text = GUIDE.read_text()
    for found in BLOCK.finditer(text):
        if found["kind"] == kind:
            indent = len(found["indent"])
            lines = [line[indent:] for line in found["text"].splitlines()]
            yield text.count("\n", 0, found.start()) + 1, "\n".join(lines) + "\n"


def guide_queries():
    """Every query of the guide. In its blocks each line is one, unless it goes on with an operator or an indent."""
    for line, block in guide_blocks("promql"):
        queries = []
        for text in block.splitlines():
            if not text.strip() or text.startswith("#"):
                continue
            if queries and CONTINUED.match(text):
                queries[-1] += "\n" + text
            else:
                queries.append(text)
        for query in queries:
            yield f"the guide, block at line {line}", query


def resolved(expression, job="agent-memory", instance=".+", interval="1m"):
    """A panel's expression with its variables filled in."""
    for name, value in [("__rate_interval", interval), ("job", job), ("instance", instance)]:
        expression = re.sub(r"\$\{?%s\b(:\w+)?\}?" % name, lambda _: value, expression)
    return expression


def expressions():
    """Every expression that is shipped, with where it stands."""
    for rule in rules():
        yield f"rule {rule.get('alert') or rule['record']}", rule["expr"]
    yield from guide_queries()
    for panel in panels():
        for target in panel["targets"]:
            yield f"panel {panel['id']} {panel['title']!r}", resolved(target["expr"])
    for annotation in dashboard()["annotations"]["list"]:
        yield f"annotation {annotation['name']!r}", resolved(annotation["expr"])
