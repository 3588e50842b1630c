"""Asks a server that was built with `--features fault` for faults, over its Unix socket (src/fault/injected.rs)."""

import os
import pathlib
import socket
import subprocess

from server import ROOT, Failure, Server, checked_binary


def build():
    """Builds the binary with faults, unless AGENT_MEMORY_FAULT_BIN names one, and returns its path."""
    named = os.environ.get("AGENT_MEMORY_FAULT_BIN")
    if named:
        return checked_binary(named)
    command = ["cargo", "build", "--profile", "fault", "--features", "fault", "--locked", "--quiet"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return checked_binary(ROOT / target / "fault" / "agent-memory")


class FaultyServer(Server):
    """A server that can be asked for faults."""

    def __init__(self, binary, db, flags=()):
        self.socket = pathlib.Path(db).with_suffix(".fault")
        super().__init__(binary, db, ("--fault-socket", str(self.socket), *flags))

    def start(self):
        self.socket.unlink(missing_ok=True)
        super().start()

    def ask(self, line):
        """Asks for one fault, or a number; what lines there are is told by src/fault/injected.rs."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(self.socket))
            asking.sendall(f"{line}\n".encode())
            answer = asking.makefile().readline().strip()
        word, _, number = answer.partition(" ")
        if word != "ok":
            raise Failure(f"the fault {line!r} was answered {answer!r}")
        return int(number) if number else None
