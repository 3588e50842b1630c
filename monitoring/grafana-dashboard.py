#!/usr/bin/env python3
"""Writes grafana-dashboard.json, which is what Grafana reads; change this file rather than that one.

usage: monitoring/grafana-dashboard.py            writes the file
       monitoring/grafana-dashboard.py --print    prints it

Panel numbers are fixed, since alerts link to them.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
SELECT = 'job=~"$job",instance=~"$instance"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
API = 'path!~"/health.*|/metrics.*"'
RUNBOOK = "monitoring/README.md"

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


def sel(extra=""):
    """The selector of every target: the chosen servers, and what else is asked."""
    return "{" + SELECT + ("," + extra if extra else "") + "}"


def rate(name, extra="", by=None):
    inner = f"rate({name}{sel(extra)}[$__rate_interval])"
    return f"sum by ({by}) ({inner})" if by else inner


def quantile(q, name, extra="", by="instance"):
    return f"histogram_quantile({q}, sum by ({by}, le) (rate({name}_bucket{sel(extra)}[$__rate_interval])))"


def target(expr, legend="{{instance}}"):
    return expr, legend


def panel(number, kind, title, description, unit, targets, *, width=8, height=8, steps=None, runbook=None, **more):
    """One panel. `steps` are the thresholds after green: [(value, colour), …]."""
    thresholds = [{"color": more.pop("base", GREEN), "value": None}]
    thresholds += [{"color": colour, "value": value} for value, colour in steps or []]
    defaults = {
        "unit": unit,
        "thresholds": {"mode": "absolute", "steps": thresholds},
        "color": {"mode": "thresholds" if kind in ("stat", "bargauge") else "palette-classic"},
        "mappings": more.pop("mappings", []),
        "custom": {},
    }
    for key in ("min", "max", "decimals", "noValue"):
        if key in more:
            defaults[key] = more.pop(key)
    if kind == "timeseries":
        more.setdefault("soft", {"s": 0.01, "percentunit": 0.1, "bytes": 1024, "Bps": 1024}.get(unit, 1))
        defaults["custom"] = {
            "drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False,
            "stacking": {"mode": "normal" if more.pop("stack", False) else "none", "group": "A"},
            # An axis of nothing but zeros would go up to a hundred; `soft` is what it should show at least.
            "axisSoftMax": more.pop("soft"),
            "thresholdsStyle": {"mode": "dashed" if steps else "off"},
        }
        options = {
            "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
        if kind == "stat":
            options |= {"colorMode": "value", "graphMode": more.pop("graph", "area"), "justifyMode": "auto", "textMode": more.pop("text", "auto")}
        else:
            options |= {"displayMode": "basic", "orientation": "horizontal", "showUnfilled": True, "text": {"titleSize": 13, "valueSize": 16}}
    made = {
        "id": number,
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"datasource": SOURCE, "refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend, "editorMode": "code",
             "instant": kind != "timeseries" and not more.get("trend"), "range": kind == "timeseries" or bool(more.get("trend"))}
            for index, (expr, legend) in enumerate(targets)
        ],
        "links": [],
        "size": (width, height),
    }
    if runbook:
        # A link of Grafana has to be an address it can open; where the guide lies is said instead.
        made["description"] += f" Alert: {runbook} (runbook: {RUNBOOK}#{runbook.lower()})."
        made["links"] = [{"title": f"Alert {runbook}", "url": f"/alerting/list?search={runbook}", "targetBlank": True}]
    return made


LOG, MOVED = sel('state="log"'), sel('state="checkpointed"')
ALL_LEVELS, EACH_LEVEL = sel('compression_level="all"'), sel('compression_level!="all"')
FAILED, DATABASE = sel('outcome="failed"'), sel('file="db"')
TEXT, TROUBLE = sel('type="text"'), sel('level=~"error|warn"')
UP = [{"type": "value", "options": {"0": {"text": "DOWN", "color": RED, "index": 0}, "1": {"text": "UP", "color": GREEN, "index": 1}}}]
ON = [{"type": "value", "options": {"0": {"text": "OFF", "color": RED, "index": 0}, "1": {"text": "ON", "color": GREEN, "index": 1}}}]


def health():
    return [
        panel(1, "stat", "Up", "1 if the last scrape came through and the store passed its self-check.", "short",
              [target(f"min by (instance) (up{sel()} * on (job, instance) group_left () agent_memory_up{sel()} or up{sel()})")],
              width=4, height=4, base=RED, steps=[(1, GREEN)], mappings=UP, graph="none", runbook="AgentMemoryDown"),
        panel(2, "stat", "Uptime", "Time since the process started.", "s", [target(f"agent_memory_uptime_seconds{sel()}")],
              width=4, height=4, base=YELLOW, steps=[(300, GREEN)], graph="none"),
        panel(4, "stat", "Alerts firing", "Alerts of these servers that fire now, those of a whole job among them, the watchdog left out.", "short",
              [target('count(ALERTS{alertstate="firing",alertname!="AgentMemoryWatchdog",job=~"$job",instance=~"$instance|"}) or vector(0)', "alerts")],
              width=4, height=4, steps=[(1, RED)], graph="none", runbook="AgentMemoryWatchdog"),
        panel(5, "stat", "Last write", "How long ago somebody last wrote. Is the memory being used?", "s",
              [target(f"time() - (agent_memory_last_write_timestamp_seconds{sel()} > 0)")],
              width=4, height=4, steps=[(86400, YELLOW), (604800, RED)], graph="none", noValue="never"),
        panel(6, "stat", "Restarts in a day", "Starts of the process within 24 hours.", "short",
              [target(f"changes(process_start_time_seconds{sel()}[1d])")],
              width=4, height=4, steps=[(2, YELLOW), (5, RED)], decimals=0, graph="none", runbook="AgentMemoryCrashLooping"),
        panel(3, "stat", "Version", "Which version runs; more than one while an upgrade goes on.", "short",
              [target(f"count by (version) (agent_memory_build_info{sel()})", "{{version}}")],
              width=4, height=4, base=BLUE, steps=[(100, YELLOW)], graph="none", text="name"),
    ]


def traffic():
    requests = "agent_memory_http_requests_total"
    return [
        panel(10, "timeseries", "Requests by route", "Requests a second, without health checks and scrapes.", "reqps",
              [target(f"sum by (path) (rate({requests}{sel(API)}[$__rate_interval])) > 0", "{{path}}")], width=12, steps=[(500, YELLOW)]),
        panel(11, "timeseries", "Requests by status", "Answers a second by status; 408 and 503 are overload, 5xx count against the budget.", "reqps",
              [target(f"sum by (status) (rate({requests}{sel(API)}[$__rate_interval])) > 0", "{{status}}")], width=12, stack=True, steps=[(500, YELLOW)]),
        panel(12, "timeseries", "Share of errors", "Answers of 5xx among all, over five minutes; the objective is 0.1 % over a month.", "percentunit",
              [target(f"agent_memory:http_errors:rate5m{sel()} / (agent_memory:http_requests:rate5m{sel()} > 0)")],
              min=0, steps=[(0.0144, YELLOW), (0.05, RED)], runbook="HighErrorRate"),
        panel(13, "timeseries", "In flight and connections", "Requests being answered, and connections open.", "short",
              [target(f"agent_memory_http_requests_in_flight{sel()}", "in flight {{instance}}"),
               target(f"agent_memory_http_connections{sel()}", "connections {{instance}}")], steps=[(1024, RED)]),
        panel(14, "timeseries", "Turned away", "Connections ended early and requests refused, a second, by reason.", "cps",
              [target(rate("agent_memory_http_connections_cut_total", by="reason"), "cut: {{reason}}"),
               target(rate("agent_memory_http_rejected_total", by="reason"), "refused: {{reason}}")], steps=[(1, YELLOW)]),
    ]


def latency():
    duration = "agent_memory_http_request_duration_seconds"
    return [
        panel(20, "timeseries", "Latency", "Time to answer, over all routes but health checks and scrapes.", "s",
              [target(quantile(q, duration, API), f"p{int(q * 100)} {{{{instance}}}}") for q in (0.5, 0.95, 0.99)],
              min=0, steps=[(1, RED)]),
        panel(21, "timeseries", "Latency by route (p99)", "One request in a hundred takes longer.", "s",
              [target(quantile(0.99, duration, API, by="path"), "{{path}}")], min=0, steps=[(1, RED)], runbook="AgentMemorySlowRequests"),
        panel(22, "timeseries", "What agents wait for (p95)", "Wake-up, recall, context bundle and record, as a session meets them.", "s",
              [target(quantile(0.95, duration, 'path=~"/api/v1/(wake-up|recall|context|events|handoff)"', by="path"), "{{path}}")],
              min=0, steps=[(0.2, YELLOW), (1, RED)]),
        panel(23, "timeseries", "Workers: lag (p99)", "How late a 100 ms tick comes on a worker; large when something blocks one.", "s",
              [target(quantile(0.99, "agent_memory_worker_lag_seconds"))], min=0, steps=[(0.1, YELLOW), (1, RED)]),
        panel(24, "timeseries", "Searches (p95)", "Time inside the index and the ranking, without HTTP.", "s",
              [target(quantile(0.95, "agent_memory_search_duration_seconds", by="mode"), "{{mode}}")], min=0, steps=[(0.2, YELLOW), (1, RED)]),
        panel(25, "timeseries", "Statements by operation (mean)", "Mean time of a unit of work in the store.", "s",
              [target(f'{rate("agent_memory_sqlite_statement_duration_seconds_sum", by="op")} / ({rate("agent_memory_sqlite_statement_duration_seconds_count", by="op")} > 0)', "{{op}}")],
              min=0, steps=[(0.5, RED)]),
    ]


def store():
    return [
        panel(30, "timeseries", "Reader connections", "All, free, and calls waiting for one (the queue before them included).", "short",
              [target(f"agent_memory_db_pool_connections{sel()}", "{{state}} {{instance}}")], min=0, steps=[(64, RED)], runbook="DatabasePoolExhausted"),
        panel(31, "timeseries", "Waiting for a connection", "Mean number of callers that wait, from the time they waited (Little's law).", "short",
              [target(f"sum by (instance) (rate(agent_memory_db_pool_wait_seconds_sum{sel()}[$__rate_interval]))", "in the pool {{instance}}"),
               target(f"sum by (instance) (rate(agent_memory_read_queue_wait_seconds_sum{sel()}[$__rate_interval]))", "before it {{instance}}")],
              min=0, steps=[(1, RED)], runbook="DatabasePoolExhausted"),
        panel(32, "timeseries", "Gave up waiting", "Calls a second that got no connection in time, in the pool or in the queue before it.", "cps",
              [target(f"sum by (instance) (rate(agent_memory_db_pool_timeouts_total{sel()}[$__rate_interval]))")], min=0, steps=[(0.01, RED)], runbook="DatabasePoolTimeouts"),
        panel(33, "timeseries", "Log not in the file yet", "Pages of the log that no checkpoint has moved. It grows while somebody holds a snapshot.", "short",
              [target(f'agent_memory_sqlite_wal_frames{LOG} - ignoring (state) agent_memory_sqlite_wal_frames{MOVED}')],
              min=0, steps=[(25000, RED)], runbook="AgentMemoryWalNotCheckpointed"),
        panel(34, "timeseries", "Files", "Octets of the database, its log and its index of the log. The log keeps its size between checkpoints.", "bytes",
              [target(f"agent_memory_sqlite_file_bytes{sel()}", "{{file}} {{instance}}")], min=0, steps=[(68719476736, YELLOW)]),
        panel(35, "timeseries", "Checkpoints", "Moves of the log into the file, a second, by outcome.", "cps",
              [target(rate("agent_memory_sqlite_checkpoints_total", by="mode, outcome"), "{{mode}} {{outcome}}")], min=0, steps=[(50, YELLOW)]),
        panel(36, "timeseries", "SQLite errors", "Errors within ten minutes by code. corrupt, ioerr, full, readonly, notadb and cantopen are faults; busy is waiting.", "short",
              [target(f"sum by (code) (increase(agent_memory_sqlite_errors_total{sel()}[10m]))", "{{code}}")], min=0, steps=[(1, RED)], runbook="AgentMemorySqliteFault"),
        panel(37, "timeseries", "Disk free", "Free share of the file system that holds the memory.", "percentunit",
              [target(f"agent_memory_filesystem_avail_bytes{sel()} / agent_memory_filesystem_size_bytes{sel()}")],
              min=0, max=1, base=RED, steps=[(0.1, YELLOW), (0.4, GREEN)], runbook="AgentMemoryDiskFullIn24h"),
        panel(38, "timeseries", "Oldest reader", "Age of the oldest open read transaction of this process.", "s",
              [target(f"agent_memory_sqlite_oldest_reader_seconds{sel()}")], min=0, steps=[(30, YELLOW), (300, RED)]),
        panel(39, "timeseries", "Page cache", "Share of pages that were in a reader's cache.", "percentunit",
              [target(f'{rate("agent_memory_sqlite_cache_hits_total", by="role")} / ({rate("agent_memory_sqlite_cache_hits_total", by="role")} + {rate("agent_memory_sqlite_cache_misses_total", by="role")} > 0)', "{{role}}")],
              min=0, max=1, base=YELLOW, steps=[(0.9, GREEN)]),
    ]


def write_path():
    return [
        panel(50, "timeseries", "Write queue", "Share of the queue that is taken. Writes beyond it are refused with 503.", "percentunit",
              [target(f"agent_memory:write_queue_used:ratio{sel()}")], min=0, max=1, steps=[(0.5, YELLOW), (0.8, RED)], runbook="AgentMemoryWriteQueueFilling"),
        panel(51, "timeseries", "Wait in the queue", "From being queued to the group that takes it.", "s",
              [target(quantile(q, "agent_memory_write_queue_wait_seconds"), f"p{int(q * 100)} {{{{instance}}}}") for q in (0.5, 0.99)], min=0, steps=[(0.5, RED)]),
        panel(52, "timeseries", "Commit", "Time of a group's COMMIT, its fsync included.", "s",
              [target(quantile(q, "agent_memory_sqlite_commit_duration_seconds"), f"p{int(q * 100)} {{{{instance}}}}") for q in (0.5, 0.99)],
              min=0, steps=[(0.25, RED)], runbook="AgentMemorySlowCommits"),
        panel(53, "timeseries", "Writes a group", "Mean number of writes that share one fsync.", "short",
              [target(f'{rate("agent_memory_write_batch_size_sum", by="instance")} / ({rate("agent_memory_write_batch_size_count", by="instance")} > 0)')],
              min=0, steps=[(1024, YELLOW)]),
        panel(54, "timeseries", "Groups by outcome", "Groups a second: committed, or rolled back with everything in them.", "cps",
              [target(rate("agent_memory_write_batches_total", by="outcome"), "{{outcome}}")], min=0, steps=[(1000, YELLOW)]),
        panel(55, "timeseries", "Writes refused or lost", "Within five minutes, by the reason: not taken in, or taken in and not stored.", "short",
              [target(f"sum by (reason) (increase(agent_memory_writes_rejected_total{sel()}[5m]))", "refused: {{reason}}"),
               target(f"sum by (reason) (increase(agent_memory_writes_dropped_total{sel()}[5m]))", "lost: {{reason}}")], min=0, steps=[(1, RED)], runbook="AgentMemoryWritesRejected"),
    ]


def memory():
    return [
        panel(60, "timeseries", "Memory of its limit", "Anonymous memory against the smallest of the control group, those above it, and the machine.", "percentunit",
              [target(f"agent_memory:memory_used:ratio{sel()}")], min=0, max=1, steps=[(0.75, YELLOW), (0.9, RED)], runbook="HighMemoryUsage"),
        panel(61, "timeseries", "Memory by kind", "Allocated, mapped by the allocator, SQLite's own, resident. They overlap: do not add them up.", "bytes",
              [target(f"agent_memory_memory_bytes{sel()}", "{{type}} {{instance}}")], min=0, steps=[(1073741824, YELLOW)]),
        panel(62, "timeseries", "Processor", "Cores in use.", "short", [target(rate("process_cpu_seconds_total", by="instance"))], min=0, steps=[(1, YELLOW)]),
        panel(63, "timeseries", "File descriptors", "Open ones of those that may be.", "percentunit",
              [target(f"process_open_fds{sel()} / process_max_fds{sel()}")], min=0, max=1, steps=[(0.5, YELLOW), (0.8, RED)], runbook="AgentMemoryFilesNearLimit"),
        panel(64, "timeseries", "Allocator", "What jemalloc holds, by state; retained is address space alone.", "bytes",
              [target(f"agent_memory_allocator_bytes{sel()}", "{{stat}} {{instance}}")], min=0, steps=[(1073741824, YELLOW)]),
    ]


def business():
    return [
        panel(70, "timeseries", "Events recorded", "Events a second by kind.", "cps",
              [target(rate("agent_memory_events_total", by="kind"), "{{kind}}")], stack=True, steps=[(1000, YELLOW)]),
        panel(71, "bargauge", "Stored now", "What the file holds.", "short",
              [target(f"sum(agent_memory_events{sel()})", "events"),
               target(f'sum(agent_memory_handoffs_total{ALL_LEVELS})', "handoffs"),
               target(f"sum(agent_memory_decisions_total{sel()})", "decisions"),
               target(f"sum(agent_memory_knowledge_notes_total{sel()})", "notes"),
               target(f"sum(agent_memory_reflections{sel()})", "reflections"),
               target(f"sum(agent_memory_principles{sel()})", "principles"),
               target(f"sum(agent_memory_sessions{sel()})", "sessions")], base=BLUE, steps=[(1000000, YELLOW)], min=0),
        panel(72, "timeseries", "Text stored", "Octets of text; less after something was forgotten.", "bytes",
              [target(f'agent_memory_storage_bytes{TEXT}')], min=0, steps=[(10737418240, YELLOW)]),
        panel(73, "timeseries", "Growth of text", "Its slope over an hour; the alert is at 1 MB a second for ten minutes.", "Bps",
              [target(f'deriv(agent_memory_storage_bytes{TEXT}[1h])')], steps=[(1000000, RED)], runbook="RapidStorageGrowth"),
        panel(74, "timeseries", "Searches", "Searches a second, and those that found nothing.", "cps",
              [target(rate("agent_memory_recalls_total", by="instance"), "all {{instance}}"),
               target(rate("agent_memory_recalls_empty_total", by="instance"), "empty {{instance}}")], min=0, steps=[(500, YELLOW)], runbook="AgentMemoryRecallsEmpty"),
        panel(75, "timeseries", "Secrets taken out", "Within an hour, by kind. A rise says that somebody pastes keys.", "short",
              [target(f"sum by (kind) (increase(agent_memory_redactions_total{sel()}[1h]))", "{{kind}}")], min=0, steps=[(10, YELLOW)]),
        panel(76, "bargauge", "Handoffs by form", "How many are full, and how many were shortened.", "short",
              [target(f'sum by (compression_level) (agent_memory_handoffs_total{EACH_LEVEL})', "{{compression_level}}")],
              base=BLUE, steps=[(100000, YELLOW)], min=0),
        panel(77, "bargauge", "Decisions by status", "Those that hold, and those that another replaced.", "short",
              [target(f"sum by (status) (agent_memory_decisions_total{sel()})", "{{status}}")], base=BLUE, steps=[(100000, YELLOW)], min=0),
        panel(78, "stat", "Handoffs to remember", "Handoffs whose `remember` says something: what a session leaves for the next.", "short",
              [target(f"agent_memory_handoffs_to_remember{sel()}")], base=BLUE, steps=[(100000, YELLOW)], min=0),
        panel(79, "timeseries", "Spool of the hooks", "Octets that hooks could not store and that wait; it should be empty soon.", "bytes",
              [target(f"agent_memory_spool_bytes{sel()}", "waiting {{instance}}")], min=0, steps=[(1048576, YELLOW), (33554432, RED)], runbook="AgentMemorySpoolWaiting"),
        panel(68, "timeseries", "Out of the spool", "Within an hour: what waited and was stored, and what was lost.", "short",
              [target(f"sum by (instance) (increase(agent_memory_spool_replayed_total{sel()}[1h]))", "stored {{instance}}"),
               target(f"sum by (instance) (increase(agent_memory_spool_dropped_total{sel()}[1h]))", "lost {{instance}}")],
              min=0, steps=[(1000, YELLOW)], runbook="AgentMemorySpoolDropped"),
        panel(85, "stat", "Redaction", "Whether secrets are taken out of what is stored.", "short",
              [target(f"min by (instance) (agent_memory_redaction_enabled{sel()})")], base=RED, steps=[(1, GREEN)], mappings=ON, graph="none", runbook="AgentMemoryRedactionOff"),
    ]


def consolidation():
    runs, since = "agent_memory_consolidation_runs_total", "agent_memory_consolidation_last"
    waited = f"time() - (agent_memory_consolidation_next_run_timestamp_seconds{sel()} > 0)"
    took = "agent_memory_consolidation_duration_seconds"
    return [
        panel(90, "timeseries", "Rounds overdue", "How long ago a round was due that has not ended; 0 while the next is still to come.", "s",
              [target(f"clamp_min(max by (instance) ({waited}), 0)")], min=0, steps=[(3600, YELLOW), (21600, RED)], runbook="AgentMemoryConsolidationStale"),
        panel(91, "timeseries", "Jobs that failed", "Within fifty hours, by type of job. One may have been cut off by a restart.", "short",
              [target(f"sum by (job_type) (increase({runs}{FAILED}[50h]))", "{{job_type}}")],
              min=0, decimals=0, steps=[(1, YELLOW), (2, RED)], runbook="AgentMemoryConsolidationFailing"),
        panel(92, "bargauge", "Since a job last ended", "By type of job, however it ended. A type that never ran is not here.", "s",
              [target(f"min by (job_type) (time() - ({since}_run_timestamp_seconds{sel()} > 0))", "{{job_type}}")],
              min=0, steps=[(108000, YELLOW), (259200, RED)], noValue="never", runbook="AgentMemoryConsolidationNeverRan"),
        panel(93, "timeseries", "Jobs by outcome", "Jobs that ended within a day: completed, failed, or skipped because there was nothing to do; and those at work now.", "short",
              [target(f"sum by (outcome) (increase({runs}{sel()}[1d]))", "{{outcome}}"),
               target(f"sum(agent_memory_consolidation_in_progress{sel()})", "at work")], min=0, steps=[(1000, YELLOW)]),
        panel(94, "timeseries", "Tokens saved", "Tokens that wake-ups take less for what was made shorter within a day, by type of job.", "short",
              [target(f"sum by (job_type) (increase(agent_memory_consolidation_tokens_saved_total{sel()}[1d]))", "{{job_type}}")], min=0, steps=[(10000000, YELLOW)]),
        panel(95, "timeseries", "Made cheaper to load", "Handoffs, decisions, notes, principles and reflections that are shown otherwise than a day ago, by type of job.", "short",
              [target(f"sum by (job_type) (increase(agent_memory_consolidation_items_total{sel()}[1d]))", "{{job_type}}")], min=0, steps=[(1000000, YELLOW)]),
        panel(96, "bargauge", "Mean time of a job", "By type, since the start of the process.", "s",
              [target(f"sum by (job_type) ({took}_sum{sel()}) / (sum by (job_type) ({took}_count{sel()}) > 0)", "{{job_type}}")],
              min=0, steps=[(60, YELLOW), (3600, RED)], noValue="none yet"),
    ]


def copies():
    age = f"(time() - (agent_memory_backup_last_success_timestamp_seconds{sel()} > 0))"
    return [
        panel(40, "stat", "Last copy", "How long ago the memory was last copied, by hand or by the clock.", "s",
              [target(age)], width=4, steps=[(90000, YELLOW), (180000, RED)], graph="none", noValue="never"),
        panel(41, "timeseries", "Age of the last copy, of what --backup asks", "1 is as old as the time between two may be. Nothing while no copies are made by the clock; 10 is ten times, or never.", "percentunit",
              [target(f"clamp_max((time() - agent_memory_backup_last_success_timestamp_seconds{sel()}) / (agent_memory_backup_interval_seconds{sel()} > 0), 10)")],
              width=10, min=0, soft=1, steps=[(1, YELLOW), (1.25, RED)], runbook="AgentMemoryBackupStale"),
        panel(42, "timeseries", "Copies that failed", "Within a day.", "short",
              [target(f"sum by (instance) (increase(agent_memory_backups_total{FAILED}[1d]))")], width=10, min=0, decimals=0, steps=[(1, RED)], runbook="AgentMemoryBackupStale"),
        panel(43, "timeseries", "Time a copy takes", "Of the last one, its check among it.", "s",
              [target(f"agent_memory_backup_last_duration_seconds{sel()}")], width=12, min=0, steps=[(600, YELLOW), (3600, RED)]),
        panel(44, "timeseries", "Size of a copy", "Octets of the last one, beside the file that it is of.", "bytes",
              [target(f"agent_memory_backup_last_size_bytes{sel()}", "copy {{instance}}"),
               target(f"agent_memory_sqlite_file_bytes{DATABASE}", "file {{instance}}")], width=12, min=0, steps=[(68719476736, YELLOW)]),
    ]


def retention():
    kept = f"agent_memory_retention_age_seconds{sel()}"
    return [
        panel(45, "stat", "Events are kept", "What --retain-events says.", "s",
              [target(kept)], width=4, base=BLUE, steps=[(3153600000, YELLOW)], graph="none",
              mappings=[{"type": "value", "options": {"0": {"text": "for ever", "color": BLUE, "index": 0}}}]),
        panel(46, "timeseries", "Since all that was too old was taken out", "It looks once an hour. Nothing while events are kept for ever.", "s",
              [target(f"time() - agent_memory_retention_last_success_timestamp_seconds{sel()} and {kept} > 0")],
              width=10, min=0, steps=[(7200, YELLOW), (21600, RED)], runbook="AgentMemoryRetentionStale"),
        panel(47, "timeseries", "Events taken out for their age", "Within a day.", "short",
              [target(f"sum by (instance) (increase(agent_memory_retention_events_total{sel()}[1d]))")], width=10, min=0, steps=[(1000000, YELLOW)]),
    ]


def monitoring():
    return [
        panel(80, "timeseries", "Scrape", "How long Prometheus waited for the server.", "s", [target(f"scrape_duration_seconds{sel()}")], min=0, steps=[(1, RED)]),
        panel(81, "timeseries", "Series", "Samples a scrape.", "short", [target(f"scrape_samples_post_metric_relabeling{sel()}")], min=0, steps=[(3000, RED)], runbook="AgentMemorySeriesExplosion"),
        panel(82, "timeseries", "Age of what is sampled", "Time since the sampler last ran; it should every ten seconds.", "s",
              [target(f"time() - agent_memory_sampler_last_run_timestamp_seconds{sel()}")], min=0, steps=[(60, RED)], runbook="AgentMemorySamplerStale"),
        panel(83, "timeseries", "Panics and errors logged", "Within ten minutes.", "short",
              [target(f"increase(agent_memory_panics_total{sel()}[10m])", "panics {{instance}}"),
               target(f'sum by (level) (increase(agent_memory_log_messages_total{TROUBLE}[10m]))', "{{level}}")],
              min=0, steps=[(1, RED)], runbook="AgentMemoryPanics"),
        panel(84, "stat", "Drift of the counts", "How many of the kept counts were wrong when they were last counted anew. 0, or something is wrong.", "short",
              [target(f"agent_memory_stat_drift_rows{sel()}")], steps=[(1, RED)], graph="none", runbook="AgentMemoryStatDrift"),
    ]


ROWS = [
    (100, "Health", health), (101, "Traffic", traffic), (102, "Latency", latency), (103, "Store", store), (104, "Write path", write_path),
    (105, "Memory", memory), (106, "Business", business), (108, "Consolidation", consolidation), (109, "Copies", copies),
    (110, "Retention", retention), (107, "Monitoring itself", monitoring),
]


def laid_out():
    """Every panel with its place: rows under each other, panels from left to right."""
    top, placed = 0, []
    for number, title, build in ROWS:
        placed.append({"id": number, "type": "row", "title": title, "collapsed": False, "panels": [],
                       "gridPos": {"x": 0, "y": top, "w": 24, "h": 1}})
        top, left, tall = top + 1, 0, 0
        for made in build():
            width, height = made.pop("size")
            if left + width > 24:
                top, left, tall = top + tall, 0, 0
            made["gridPos"] = {"x": left, "y": top, "w": width, "h": height}
            placed.append(made)
            left, tall = left + width, max(tall, height)
        top += tall
    return placed


def variable(name, label, selector):
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE,
        "definition": f"label_values({selector}, {name})", "query": {"query": f"label_values({selector}, {name})", "refId": name},
        "refresh": 2, "sort": 1, "multi": True, "includeAll": True, "allValue": None,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "hide": 0, "options": [], "regex": "",
    }


def dashboard():
    return {
        "id": None,
        "uid": "agent-memory",
        "title": "Agent Memory",
        "description": "One agent-memory server or several. Made by monitoring/grafana-dashboard.py.",
        "tags": ["agent-memory", "prometheus"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "timepicker": {},
        "links": [
            {"title": "Alert rules", "type": "link", "url": "/alerting/list?search=agent-memory", "icon": "bolt", "targetBlank": True,
             "tooltip": f"Each alert's runbook is a section of {RUNBOOK}", "tags": [], "asDropdown": False, "includeVars": False, "keepTime": False},
        ],
        "annotations": {"list": [
            {"name": "Restarts", "datasource": SOURCE, "enable": True, "iconColor": YELLOW, "titleFormat": "restart",
             "expr": f"changes(process_start_time_seconds{sel()}[1m]) > 0", "step": "30s"},
        ]},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0, "options": [],
             "current": {}, "refresh": 1, "regex": "", "multi": False, "includeAll": False},
            variable("job", "Job", "agent_memory_build_info"),
            variable("instance", "Instance", 'agent_memory_build_info{job=~"$job"}'),
        ]},
        "panels": laid_out(),
    }


def main():
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if "--print" in sys.argv[1:]:
        sys.stdout.write(text)
    else:
        (HERE / "grafana-dashboard.json").write_text(text)


if __name__ == "__main__":
    main()
