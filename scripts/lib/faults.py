"""Asks a server that was built with `--features fault` for faults, over its Unix socket (src/fault/injected.rs)."""

import os
import pathlib
import socket
import subprocess

from server import ROOT, Failure, Server, checked_binary


def build(variable="AGENT_MEMORY_FAULT_BIN", profile="fault", target=None):
    """Builds the binary with faults, unless the variable names one, and returns its path."""
    named = os.environ.get(variable)
    if named:
        return checked_binary(named)
    target = target or os.environ.get("CARGO_TARGET_DIR", "target")
    command = ["cargo", "build", "--profile", profile, "--features", "fault", "--locked", "--quiet", "--target-dir", target]
    subprocess.run(command, cwd=ROOT, check=True)
    return checked_binary(ROOT / target / profile / "agent-memory")


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
