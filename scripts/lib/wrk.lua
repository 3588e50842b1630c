-- What wrk sends, and how it reports what came back.
--
-- Arguments after `--`: what to send (get, event, batch or handoff), the file of words, and a seed, so that two runs do
-- not send the same texts. The report is one line of JSON.

-- An event of 40 words is the size that the product's disk and speed figures are stated for; tests/bench/raw_sqlite.rs
-- writes the same.
local EVENT_WORDS = 40
-- A handoff has six fields; two sentences each.
local FIELD_WORDS = 25
local FIELDS = { "experienced", "noticed", "learned", "story", "becoming", "remember" }
-- An agent's session is some hundred events long; tests/bench/raw_sqlite.rs does the same.
local EVENTS_PER_SESSION = 200
local BATCH_EVENTS = 100
-- A batch picks from so many texts made beforehand: making a hundred anew for each request would take processor time
-- from the server.
local BATCH_TEXTS = 5000

local words, session_prefix, sent, ready = {}, "", 0, {}
local thread_number = 0

function setup(thread)
   thread:set("number", thread_number)
   thread_number = thread_number + 1
end

-- Drawn evenly from a running text, so that words come as often as they do in it.
local function draw(count)
   local drawn = {}
   for place = 1, count do
      drawn[place] = words[math.random(#words)]
   end
   -- An identifier that was never seen: a commit, an id, a port.
   drawn[count + 1] = string.format("%08x", math.random(0, 0x7fffffff))
   return table.concat(drawn, " ")
end

local function session()
   return session_prefix .. math.floor(sent / EVENTS_PER_SESSION)
end

local function event(text)
   return '{"session_id":"' .. session() .. '","channel":"team","actor":{"type":"agent","id":"bench"},"kind":"message",'
      .. '"content":{"text":"' .. text .. '"}}'
end

local body = {}

function body.event()
   return event(draw(EVENT_WORDS))
end

function body.batch()
   local events = {}
   for place = 1, BATCH_EVENTS do
      events[place] = event(ready[math.random(#ready)])
   end
   return "[" .. table.concat(events, ",") .. "]"
end

function body.handoff()
   local fields = { '{"session_id":"' .. session_prefix .. sent .. '","with_whom":"Bench"' }
   for _, field in ipairs(FIELDS) do
      fields[#fields + 1] = '"' .. field .. '":"' .. draw(FIELD_WORDS) .. '"'
   end
   return table.concat(fields, ",") .. "}"
end

function init(args)
   local what, file, seed = args[1], args[2], args[3]
   if what == "get" then
      return
   end
   for word in io.lines(file) do
      words[#words + 1] = word
   end
   math.randomseed(tonumber(seed) * 1000 + number)
   session_prefix = "bench-" .. seed .. "-" .. number .. "-"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   if what == "batch" then
      for place = 1, BATCH_TEXTS do
         ready[place] = draw(EVENT_WORDS)
      end
   end
   local make = body[what]
   function request()
      sent = sent + 1
      return wrk.format(nil, nil, nil, make())
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p99_ms":%.4f,"max_ms":%.4f,"bad_status":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout
   ))
end
