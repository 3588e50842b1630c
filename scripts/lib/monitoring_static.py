"""What can be found wrong with the monitoring files without traffic: each check gives a list of faults."""

import json
import os
import re
import subprocess
import sys
import tempfile
import pathlib

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

import monitoring_source as source
from monitoring_promql import TARGET, Catalog, Reading, family_of, split_labels

# A tool that takes longer than this hangs, even where others have the processor.
TOOL_LIMIT_S = 600
# It fires always, so there is nothing it stays silent in.
NEVER_SILENT = {"AgentMemoryWatchdog"}
GUIDE_ALERTS = ["AgentMemoryDown", "HighMemoryUsage", "DatabasePoolExhausted", "HighErrorRate", "RapidStorageGrowth"]
# Of a variable and of an annotation that ask Prometheus: Grafana reads them, and its types leave them to the data source.
OF_THE_SOURCE = {"definition", "titleFormat", "step"}
METRIC = re.compile(r"\b(?:agent_memory[_:]|process_)[a-z0-9_:]+[a-z0-9]\b")


def run(*command, **options):
    """A tool's verdict: nothing if it is content, else what it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=source.ROOT, timeout=TOOL_LIMIT_S, **options)
    return [] if done.returncode == 0 else [f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"]


def rule_files():
    return run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *source.RULE_FILES)


def rule_cases():
    return [fault for file in sorted(source.CASES.glob("*_test.yml")) for fault in rule_test(file)]


def rule_test(file):
    """promtool's verdict on a file of cases. Each case is a store of its own that is synced, which takes minutes on a busy
    disk; in memory it takes none."""
    in_memory = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    return run("promtool", "test", "rules", file, env=os.environ | in_memory)


def transitive(names, recorded, catalog):
    """The series behind recorded ones, too."""
    found = set(names)
    for name in names:
        if name in recorded:
            found |= transitive(Reading(catalog, recorded[name]).names, recorded, catalog)
    return found


def case_counts(catalog):
    """How often each alert is shown to fire, and to stay silent although its own series move."""
    recorded = source.recorded()
    counts = {rule["alert"]: [0, 0] for rule in source.alerts()}
    feeds = {rule["alert"]: transitive(Reading(catalog, rule["expr"]).names, recorded, catalog) for rule in source.alerts()}
    for file in sorted(source.CASES.glob("*_test.yml")):
        for case in yaml.safe_load(file.read_text())["tests"]:
            given = {re.split(r"[{ ]", series["series"])[0] for series in case["input_series"]}
            expected = {}
            for probe in case.get("alert_rule_test", []):
                expected.setdefault(probe["alertname"], []).append(bool(probe["exp_alerts"]))
            for name, fired in expected.items():
                if any(fired):
                    counts[name][0] += 1
                elif given & feeds[name]:
                    counts[name][1] += 1
    return counts


def case_labels(catalog):
    """The cases are made of series as the server has them: a rule that asks for labels nobody has would pass all others,
    and so would a quantile between bounds that are nobody's."""
    faults = []
    for file in sorted(source.CASES.glob("*_test.yml")):
        for case in yaml.safe_load(file.read_text())["tests"]:
            for series in case["input_series"]:
                name, _, labels = series["series"].partition("{")
                for label, value in (pair.split("=", 1) for pair in split_labels("{" + labels)):
                    if label == "le":
                        if float(value.strip('"')) not in bounds(catalog, name):
                            faults.append(f"{file.name}: {name} has no bound {value}")
                    # Paths are made up where they do not matter.
                    elif label not in ("path", "method"):
                        faults += [f"{file.name}: {fault}" for fault in catalog.strange(name, label, value.strip('"'), False)]
    return sorted(set(faults))


def bounds(catalog, bucket):
    """Where the buckets of a histogram end, as the server has them."""
    return {float(bound) for bound in catalog.values.get((bucket, "le"), ())}


def judged(catalog):
    """Every expression that is held against numbers, with them: alerts against their own, panels against their thresholds."""
    for rule in source.alerts():
        numbers = re.findall(r"[<>]=? *([\d.]+(?:e\d+)?)(?![\d.]* *\*)", rule["expr"])
        yield f"alert {rule['alert']}", rule["expr"], {float(number) for number in numbers[:1]}
    for panel in source.panels():
        steps = {step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]} - {None}
        for target in panel["targets"]:
            yield f"panel {panel['id']} {panel['title']!r}", source.resolved(target["expr"]), steps


def quantile_bounds(catalog):
    """What a quantile is held against is a bound of its histogram: between two it is a guess, wrong by up to their distance."""
    faults, seen, recorded = [], 0, source.recorded()
    for where, expression, numbers in judged(catalog):
        whole = " ".join([expression, *(recorded[name] for name in Reading(catalog, expression).names if name in recorded)])
        for bucket in set(re.findall(r"histogram_quantile\([^[]*?(\w+_bucket)\b", whole)):
            seen += 1
            faults += [f"{where} is held against {number}, which is no bound of {bucket}" for number in sorted(numbers - bounds(catalog, bucket))]
    print(f"    {seen} histograms")
    return faults


def rule_coverage(catalog):
    faults = []
    counts = case_counts(catalog)
    for name, (firing, silent) in counts.items():
        if not firing:
            faults.append(f"{name} is never shown to fire")
        if not silent and name not in NEVER_SILENT:
            faults.append(f"{name} is never shown to stay silent")
    firing, silent = (sum(pair[side] for pair in counts.values()) for side in (0, 1))
    print(f"    {len(counts)} alerts: {firing} firing cases, {silent} silent ones")
    return faults


def expressions(catalog):
    faults, seen = [], 0
    for where, expression in source.expressions():
        seen += 1
        try:
            faults += [f"{where}: {fault}: {expression.strip()[:120]}" for fault in Reading(catalog, expression).faults]
        except ValueError as error:
            faults.append(f"{where} does not parse: {error}: {expression.strip()[:120]}")
    print(f"    {seen} expressions")
    return faults


def metric_names(catalog):
    """Every name in the guide's prose and tables is a series or a family of the server, with its labels in the tables."""
    known = set(catalog.known)
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known}
    named = set(METRIC.findall(source.GUIDE.read_text()))
    faults = [f"the guide names {name}, which is no series" for name in sorted(named - known - families)]
    exported = {name for name in families if name.startswith(("agent_memory_", "process_"))}
    return faults + [f"the guide does not name {name}" for name in sorted(exported - named)] + label_names(catalog, families)


def label_names(catalog, families):
    """The tables name each series with exactly the labels that it has."""
    labels = {}
    for series, (_, names) in catalog.known.items():
        labels.setdefault(re.sub(r"_(bucket|sum|count)$", "", series), set()).update(names - TARGET - {"le"})
    faults = []
    for row in re.findall(r"^\| (`(?:agent_memory|process)_.*?) \|", source.GUIDE.read_text(), re.MULTILINE):
        for name, given in re.findall(r"`(\w+)(?:\{([^}]*)\})?`", row):
            said = {label.split("=")[0].strip() for label in given.split(",") if label}
            if name in families and said != labels[name]:
                faults.append(f"the guide gives {name} the labels {sorted(said)}, and it has {sorted(labels[name])}")
    return faults


def guide_alert_names():
    names = {rule["alert"] for rule in source.alerts()}
    return [f"the alert {name} of the guide is gone" for name in GUIDE_ALERTS if name not in names]


def links(catalog):
    """Every alert leads to a section of the guide and to a panel of series that it is made of; every panel's runbook exists."""
    faults, recorded = [], source.recorded()
    # A histogram's sum and its buckets are of one thing.
    behind = lambda expressions: {
        family_of(name) for one in expressions for name in transitive(Reading(catalog, one).names, recorded, catalog)}
    shown = {panel["id"]: behind(source.resolved(target["expr"]) for target in panel["targets"]) for panel in source.panels()}
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
                for line in source.GUIDE.read_text().splitlines() if line.startswith("#")}
    panels = {panel["id"] for panel in source.panels()}
    for rule in source.alerts():
        name, said = rule["alert"], rule["annotations"]
        if said.get("runbook") != f"monitoring/README.md#{name.lower()}" or name.lower() not in headings:
            faults.append(f"{name} has no runbook section")
        panel = re.fullmatch(r"/d/agent-memory/agent-memory\?viewPanel=(\d+)", said.get("dashboard", ""))
        if not panel or int(panel[1]) not in panels:
            faults.append(f"{name} links to no panel")
        elif (asked := behind([rule["expr"]])) and not asked & shown[int(panel[1])]:
            faults.append(f"{name} links to panel {panel[1]}, which shows nothing that it is made of")
        if rule["labels"].get("severity") not in ("critical", "warning", "info", "none"):
            faults.append(f"{name} has no severity that is routed")
        if not {"summary", "description"} <= set(said):
            faults.append(f"{name} does not say what is wrong")
    alerts = {rule["alert"] for rule in source.alerts()}
    for panel in source.panels():
        for name in re.findall(r"Alert: (\w+) ", panel["description"]):
            if name not in alerts:
                faults.append(f"panel {panel['id']} names the alert {name}, which is not there")
    return faults


def alert_count():
    said = [number for name in ("README.md", "CHANGELOG.md") for number in re.findall(r"(\d+) alerts with", (source.ROOT / name).read_text())]
    count = len(source.alerts())
    return [] if said == [str(count)] * 2 else [f"README and CHANGELOG say {said} of {count} alerts"]


def dashboard_file():
    faults, made = [], source.dashboard()
    printed = subprocess.run([sys.executable, source.MONITORING / "grafana-dashboard.py", "--print"], capture_output=True, text=True, check=True)
    if json.loads(printed.stdout) != made:
        faults.append("grafana-dashboard.json is not what grafana-dashboard.py writes; run it")
    variables = {variable["name"]: variable for variable in made["templating"]["list"]}
    if variables.get("datasource", {}).get("type") != "datasource":
        faults.append("the data source is no variable")
    for name in ("job", "instance"):
        if name not in variables:
            faults.append(f"${name} is no variable")
    if made["id"] is not None or made["schemaVersion"] < 39 or made["editable"] or "__inputs" in made:
        faults.append("the file cannot be provisioned: id, schemaVersion, editable or __inputs")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", made["uid"]):
        faults.append("the uid is none")
    for panel in source.panels():
        faults += [f"panel {panel['id']} {panel['title']!r}: {fault}" for fault in panel_faults(panel)]
    return faults + places(made["panels"])


def dashboard_shape():
    """Grafana's own types read the file, and write the same again: a key that they do not know is one that Grafana ignores."""
    read = Dashboard.from_json(source.dashboard())
    written = json.loads(JSONEncoder().encode(read))
    return list(lost(source.dashboard(), written, ""))


def lost(ours, theirs, place):
    """Where the second has something else than the first. An absent `null` is none."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key, value in ours.items():
            if value is not None and (key not in OF_THE_SOURCE or key in theirs):
                yield from lost(value, theirs.get(key), f"{place}/{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from lost(one, other, f"{place}/{number}")
    elif ours != theirs:
        yield f"{place} is {ours!r}, and {theirs!r} to Grafana's types"


def panel_faults(panel):
    defaults = panel["fieldConfig"]["defaults"]
    if not panel["title"] or not panel["description"]:
        yield "no title or no description"
    if "$" not in panel["datasource"]["uid"]:
        yield "a fixed data source"
    if not defaults.get("unit"):
        yield "no unit"
    if len(defaults["thresholds"]["steps"]) < 2:
        yield "no threshold"
    if not panel["targets"]:
        yield "no targets"
    for target in panel["targets"]:
        expression = target["expr"]
        if "$instance" not in expression:
            yield f"not limited to $instance: {expression[:80]}"
        if "$job" not in expression:
            yield f"not limited to $job: {expression[:80]}"
        if re.search(r"\brate\([^()]*\[\d", expression):
            yield f"a rate over a fixed range: {expression[:80]}"


def alerts_panel():
    """The number of alerts that fire is of those of the chosen servers, and of those that are of no single server."""
    shown = next(target["expr"] for panel in source.panels() for target in panel["targets"] if "ALERTS" in target["expr"])
    firing = [
        ("DatabasePoolTimeouts", "firing", "agent-memory", "m:3456"), ("AgentMemoryDown", "firing", "agent-memory", None),
        ("OfTheWholeJob", "firing", "agent-memory", None),
        ("DatabasePoolTimeouts", "firing", "agent-memory", "other:1"), ("DatabasePoolTimeouts", "firing", "another", "m:3456"),
        ("AgentMemoryPanics", "pending", "agent-memory", "m:3456"), ("AgentMemoryWatchdog", "firing", "", None),
    ]
    series = [
        f'ALERTS{{alertname="{name}",alertstate="{state}",job="{job}"' + (f',instance="{instance}"}}' if instance else "}")
        for name, state, job, instance in firing
    ]
    probe = {"expr": source.resolved(shown, instance="m:3456"), "eval_time": "1m", "exp_samples": [{"labels": "{}", "value": 3}]}
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "panel_test.yml"
        case = {"interval": "1m", "input_series": [{"series": one, "values": "1x5"} for one in series], "promql_expr_test": [probe]}
        file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
        return rule_test(file)


def places(panels):
    faults, ids = [], [panel["id"] for panel in panels]
    faults += [f"panel id {number} is there twice" for number in {number for number in ids if ids.count(number) > 1}]
    for index, one in enumerate(panels):
        a = one["gridPos"]
        if a["x"] + a["w"] > 24:
            faults.append(f"panel {one['id']} is wider than the grid")
        for other in panels[index + 1:]:
            b = other["gridPos"]
            if a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]:
                faults.append(f"panels {one['id']} and {other['id']} overlap")
    return faults


def guide_blocks():
    faults = []
    counts = {"bash": 0, "yaml": 0, "promql": 0}
    for line, block in source.guide_blocks("bash"):
        counts["bash"] += 1
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        # An unclosed here-document is only a warning to bash.
        if done.returncode or done.stderr:
            faults.append(f"the guide, line {line}: {done.stderr.strip()}")
    for line, block in source.guide_blocks("yaml"):
        counts["yaml"] += 1
        try:
            yaml.safe_load(block)
        except yaml.YAMLError as error:
            faults.append(f"the guide, line {line}: {error}")
    counts["promql"] = len(list(source.guide_queries()))
    known = {"bash", "yaml", "promql", "text", "ini", "json"}
    for found in source.BLOCK.finditer(source.GUIDE.read_text()):
        if found["kind"] not in known:
            faults.append(f"a block of the guide has no language that is checked: {found['kind']!r}")
    for path in set(re.findall(r"(?<![\w/.])((?:monitoring|scripts|tests)/[\w./-]+\w)", source.GUIDE.read_text())):
        if not (source.ROOT / path).exists():
            faults.append(f"the guide names {path}, which is not there")
    print(f"    {counts['bash']} shell blocks, {counts['yaml']} YAML blocks, {counts['promql']} queries")
    return faults


def prometheus_configs():
    faults = run("promtool", "check", "config", source.MONITORING / "prometheus.yml")
    with tempfile.TemporaryDirectory() as folder:
        inside = as_compose_mounts("prometheus", pathlib.Path(folder))
        config = inside / "etc/prometheus/prometheus.yml"
        text = config.read_text()
        if "/etc/prometheus/rules/" not in text:
            faults.append("prometheus.compose.yml does not load the rules from where they are mounted")
        config.write_text(text.replace("/etc/prometheus/", f"{inside}/etc/prometheus/"))
        faults += run("promtool", "check", "config", config)
    for name in ("prometheus.yml", "prometheus.compose.yml"):
        jobs = {job["job_name"]: job for job in yaml.safe_load((source.MONITORING / name).read_text())["scrape_configs"]}
        if jobs["agent-memory"]["metrics_path"] != "/metrics/prometheus":
            faults.append(f"{name} does not scrape /metrics/prometheus")
    return faults


def as_compose_mounts(service, folder):
    """Copies what a service of docker-compose.yml mounts to where it sees it, below `folder`."""
    for mount in compose()["services"][service]["volumes"]:
        origin, place = mount.split(":")[:2]
        if origin.startswith("."):
            target = folder / place.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            found = (source.MONITORING / origin).resolve()
            subprocess.run(["cp", "-r", found, target], check=True)
    return folder


def compose():
    return yaml.safe_load((source.MONITORING / "docker-compose.yml").read_text())


def compose_file():
    faults, made = [], compose()
    if "version" in made:
        faults.append("docker-compose.yml has a version key")
    for name, service in made["services"].items():
        image = service.get("image", "")
        if not re.search(r":v?\d+\.\d+\.\d+$", image):
            faults.append(f"{name} has no pinned version: {image}")
        if service.get("network_mode") != "host":
            faults.append(f"{name} is not on the host's network, where the server listens")
        listening = json.dumps([service.get("command", ""), service.get("environment", "")])
        if name != "agent-memory" and "127.0.0.1" not in listening:
            faults.append(f"{name} listens on every address")
        for mount in service.get("volumes", []):
            origin = mount.split(":")[0]
            if origin.startswith(".") and not (source.MONITORING / origin).exists():
                faults.append(f"{name} mounts {origin}, which is not there")
            if not origin.startswith(".") and origin not in made["volumes"]:
                faults.append(f"{name} mounts the volume {origin}, which is not declared")
        build = service.get("build")
        if build and not (source.MONITORING / build["context"] / build["dockerfile"]).exists():
            faults.append(f"{name} is built from a file that is not there")
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        faults += run("docker", "compose", "-f", source.MONITORING / "docker-compose.yml", "config", "--quiet", env={"GRAFANA_ADMIN_PASSWORD": "x", "PATH": "/usr/bin:/bin:/usr/local/bin"})
    else:
        print("    SKIPPED: docker compose config, since the client's plugin is not here")
    return faults


def provisioning():
    """What Grafana is given lies where Grafana looks, and the data source is the one the dashboard defaults to."""
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        inside = as_compose_mounts("grafana", pathlib.Path(folder))
        providers = yaml.safe_load((inside / "etc/grafana/provisioning/dashboards/agent-memory.yml").read_text())["providers"]
        for provider in providers:
            if not list((inside / provider["options"]["path"].lstrip("/")).glob("*.json")):
                faults.append(f"the provider {provider['name']} looks where no dashboard is mounted")
        if list((inside / "etc/grafana/provisioning").rglob("*.json")):
            faults.append("there is JSON under provisioning, where Grafana reads YAML alone")
        sources = yaml.safe_load((inside / "etc/grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
        if [made["type"] for made in sources if made.get("isDefault")] != ["prometheus"]:
            faults.append("the default data source is not the one of type prometheus")
    return faults


def alert_routes(catalog):
    config = source.MONITORING / "alertmanager.yml"
    faults = run("amtool", "check-config", config)
    faults += run(pathlib.Path(sys.executable).parent / "amlint", "check", config)
    wanted = {"critical": "critical", "warning": "default", "info": "default", "none": "deadman"}
    for severity, receiver in wanted.items():
        faults += run("amtool", "config", "routes", "test", f"--config.file={config}", f"--verify.receivers={receiver}", f"severity={severity}", "alertname=X")
    made = yaml.safe_load(config.read_text())
    if re.search(r"^\s*-?\s*(match|match_re|source_match|target_match):", config.read_text(), re.MULTILINE):
        faults.append("alertmanager.yml uses the matchers that were given up")
    for rule in made["inhibit_rules"]:
        if not {"job", "instance"} <= set(rule["equal"]):
            faults.append(f"an inhibition is not of one server: {rule['target_matchers']}")
    shapes = {rule["alert"]: Reading(catalog, rule["expr"]).shape.labels or () for rule in source.alerts()}
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in source.alerts()}
    held = [re.compile(text.split('=~"')[1].rstrip('"')) for rule in made["inhibit_rules"] for text in rule["target_matchers"] if "=~" in text]
    for pattern in held:
        if not any(pattern.fullmatch(name) for name in severities):
            faults.append(f"an inhibition holds back nothing: {pattern.pattern}")
        for name in severities:
            # Without an instance it would be equal to none that is down, and never be held back.
            if pattern.fullmatch(name) and "instance" not in shapes[name]:
                faults.append(f"an inhibition names {name}, which is of no single server")
        for part in pattern.pattern.split("|"):
            if not any(re.fullmatch(part, name) for name in severities):
                faults.append(f"an inhibition names {part}, which no alert is called")
    return faults


def import_script():
    """What scripts/import-dashboard would send is the provisioned dashboard."""
    done = subprocess.run([source.ROOT / "scripts/import-dashboard", "--print"], capture_output=True, text=True, cwd="/")
    if done.returncode != 0:
        return [f"scripts/import-dashboard --print: {done.stderr}"]
    sent = json.loads(done.stdout)
    faults = []
    if sent["dashboard"] != source.dashboard() or sent["overwrite"] is not True:
        faults.append("scripts/import-dashboard sends something else than the dashboard")
    return faults


def units():
    """systemd's own opinion of its files, if it is here; the programs they start need not be."""
    if subprocess.run(["sh", "-c", "command -v systemd-analyze"], capture_output=True).returncode:
        print("    SKIPPED: systemd-analyze verify, since it is not here")
        return []
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for unit in sorted((source.MONITORING / "systemd").glob("*.service")):
            copy = pathlib.Path(folder) / unit.name
            copy.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", unit.read_text()))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
            said = [line for line in done.stderr.splitlines() if unit.name in line]
            faults += [f"{unit.name}: {line}" for line in said]
    return faults


def catalog_of(values, types):
    return Catalog(types, values, source.recorded())


def checks(catalog):
    """Every check, with what it is called."""
    yield "the rule files, to promtool's linter", rule_files
    yield "every alert in its fault and in what looks like it", rule_cases
    yield "each alert has a firing and a silent case", lambda: rule_coverage(catalog)
    yield "the cases are of series that there are", lambda: case_labels(catalog)
    yield "quantiles are held against bounds of their histograms", lambda: quantile_bounds(catalog)
    yield "joins that match nothing, rates of gauges, series that are not there", lambda: expressions(catalog)
    yield "the names in the guide are the names of the server", lambda: metric_names(catalog)
    yield "the five names of the original guide", guide_alert_names
    yield "alerts lead to panels and runbooks", lambda: links(catalog)
    yield "README and CHANGELOG say how many alerts there are", alert_count
    yield "the dashboard's file", dashboard_file
    yield "the dashboard, to the types of Grafana's foundation SDK", dashboard_shape
    yield "the panel of firing alerts counts those of a whole job too", alerts_panel
    yield "what is sent by scripts/import-dashboard", import_script
    yield "Prometheus's configurations, the second as compose mounts it", prometheus_configs
    yield "docker-compose.yml", compose_file
    yield "Grafana's provisioning", provisioning
    yield "Alertmanager's configuration and routes", lambda: alert_routes(catalog)
    yield "systemd's units", units
    yield "the guide's blocks", guide_blocks
