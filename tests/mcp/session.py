"""A whole session with the official Python SDK, and the next one, which knows of it.

usage: session.py legacy|modern http URL
       session.py legacy|modern stdio BINARY FILE
"""

import asyncio
import sys

from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

VERSIONS = {"legacy": "2025-11-25", "modern": "2026-07-28"}
MODES = {"legacy": "legacy", "modern": "auto"}


def connect(era, transport, *where):
    server = where[0] if transport == "http" else StdioServerParameters(command=where[0], args=["--db", where[1], "mcp"])
    return Client(server, mode=MODES[era])


async def call(client, name, **arguments):
    # The SDK itself holds what comes back against the tool's output schema.
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result
    return result.structured_content


async def main(era, *where):
    async with connect(era, *where) as first:
        assert first.protocol_version == VERSIONS[era], first.protocol_version
        tools = (await first.list_tools()).tools
        assert len(tools) == 10 and all(tool.output_schema and tool.annotations for tool in tools)
        await call(first, "wake_up")
        note = await call(first, "remember", content="the gauge stands on the pier")
        await call(first, "record_decision", decision="read the gauge at noon", scope="global")
        await call(first, "record_event", text="the gauge was read")
        found = await call(first, "recall", query="where does the gauge stand?")
        assert note["id"] in [memory["id"] for memory in found["memories"]], found
        bundle = await call(first, "build_context", task="read the gauge", max_tokens=500)
        assert "gauge" in bundle["context"], bundle
        handoff = await call(first, "create_handoff", remember="paint the gauge on Thursday")
        wrong = await first.call_tool("recall", {"query": 5})
        assert wrong.is_error and "query: invalid type" in wrong.content[0].text, wrong
        try:
            await first.call_tool("dream", {})
            raise AssertionError("a tool that there is not was called")
        except MCPError as error:
            assert "Unknown tool: dream" in str(error), error

    async with connect(era, *where) as later:
        woken = await call(later, "wake_up")
        assert not woken["first_session"] and "paint the gauge on Thursday" in woken["context"], woken
        prompt = await later.get_prompt("wake_up", {"topic": "the gauge"})
        assert "paint the gauge" in prompt.messages[0].content.text
        resources = (await later.list_resources()).resources
        read = await later.read_resource(str(resources[0].uri))
        assert "paint the gauge" in read.contents[0].text
        one = await later.read_resource(f"memory://{handoff['id']}")
        assert one.contents[0].text == "remember: paint the gauge on Thursday", one
        assert len((await call(later, "list_memories", type="knowledge"))["memories"]) == 1
        await call(later, "forget", id=note["id"])
        assert not (await call(later, "list_memories", type="knowledge"))["memories"]
        await call(later, "memory_status")


asyncio.run(main(*sys.argv[1:]))
