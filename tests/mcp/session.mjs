// A whole session with an official TypeScript SDK, and the next one, which knows of it.
// usage: node session.mjs v1|v2 legacy|modern http URL [KEY]
//        node session.mjs v1|v2 legacy|modern stdio BINARY FILE
// v1 is @modelcontextprotocol/sdk, which speaks the older era alone; v2 is @modelcontextprotocol/client.

import assert from "node:assert/strict";

const [sdk, era, transport, ...where] = process.argv.slice(2);
const modules = {
  v1: ["@modelcontextprotocol/sdk/client/index.js", "@modelcontextprotocol/sdk/client/streamableHttp.js", "@modelcontextprotocol/sdk/client/stdio.js"],
  v2: ["@modelcontextprotocol/client", "@modelcontextprotocol/client", "@modelcontextprotocol/client/stdio"],
};
const [{ Client }, { StreamableHTTPClientTransport }, { StdioClientTransport }] = await Promise.all(modules[sdk].map((name) => import(name)));
const versions = { legacy: "2025-11-25", modern: "2026-07-28" };

async function connected() {
  const mode = era === "modern" ? { pin: versions.modern } : "legacy";
  const client = new Client({ name: `test-${sdk}`, version: "1" }, sdk === "v2" ? { versionNegotiation: { mode } } : {});
  await client.connect(
    transport === "http"
      ? new StreamableHTTPClientTransport(new URL(where[0]), where[1] && { requestInit: { headers: { authorization: `Bearer ${where[1]}` } } })
      : new StdioClientTransport({ command: where[0], args: ["--db", where[1], "mcp"], stderr: "inherit" }),
  );
  if (sdk === "v2") assert.equal(client.getNegotiatedProtocolVersion(), versions[era]);
  assert.match(client.getInstructions(), /wake_up/);
  return client;
}

// The SDK itself holds what comes back against the tool's output schema.
async function call(client, name, args) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, JSON.stringify(result));
  assert.equal(result.content[0].type, "text");
  return result.structuredContent;
}

const first = await connected();
const { tools } = await first.listTools();
assert.equal(tools.length, 10);
for (const tool of tools) assert.equal(typeof tool.annotations.readOnlyHint, "boolean");
await call(first, "wake_up", {});
const note = await call(first, "remember", { content: "the gauge stands on the pier" });
await call(first, "record_decision", { decision: "read the gauge at noon", rationale: ["the tide is out"], scope: "global" });
await call(first, "record_event", { text: "the gauge was read", kind: "tool_result", actor: "tool" });
const found = await call(first, "recall", { query: "where does the gauge stand?" });
assert.ok(found.memories.some((memory) => memory.id === note.id));
const bundle = await call(first, "build_context", { task: "read the gauge", max_tokens: 500 });
assert.match(bundle.context, /gauge/);
const handoff = await call(first, "create_handoff", { remember: "paint the gauge on Thursday" });

const wrong = await first.callTool({ name: "recall", arguments: { query: 5 } });
assert.ok(wrong.isError && /query: invalid type/.test(wrong.content[0].text), JSON.stringify(wrong));
await assert.rejects(first.callTool({ name: "dream", arguments: {} }), /Unknown tool: dream/);
// A request that its client gives up, and one after it.
const gone = AbortSignal.timeout(1);
await first.callTool({ name: "wake_up", arguments: {} }, ...(sdk === "v1" ? [undefined] : []), { signal: gone }).catch(() => {});
await call(first, "memory_status", {});
await first.close();

const next = await connected();
const woken = await call(next, "wake_up", {});
assert.equal(woken.first_session, false);
assert.match(woken.context, /paint the gauge on Thursday/);
const { prompts } = await next.listPrompts();
assert.deepEqual(prompts.map((prompt) => prompt.name), ["wake_up", "hand_over"]);
const prompt = await next.getPrompt({ name: "wake_up", arguments: { topic: "the gauge" } });
assert.match(prompt.messages[0].content.text, /paint the gauge/);
const { resources } = await next.listResources();
const { contents } = await next.readResource({ uri: resources[0].uri });
assert.match(contents[0].text, /paint the gauge/);
const { resourceTemplates } = await next.listResourceTemplates();
const one = await next.readResource({ uri: resourceTemplates[0].uriTemplate.replace("{id}", handoff.id) });
assert.equal(one.contents[0].text, "remember: paint the gauge on Thursday");
const listed = await call(next, "list_memories", { type: "knowledge" });
assert.equal(listed.memories.length, 1);
await call(next, "forget", { id: note.id });
assert.equal((await call(next, "list_memories", { type: "knowledge" })).memories.length, 0);
await next.close();
