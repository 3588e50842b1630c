"""That the binary that is shipped takes no faults: it knows no such option, and has neither a word nor a name of them in it.

usage: [AGENT_MEMORY_BIN=FILE] [AGENT_MEMORY_FAULT_BIN=FILE] shipped.py

What is looked for is taken from the source of the faults, and is found in the build that has them.
"""

import re
import subprocess
import tempfile

import faults
import server
from server import Failure, ROOT, run

SOURCE = ROOT / "src" / "fault" / "injected.rs"
OPTION = "--fault-socket"
# The name of the module in the symbols of the program, as the compiler writes it.
MODULE = b"8injected"
TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
# Shorter words may stand in a program by chance.
SHORTEST = 9
# An optimised build compares with short words without keeping them, so not all of them can be looked for.
FEWEST = 4


def words():
    """The texts of the program that stand in that file and nowhere else in the source."""
    code = SOURCE.read_text().split("#[cfg(test)]")[0].splitlines()
    texts = {piece for line in code if "reason =" not in line for text in TEXT.findall(line) for piece in re.split(r"\{.*?\}", text)}
    others = "".join(file.read_text() for file in (ROOT / "src").rglob("*.rs") if file != SOURCE)
    own = sorted(text.encode() for text in texts if len(text) >= SHORTEST and text not in others)
    return [*own, OPTION.removeprefix("--").encode(), MODULE]


def main():
    shipped, faulty = server.build(), faults.build()
    has, lacks = faulty.read_bytes(), shipped.read_bytes()
    looked_for = [word for word in words() if word in has]
    found = [word for word in looked_for if word in lacks]
    print(f"in the build with faults and not in the one that is shipped: {b', '.join(looked_for).decode()}")
    if len(looked_for) < FEWEST or MODULE not in looked_for:
        raise Failure("the words are not even in the build with faults, so nothing is known of the other")
    if found:
        raise Failure(f"in the shipped binary: {found}")
    with tempfile.TemporaryDirectory() as folder:
        command = [str(shipped), "serve", "--db", f"{folder}/memory.db", "--listen", "127.0.0.1:0", OPTION, f"{folder}/socket"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        if done.returncode != 2 or "unexpected argument" not in done.stderr:
            raise Failure(f"the shipped binary takes {OPTION}: {done.returncode} {done.stderr}")


if __name__ == "__main__":
    run(main)
