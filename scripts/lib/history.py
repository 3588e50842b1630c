"""Reads tests/data/tidewatch: a history of sessions, and questions about it. Its README describes the format."""

import json


class History:
    """The sessions of a history, in order; each has `start`, `events` and `handoff`, ready to be sent."""

    def __init__(self, folder):
        self.sessions = []
        for record in read_lines(folder / "history.jsonl"):
            if "session" in record:
                self.sessions.append(Session(record["session"]))
            elif "event" in record:
                self.sessions[-1].events.append(repeated(record))
            else:
                self.sessions[-1].handoff = record["handoff"]
        self.questions = read_lines(folder / "questions.jsonl")

    @property
    def events(self):
        return [event for session in self.sessions for event in session.events]

    @property
    def handoffs(self):
        return [session.handoff for session in self.sessions]


class Session:
    """One session as its agent would announce, fill and close it."""

    def __init__(self, start):
        self.start = start
        self.events = []
        self.handoff = None


def repeated(record):
    """The event with its long output written out, if the record has a repeat rule."""
    event, rule = record["event"], record.get("repeat")
    if rule:
        numbers = range(rule["from"], rule["to"] + 1)
        lines = "".join(rule["line"].replace("{n}", f"{number:05}") for number in numbers)
        event["content"][rule["field"]] += lines + rule["then"]
    return event


def read_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
