"""Gives the exposition of a running server to promtool: on an empty store, and after requests and errors.

usage: AGENT_MEMORY_BIN=FILE exposition.py"""
import subprocess
import sys
import tempfile

from server import Failure, Server, build

EVENT = {
    "session_id": "s", "channel": "private", "actor": {"type": "human", "id": "u"}, "kind": "message",
    "content": {"text": "the scrape interval is ten seconds"},
}


def lint(client, when):
    body = client.request("GET", "/metrics/prometheus").body
    checked = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
    said = checked.stdout.decode() + checked.stderr.decode()
    if checked.returncode != 0:
        raise Failure(f"promtool refuses the exposition {when}:\n{said}")
    print(f"promtool accepts {len(body.splitlines())} lines {when}")


def main():
    with tempfile.TemporaryDirectory() as folder, Server(build(), f"{folder}/memory.db") as server:
        client = server.client()
        lint(client, "of an empty store")
        for number in range(50):
            client.request("POST", "/api/v1/events", EVENT)
            client.request("POST", "/api/v1/recall", {"query": "scrape interval"})
            client.request("POST", "/api/v1/recall", {"query": 5})
            client.request("DELETE", f'/api/v1/events/{number}"\\\n'.replace("\n", "%0A"))
            client.request("GET", "/no/such/route")
        lint(client, "after requests and errors")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        print(f"FAIL: {failure}", file=sys.stderr)
        sys.exit(1)
