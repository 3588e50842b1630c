"""Writes an export file of any size, quickly: a header, events of varied text with some artifacts, handoffs, a trailer.

A smaller file holds the first rows of a larger one. Nothing of it is held: a file of 5 GB takes some megabytes to write.
"""

import hashlib
import json
import random

STAMP = "2026-01-01T00:00:00.000Z"
# Octets of a text: most are short, some are what a tool prints.
TEXT_BYTES = [60, 120, 200, 300, 500, 800, 1_500, 4_000]
LONG_EVERY, LONG_BYTES = 100, 20_000
# A text of more than 64 KiB stays there with its first 64 KiB, and whole in its artifact.
ARTIFACT_EVERY, ARTIFACT_BYTES, INLINE_BYTES = 2_000, 80_000, 64 * 1024
SESSION_EVENTS = 500
HANDOFF_EVERY = 5_000
POOL_CHARS = 4_000_000
BLOCK_LINES = 2_000


class ExportFile:
    """A file that grows line by line and ends with a trailer that agrees."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "wb", buffering=1024 * 1024)
        self.digest = hashlib.sha256()
        self.counts = dict.fromkeys(
            ["projects", "sessions", "events", "artifacts", "handoffs", "decisions", "knowledge", "reflections",
             "principles"], 0)
        self.lines = 0
        self.bytes = 0
        self.write([header()])

    def write(self, lines):
        data = ("\n".join(lines) + "\n").encode()
        self.digest.update(data)
        self.file.write(data)
        self.lines += len(lines)
        self.bytes += len(data)

    def close(self):
        self.write([json.dumps({"type": "trailer", "counts": self.counts, "sha256": self.digest.hexdigest()})])
        self.file.close()


def header():
    return json.dumps({
        "type": "header", "format": "agent-memory", "version": 2, "tenant_id": "default", "created_at": STAMP,
        "schema": 2, "up_to": "secret"})


def write(path, size):
    """Writes a file of about `size` octets and returns it, closed."""
    out, pool, dice, number = ExportFile(path), word_pool(), random.Random(2), 0
    while out.bytes < size:
        lines = []
        while len(lines) < BLOCK_LINES:
            number += 1
            lines.extend(event(number, pool, dice, out.counts))
        out.write(lines)
    handoffs = [handoff(index, pool) for index in range(number // HANDOFF_EVERY)]
    out.counts["handoffs"] = len(handoffs)
    if handoffs:
        out.write(handoffs)
    out.close()
    return out


def word_pool():
    """Words of a made-up language, the frequent ones far more frequent, with what texts of programs are full of."""
    dice = random.Random(1)
    syllables = ["ka", "ro", "mi", "ten", "so", "lu", "gra", "vi", "dem", "pü", "ost", "ne", "hal", "ir", "qua", "bo"]
    words = ["".join(dice.choices(syllables, k=dice.randint(1, 5))) for _ in range(30_000)]
    words += [f"src/{a}/{b}.rs" for a, b in zip(words[:500], words[500:1_000], strict=True)]
    words += [f"E{number:04}" for number in range(500)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    parts, length = [], 0
    while length < POOL_CHARS:
        some = dice.choices(words, weights, k=10_000)
        parts.extend(some)
        length += sum(map(len, some)) + len(some)
    return " ".join(parts)


def event(number, pool, dice, counts):
    """The lines of one event. JSON is put together by hand: the texts hold nothing that has to be escaped."""
    size = dice.choice(TEXT_BYTES)
    if number % LONG_EVERY == 0:
        size = LONG_BYTES
    if number % ARTIFACT_EVERY == 0:
        size = ARTIFACT_BYTES
    start = dice.randrange(len(pool) - size)
    text = f"{number} {pool[start:start + size]}"
    counts["events"] += 1
    member, artifact = "", []
    if number % ARTIFACT_EVERY == 0:
        counts["artifacts"] += 1
        member = f',"artifact_id":"art_{number:032x}"'
        artifact = [
            f'{{"type":"artifact","artifact_id":"art_{number:032x}","tenant_id":"default","event_id":"evt_{number:032x}",'
            f'"kind":"blob","bytes":{len(text.encode())},"meta":{{"format":"text","pointer":"/text"}},"text":"{text}"}}']
        text = text.encode()[:INLINE_BYTES].decode(errors="ignore")
    minute = number // 50
    ts = f"2026-01-{minute // 1440 % 28 + 1:02}T{minute // 60 % 24:02}:{minute % 60:02}:{number % 50:02}.000Z"
    return [
        f'{{"type":"event","event_id":"evt_{number:032x}","tenant_id":"default","session_id":"s{number // SESSION_EVENTS}",'
        f'"ts":"{ts}","channel":"private","actor":{{"type":"agent","id":"writer"}},"kind":"message","sensitivity":"none",'
        f'"tags":["t{number % 97}"],"content":{{"text":"{text}"}},"refs":[]{member}}}'] + artifact


def handoff(index, pool):
    # By its number alone, so that a shorter file has the same ones.
    start = random.Random(index).randrange(len(pool) - 2_000)
    return json.dumps({
        "type": "handoff", "handoff_id": f"sh_{index:032x}", "tenant_id": "default",
        "session_id": f"s{index * HANDOFF_EVERY // SESSION_EVENTS}", "with_whom": "Ada",
        "experienced": pool[start:start + 1_000], "noticed": "", "learned": pool[start + 1_000:start + 2_000], "story": "",
        "becoming": f"somebody who counts to {index}", "remember": "", "significance": 0.5, "tags": [],
        "sensitivity": "none", "origin": "agent", "compression_level": "full", "created_at": STAMP}, ensure_ascii=False)
