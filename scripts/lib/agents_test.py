"""The last part of scripts/test-mcp: Claude Code and Codex themselves, installed into by `agent-memory install`.

Their model is a script on this machine (scripts/lib/model.py), the rest of them is what people run: they read the settings
that were written, start the MCP server, run the hooks, and keep the session files that the hooks read. Shown is that what one
session says, the next one's model is told, whichever of the two it is.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
from model import SAYS, Model, texts  # noqa: E402
import server  # noqa: E402
from server import ROOT, Failure, build  # noqa: E402

PROGRAMS = ROOT / "target" / "coding-agents" / "node_modules" / ".bin"
# An agent that takes longer hangs.
LIMIT_S = 60
NOTE = "the valve on the east pier sticks at low water"
WOKEN = "What earlier sessions left in agent-memory"


class Machine:
    """A home with a repository in it, and nothing of the user's own: no settings, no keys, no names but loopback's."""

    def __init__(self, folder, binary, model):
        self.home, self.binary, self.model = folder / "home", binary, model
        self.work, self.db = folder / "pier", folder / "memory.db"
        for path in (self.home, self.work):
            path.mkdir()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "USER": "ada"}
        self.run(["git", "init", "--quiet"])
        self.run(["git", "remote", "add", "origin", "https://git.example/ada/pier.git"])

    def run(self, command, with_errors=False, **env):
        """A command in the repository; what it wrote, on both streams if wished."""
        done = subprocess.run(
            [str(word) for word in command], cwd=self.work, env=self.env | env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=LIMIT_S, check=False,
        )
        if done.returncode:
            raise Failure(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr if with_errors else done.stdout

    def memory(self, *args):
        return self.run([self.binary, "--db", self.db, *args])

    def listed(self, kind):
        return json.loads(self.memory("--json", "list", kind))[kind]

    def claude(self, *args):
        return self.run([PROGRAMS / "claude", *args], ANTHROPIC_BASE_URL=self.model.url, ANTHROPIC_API_KEY="none", DISABLE_TELEMETRY="1",
                        DISABLE_AUTOUPDATER="1", ENABLE_TOOL_SEARCH="false", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1")

    def codex(self, *args, with_errors=False):
        provider = f'{{name="script",base_url="{self.model.url}/v1",wire_api="responses",env_key="NO_KEY",supports_websockets=false}}'
        return self.run([PROGRAMS / "codex", "-c", 'model="script"', "-c", 'model_provider="script"', "-c",
                         f"model_providers.script={provider}", *args], with_errors, NO_KEY="none")

    def told(self, since):
        """Everything that the model was sent since, as one text."""
        found = "\n".join(texts(self.model.requests[since:]))
        if not found:
            raise Failure("the agent asked its model for nothing")
        return found


def wanted(found, *words):
    for word in words:
        if word not in found:
            raise Failure(f"{word!r} is not in:\n{found[-4000:]}")


def installed(machine):
    """Both read the entry as it was meant, and Claude Code starts it and is answered."""
    for agent in ("claude-code", "codex"):
        wanted(machine.memory("install", agent), "added hooks", "added MCP server")
    wanted(machine.claude("mcp", "list"), "agent-memory: ", "Connected")
    entry, = json.loads(machine.codex("mcp", "list", "--json"))
    how = (entry["name"], entry["enabled"], entry["transport"]["command"], entry["transport"]["args"])
    if how != ("agent-memory", True, str(machine.binary), ["--db", str(machine.db), "mcp"]):
        raise Failure(f"Codex reads {entry}")
    return "both read the MCP entry, Claude Code connects to it"


def first_session(machine):
    """Claude Code runs the hooks and calls a tool; what was said is recorded, and so is what the tool was told."""
    call = f"call mcp__agent-memory__remember {json.dumps({'content': NOTE})}"
    wanted(machine.claude("-p", f"where is the gauge?\n{call}", "--allowedTools", "mcp__agent-memory__remember"), SAYS)
    recorded = json.dumps(machine.listed("events"))
    wanted(recorded, "where is the gauge?", SAYS, "mcp__agent-memory__remember")
    if [note["content"] for note in machine.listed("knowledge")] != [NOTE]:
        raise Failure(f"kept are {machine.listed('knowledge')}; events are {recorded}")
    handoff, = machine.listed("handoffs")
    if (handoff["origin"], handoff["project_id"]) != ("automatic", "git.example/ada/pier"):
        raise Failure(f"the handoff is {handoff}")
    return f"Claude Code: {len(machine.listed('events'))} events, a note by the tool, one automatic handoff"


def second_session(machine):
    """The next one's model is told, at the start and with the prompt."""
    since = len(machine.model.requests)
    machine.claude("-p", "does the valve on the east pier work?")
    found = machine.told(since)
    wanted(found, WOKEN, SAYS, "From earlier sessions, by agent-memory", NOTE)
    return "Claude Code again: its model is told at the start and with the prompt"


def other_agent(machine):
    """So is that of another agent, which has no complaint of what was installed."""
    since, before = len(machine.model.requests), len(machine.listed("events"))
    # Whether hooks are trusted is asked of the person; here nobody is there to ask.
    said = machine.codex("exec", "--strict-config", "--dangerously-bypass-hook-trust", "does the valve on the east pier work?",
                         with_errors=True)
    wanted(said, SAYS, "hook: SessionStart Completed", "hook: UserPromptSubmit Completed", "hook: Stop Completed")
    wrong = [line for line in said.splitlines() if "warning" in line and ("hooks.json" in line or "config.toml" in line)]
    if wrong:
        raise Failure("\n".join(["Codex complains of its settings:", *wrong]))
    wanted(machine.told(since), WOKEN, "From earlier sessions, by agent-memory", NOTE)
    made = len(machine.listed("events")) - before
    if made < 2 or len(machine.listed("handoffs")) != 3:
        raise Failure(f"of Codex's session there are {made} events, and {len(machine.listed('handoffs'))} handoffs in all")
    return f"Codex: its model is told what Claude Code's sessions left; {made} events and a handoff of its own"


def uninstalled(machine):
    for agent in ("claude-code", "codex"):
        machine.memory("install", agent, "--uninstall")
    if "agent-memory" in machine.claude("mcp", "list") or json.loads(machine.codex("mcp", "list", "--json")):
        raise Failure("an agent still reads the entry")
    since, before = len(machine.model.requests), len(machine.listed("events"))
    machine.claude("-p", "does the valve on the east pier work?")
    if WOKEN in machine.told(since) or len(machine.listed("events")) != before:
        raise Failure("a hook still runs")
    return "uninstalled: neither reads the entry, no hook runs"


def main():
    binary, started = build(), time.monotonic()
    # Codex refuses to work below /tmp.
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder, Model() as model:
        machine = Machine(pathlib.Path(folder), binary, model)
        for part in (installed, first_session, second_session, other_agent, uninstalled):
            shown = part(machine)
            print(f"{time.monotonic() - started:6.1f} s  {shown}", flush=True)


if __name__ == "__main__":
    server.run(main)
