#!/usr/bin/env python3
"""Checks written histories and measures how much the questions borrow from their answers.

yardstick_check.py DIR ...   each with a history.jsonl and its questions, as tests/data/tidewatch/README.md describes them

Verified: JSON, fields, ids (derived as that README says, unique), order of time, sessions opened and closed,
refs (to earlier events, tool results to calls, decisions to decisions), evidence, counts of categories.
Overlap: the share of a question's content words that also occur in its evidence (text and speaker); lower-cased, stop
words dropped, a crude stem, identifiers taken apart, one CJK character a word. Exits with 1 if something is wrong.
"""

import collections
import hashlib
import json
import pathlib
import re
import sys

WANTED = {
    "decision-latest": 6, "decision-history": 4, "decision-reason": 4, "file-path": 5, "identifier": 5, "error": 5,
    "version": 3, "number": 4, "who": 5, "preference": 4, "date": 4, "relative-time": 5, "other-language": 3,
    "typo": 3, "paraphrase": 2, "nothing": 10,
}
KINDS = {
    "message": {"text"}, "tool_call": {"tool", "arguments"}, "tool_result": {"tool", "output"},
    "decision": {"decision", "rationale"}, "task_update": {"text", "status"}, "artifact": {"path", "text"},
}
EVENT = {"event_id", "session_id", "project_id", "ts", "channel", "actor", "kind", "tags", "content", "refs"}
HANDOFF = {
    "handoff_id", "session_id", "project_id", "with_whom", "experienced", "noticed", "learned", "story", "becoming",
    "remember", "significance", "tags", "created_at",
}
TS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STOP = set("""
a an and are as at be been before but by can could did do does down for from get had has have how i if in into is it its
may me must my no not now of off on one or our out over should so still than that the their them then there these they
this those to today under until up us was we were what when where which while who whom whose why will with without would
you your much many long often day any after all once such about each other again
cuántas había de el la los las y en que wie viel wir bei der die das und mussten
""".split())
ENDINGS = ("ations", "ation", "ingly", "ings", "ing", "ies", "ied", "ers", "er", "ed", "es", "ly", "s", "e")


class Wrong(Exception):
    """Something in a folder is not as it should be."""


def need(condition, text):
    if not condition:
        raise Wrong(text)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read(path):
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise Wrong(f"{path.name}:{number}: {error}") from error
    return records


def text_of(value):
    if isinstance(value, dict):
        return " ".join(text_of(part) for part in value.values())
    if isinstance(value, list):
        return " ".join(text_of(part) for part in value)
    return str(value)


def stem(word):
    for ending in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def words(text):
    text = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).replace("_", " ")
    found = re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+", text.lower())
    split = []
    for word in found:
        split += re.findall(r"[\u3040-\u30ff\u3400-\u9fff]|[^\u3040-\u30ff\u3400-\u9fff]+", word)
    return {stem(word) for word in split if word not in STOP}


def told_by(event):
    return words(f"{event['actor']['id']} {text_of(event['content'])}")


def check_event(event, session, number, events, last):
    where = event.get("event_id", "event without id")
    need(EVENT <= set(event) <= EVENT | {"sensitivity"}, f"{where}: fields {sorted(event)}")
    need(where == "evt_" + digest(f"{session['session_id']}/{number}"), f"{where}: not derived from its place")
    need(where not in events, f"{where}: twice")
    need(event["session_id"] == session["session_id"], f"{where}: session")
    need(event["project_id"] == session["project_id"], f"{where}: project")
    need(TS.fullmatch(event["ts"]) and event["ts"] > last, f"{where}: ts {event['ts']} after {last}")
    need(event["channel"] in ("private", "team", "agent"), f"{where}: channel")
    need(set(event["actor"]) == {"type", "id"} and event["actor"]["id"], f"{where}: actor")
    need(event["actor"]["type"] in ("human", "agent", "tool"), f"{where}: actor type")
    need(event.get("sensitivity", "high") in ("high", "secret"), f"{where}: sensitivity")
    need(KINDS.get(event["kind"]) == set(event["content"]), f"{where}: {event['kind']} has {sorted(event['content'])}")
    need(all(text_of(part).strip() for part in event["content"].values()), f"{where}: empty content")
    for ref in event["refs"]:
        need(ref in events, f"{where}: ref {ref} is not an earlier event")
        pair = (event["kind"], events[ref]["kind"])
        need(pair in (("tool_result", "tool_call"), ("decision", "decision")), f"{where}: {pair}")


def check_history(path):
    events, sessions, session, closed, last = {}, [], None, True, ""
    for record in read(path):
        need(len(record) == 1, f"keys {sorted(record)}")
        kind, body = next(iter(record.items()))
        if kind == "session":
            need(closed, f"{body}: the session before it has no handoff")
            need(set(body) == {"session_id", "project_id", "with_whom", "started_at"}, f"{body}")
            need(body["started_at"] > last, f"{body['session_id']}: starts before the one before it ended")
            need(all(body["session_id"] != other["session_id"] for other in sessions), "session twice")
            session, number, closed = body, 0, False
            sessions.append(session)
        elif kind == "event":
            need(not closed, "event outside of a session")
            number += 1
            check_event(body, session, number, events, last)
            need(number > 1 or body["ts"] == session["started_at"], f"{session['session_id']}: started_at")
            events[body["event_id"]], last = body, body["ts"]
        elif kind == "handoff":
            need(not closed and number, "handoff without a session")
            need(set(body) == HANDOFF, f"handoff fields {sorted(body)}")
            need(body["handoff_id"] == "sh_" + digest(f"{session['session_id']}/handoff"), "handoff id")
            need(body["session_id"] == session["session_id"], "handoff of another session")
            need(TS.fullmatch(body["created_at"]) and body["created_at"] > last, "handoff before the last event")
            closed, last = True, body["created_at"]
        else:
            raise Wrong(f"unknown line {kind}")
    need(closed, "the last session has no handoff")
    return sessions, events, last


def check_questions(path, events, last):
    questions, seen = read(path), set()
    counts = collections.Counter()
    overlap = collections.defaultdict(list)
    for question in questions:
        qid = question.get("qid")
        need(qid and re.fullmatch(r"[a-z]{2}-\d\d", qid) and qid not in seen, f"qid {qid}")
        seen.add(qid)
        need({"qid", "category", "question", "evidence"} <= set(question), f"{qid}: fields")
        need(set(question) <= {"qid", "category", "question", "evidence", "asked_at"}, f"{qid}: fields")
        category, evidence = question["category"], question["evidence"]
        counts[category] += 1
        need((category == "nothing") == (not evidence), f"{qid}: evidence")
        need(len(set(evidence)) == len(evidence), f"{qid}: evidence twice")
        for event_id in evidence:
            need(event_id in events, f"{qid}: {event_id} does not exist")
        need(category != "relative-time" or "asked_at" in question, f"{qid}: asked_at is missing")
        asked = question.get("asked_at")
        if asked:
            need(TS.fullmatch(asked), f"{qid}: asked_at")
            need(all(events[event_id]["ts"] < asked for event_id in evidence), f"{qid}: asked before it happened")
        if evidence:
            asked_words = words(question["question"])
            told = set().union(*(told_by(events[event_id]) for event_id in evidence))
            need(asked_words, f"{qid}: no content word")
            overlap[category].append(len(asked_words & told) / len(asked_words))
    need(dict(counts) == WANTED, f"categories {dict(counts)}")
    return counts, overlap


def report(folder):
    sessions, events, last = check_history(folder / "history.jsonl")
    counts, overlap = check_questions(folder / "questions.jsonl", events, last)
    kinds = collections.Counter(event["kind"] for event in events.values())
    print(f"{folder.name}: {len(sessions)} sessions, {len(events)} events, {sum(counts.values())} questions")
    print("  " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))
    for category in WANTED:
        shares = overlap.get(category)
        print(f"  {category:17} {counts[category]:3}  " + (f"{sum(shares) / len(shares):.2f}" if shares else "   -"))
    every = [share for shares in overlap.values() for share in shares]
    print(f"  {'overlap, all':17} {len(every):3}  {sum(every) / len(every):.2f}")
    return every


def main():
    folders = [pathlib.Path(name) for name in sys.argv[1:]]
    if not folders:
        sys.exit("usage: yardstick_check.py DIR ...")
    failed, every = not folders, []
    for folder in folders:
        try:
            every += report(folder)
        except (Wrong, OSError, KeyError, TypeError) as error:
            print(f"{folder.name}: {type(error).__name__}: {error}", file=sys.stderr)
            failed = True
    if every:
        print(f"all folders: {len(every)} questions with evidence, overlap {sum(every) / len(every):.2f}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
