"""Makes the texts that are stored and the questions that are asked of them; the same at each run.

Words come as often as in a natural language (Zipf's law with exponent 1: the word of rank r is drawn with a chance of
about 1/r), and a session keeps to a topic, so that its rare words come again. The frequent words are those of the
project's history; behind them stand made-up words, identifiers and paths, as a coding project has them. With its space a
word takes 6.2 bytes; in the histories of tests/data it is 5.7. Each text ends with an identifier that was never seen
before: a commit, an id, a port.
"""

import collections
import json
import random
import re

import history
from server import ROOT

DATA = ROOT / "tests" / "data" / "tidewatch"
# Different words. With a million texts of 40 words the rarest is in about sixty of them.
VOCABULARY = 60_000
# Behind the words of the history, every sixth is an identifier or a path.
EVERY_NAME = 6
EVENT_WORDS = 40
# Of those, how many are of the session's topic, and how many words that topic has.
TOPIC_WORDS, TOPIC_SIZE = 8, 60
# A topic is made of words that are neither everywhere nor almost nowhere.
TOPIC_RANKS = (200, 20_000)
FIELD_WORDS = 25
FIELDS = ("experienced", "noticed", "learned", "story", "becoming", "remember")
# An agent's session is some hundred events long; as in wrk.lua and tests/bench/raw_sqlite.rs.
SESSION_EVENTS = 200
PROJECTS = (None, "harbour", "lantern", "quarry", "meadow", "orchard")
PEOPLE = ("Ada", "Grace", "Edsger", "Barbara")
ACTORS = ("builder", "reviewer", "tester", "scribe")
# The frequent words say nothing about a text, and nobody asks for them alone.
FREQUENT = 100
# The history's one long log would be most of all words.
LONG_TEXT = 10_000
# The history has secrets on purpose; redacting them is not what is measured.
SECRET = re.compile(r"sk-ant|private>")
WORD = re.compile(r"[a-z][a-z'-]*")

QUESTIONS = (
    "what did we say about {0} and {1}?", "where is {0} handled, in {1} or {2}?", "why does {0} fail with {1}?",
    "{0} {1} {2}", "{0} {1} {2} {3} {4}", "how do {0} and {1} depend on {2}?", "who changed {0} after {1}?",
    "is there a limit for {0} when {1} and {2} are on?", "remind me of {0}",
)
INTENTS = (
    "implement {0}", "fix the failing {0}", "debug {0} after {1}", "explore options for {0}", "compare {0} with {1}",
    "explain how {0} works", "understand {0} before touching {1}", "refactor {0} and {1}", "task", "debugging",
    "exploration", "learning", "", "review what was done on {0}", "write the tests for {0}", "plan the next week",
)
TASKS = (
    "Continue with {0}: {1} {2} have to agree with {3}, and {4} still uses the old {5}.",
    "The user asks for {0}. Last time {1} {2} came up together with {3}; see {4}.",
    "{0} breaks when {1} is empty, although {2} {3} passes. Look at {4} and {5} first.",
    "Which of {0}, {1} and {2} should own {3}?", "{0} {1} {2} {3} {4} {5}", "Summarise {0} and {1} for the release notes.",
)
BUDGETS = (None, None, 8_000, 4_000)


def vocabulary():
    """The words, the most frequent first."""
    told = history.History(DATA)
    texts = [text for event in told.events for text in event["content"].values() if isinstance(text, str)]
    texts += [text for handoff in told.handoffs for key, text in handoff.items() if key in FIELDS]
    texts = [text for text in texts if len(text) < LONG_TEXT and not SECRET.search(text)]
    counted = collections.Counter(word for text in texts for word in WORD.findall(text.lower()))
    words = dict.fromkeys(word for word, _ in counted.most_common())
    dice = random.Random(0)
    syllables = [consonant + vowel for consonant in "bcdfghklmnprstvw" for vowel in ("a", "e", "i", "o", "u", "an", "or")]

    def made():
        return "".join(dice.choices(syllables, k=dice.choice((1, 2, 2, 3))))

    names = (
        lambda: f"src/{made()}/{made()}.rs", lambda: f"{made()}_{made()}", lambda: f"{made().title()}{made().title()}",
        lambda: f"{made()}::{made()}", lambda: f"{made().upper()}-{dice.randrange(10_000)}", lambda: f"--{made()}-{made()}",
    )
    while len(words) < VOCABULARY:
        words.setdefault(dice.choice(names)() if len(words) % EVERY_NAME == 0 else made())
    return list(words)


class Text:
    """A source of texts. Two with the same seed give the same."""

    def __init__(self, words, seed):
        self.words, self.size = words, len(words)
        self.dice = random.Random(seed)
        self.frequent = set(words[:FREQUENT])
        self.topic, self.topic_of = [], None

    def draw(self, count):
        """Zipf's law by its inverse: the logarithm of a rank is spread evenly."""
        words, size, chance = self.words, self.size, self.dice.random
        return [words[int(size ** chance()) - 1] for _ in range(count)]

    def finish(self, drawn):
        third = len(drawn) // 3
        parts = (drawn[:third], drawn[third : 2 * third], drawn[2 * third :])
        return f"{'. '.join(' '.join(part) for part in parts)}. {self.dice.getrandbits(32):08x}"

    def of_session(self, session):
        """A text of 40 words that keeps to the session's topic."""
        if self.topic_of != session:
            self.topic_of = session
            self.topic = [self.words[self.dice.randrange(*TOPIC_RANKS)] for _ in range(TOPIC_SIZE)]
        drawn = self.draw(EVENT_WORDS)
        drawn[:: EVENT_WORDS // TOPIC_WORDS] = self.dice.choices(self.topic, k=TOPIC_WORDS)
        return self.finish(drawn)

    def event(self, number):
        """What is known of the event with this number."""
        session = number // SESSION_EVENTS
        return {
            "session_id": f"session-{session}", "project_id": PROJECTS[session % len(PROJECTS)], "channel": "team",
            "actor": {"type": "human", "id": "user"} if number % 4 == 0 else {"type": "agent", "id": ACTORS[session % len(ACTORS)]},
            "kind": "message", "content": {"text": self.of_session(session)},
        }

    def handoff(self, number):
        return {
            "session_id": f"session-{number}", "with_whom": PEOPLE[number // len(PROJECTS) % len(PEOPLE)],
            "project_id": PROJECTS[number % len(PROJECTS)], "tags": self.draw(2),
            **{field: self.finish(self.draw(FIELD_WORDS)) for field in FIELDS},
        }

    def telling(self, text, count):
        """Words of a text that somebody would ask for."""
        words = [word for word in text.replace(". ", " ").split(" ") if len(word) > 3 and word not in self.frequent]
        return self.dice.sample(words, k=min(count, len(words))) + ["it"] * max(0, count - len(words))

    def question(self, event):
        """A search for something that the event tells, in one case of five within its project."""
        body = {"query": self.dice.choice(QUESTIONS).format(*self.telling(event["content"]["text"], 5))}
        if event["project_id"] and self.dice.random() < 0.2:
            body["project_id"] = event["project_id"]
        return body

    def task(self, event):
        """What an agent in the event's session asks a context bundle for."""
        words = self.telling(event["content"]["text"], 8)
        body = {
            "query_text": self.dice.choice(TASKS).format(*words), "intent": self.dice.choice(INTENTS).format(*words[6:]),
            "agent_id": event["actor"]["id"], "session_id": event["session_id"],
        }
        if budget := self.dice.choice(BUDGETS):
            body["max_tokens"] = budget
        if event["project_id"] and self.dice.random() < 0.5:
            body["project_id"] = event["project_id"]
        return body


def compact(body):
    """JSON in one line, without what is absent."""
    return json.dumps({key: value for key, value in body.items() if value is not None}, separators=(",", ":"))
