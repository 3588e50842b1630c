"""Runs wrk, and makes the words that it draws its texts from."""

import json
import os
import random
import re
import shutil
import subprocess

import history
from server import ROOT, Failure

SCRIPT = ROOT / "scripts" / "lib" / "wrk.lua"
DATA = ROOT / "tests" / "data" / "tidewatch"
# On 2 cores, against a constant answer, two threads made 115,000 requests a second and one 77,000.
THREADS = 2
# wrk's own 2 s would count one slow fsync of a shared disk as an error; the server's own limit is 30 s.
TIMEOUT_S = 10
# Over and above the run itself: connecting, and waiting for what is under way.
OVERTIME_S = 30
HANDOFF_TEXTS = ("experienced", "noticed", "learned", "story", "becoming", "remember")
# As in wrk.lua.
EVENTS_PER_SESSION = 200
# The repeated lines of the history's one long log would be most of all words.
LONG_TEXT = 10_000
# What can stand in a JSON string as it is.
PLAIN = re.compile(r'[^\x00-\x1f"\\]+')
# The history has secrets on purpose; redacting them is not what is measured.
SECRET = re.compile(r"sk-ant|private>")


class Load:
    """What one run of wrk counted."""

    def __init__(self, report):
        self.requests = report["requests"]
        self.per_s = report["requests"] / report["seconds"]
        self.p50_ms, self.p99_ms, self.max_ms = report["p50_ms"], report["p99_ms"], report["max_ms"]


class Wrk:
    """wrk with the words of the project's history."""

    def __init__(self, folder):
        if not shutil.which("wrk"):
            raise Failure("wrk is missing; install it: `apt-get install wrk` (Debian, Ubuntu), `brew install wrk` (macOS)")
        self.words = folder / "words.txt"
        self.words.write_text("\n".join(plain_words()) + "\n")
        self.runs = 0

    def run(self, port, path, connections, seconds, what="get"):
        """Loads one route. An answer other than 2xx, or none, is a failure."""
        self.runs += 1
        threads = min(THREADS, connections, os.cpu_count() or 1)
        command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s", f"-s{SCRIPT}"]
        command += [f"http://127.0.0.1:{port}{path}", "--", what, str(self.words), str(self.runs)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + OVERTIME_S, check=False)
        except subprocess.TimeoutExpired:
            raise Failure(f"wrk did not end: {' '.join(command)}") from None
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or len(lines) != 1:
            raise Failure(f"wrk ended with status {done.returncode}: {' '.join(command)}\n{done.stdout}{done.stderr}")
        report = json.loads(lines[0])
        if report["bad_status"] or report["broken"] or not report["requests"]:
            raise Failure(
                f"{path}: of {report['requests']} answers {report['bad_status']} were not 2xx; "
                f"{report['broken']} requests had none (connection refused or broken, or over {TIMEOUT_S} s)"
            )
        return Load(report)


class Text:
    """The same texts as wrk.lua makes, for what is sent one by one or before the clock starts; the same at each run."""

    def __init__(self, words):
        self.words = words.read_text().splitlines()
        self.dice = random.Random(1)

    def draw(self, count):
        return " ".join([*self.dice.choices(self.words, k=count), f"{self.dice.getrandbits(32):08x}"])

    def event(self, number, words):
        return {
            "session_id": f"bench-{number // EVENTS_PER_SESSION}",
            "channel": "team",
            "actor": {"type": "agent", "id": "bench"},
            "kind": "message",
            "content": {"text": self.draw(words)},
        }

    def handoff(self, number, words):
        texts = {field: self.draw(words) for field in HANDOFF_TEXTS}
        return {"session_id": f"bench-{number}", "with_whom": "Bench", **texts}


def plain_words():
    """The running text of the history, word by word: about 6,500 words, 2,600 of them different."""
    told = history.History(DATA)
    texts = [text for event in told.events for text in event["content"].values() if isinstance(text, str)]
    texts += [text for handoff in told.handoffs for key, text in handoff.items() if key in HANDOFF_TEXTS]
    texts = [text for text in texts if len(text) < LONG_TEXT]
    words = [word for text in texts for word in text.split()]
    return [word for word in words if PLAIN.fullmatch(word) and not SECRET.search(word)]
