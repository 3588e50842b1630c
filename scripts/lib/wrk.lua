-- What wrk sends, and how it reports what came back.
--
-- Arguments after `--`: what to send, a file, and a seed, so that two runs do not send the same.
--   get       the URL of the command line; no file
--   requests  the lines of the file in turn, each `METHOD PATH [BODY]`
--   event, batch, handoff   new ones, of the texts that are the file's lines
-- The report is one line of JSON.

-- A handoff has six fields; two sentences each.
local FIELD_WORDS = 25
local FIELDS = { "experienced", "noticed", "learned", "story", "becoming", "remember" }
-- An agent's session is some hundred events long; tests/bench/raw_sqlite.rs does the same.
local EVENTS_PER_SESSION = 200
local BATCH_EVENTS = 100

local lines, session_prefix, sent = {}, "", 0
local thread_number = 0

function setup(thread)
   thread:set("number", thread_number)
   thread_number = thread_number + 1
end

local function read(file)
   for line in io.lines(file) do
      lines[#lines + 1] = line
   end
end

-- A text and an identifier that was never seen: a commit, an id, a port.
local function text()
   return lines[math.random(#lines)] .. string.format(" %08x", math.random(0, 0x7fffffff))
end

local body = {}

function body.event()
   sent = sent + 1
   local session = session_prefix .. math.floor(sent / EVENTS_PER_SESSION)
   return '{"session_id":"' .. session .. '","channel":"team","actor":{"type":"agent","id":"bench"},"kind":"message",'
      .. '"content":{"text":"' .. text() .. '"}}'
end

function body.batch()
   local events = {}
   for place = 1, BATCH_EVENTS do
      events[place] = body.event()
   end
   return "[" .. table.concat(events, ",") .. "]"
end

function body.handoff()
   sent = sent + 1
   local fields = { '{"session_id":"' .. session_prefix .. sent .. '","with_whom":"Ada"' }
   for _, field in ipairs(FIELDS) do
      fields[#fields + 1] = '"' .. field .. '":"' .. text() .. '"'
   end
   return table.concat(fields, ",") .. "}"
end

-- The first words of each text, cut once: cutting at each request would take processor time from the server.
local function cut_to(words)
   local pattern = "^" .. ("%S+ "):rep(words - 1) .. "%S+"
   for place, line in ipairs(lines) do
      lines[place] = line:match(pattern) or line
   end
end

-- Each thread begins somewhere else in the list.
local function in_turn()
   local ready = {}
   for place, line in ipairs(lines) do
      local method, path, rest = line:match("^(%S+) (%S+) ?(.*)$")
      local headers = rest ~= "" and { ["Content-Type"] = "application/json" } or {}
      ready[place] = wrk.format(method, path, headers, rest ~= "" and rest or nil)
   end
   local place = math.random(#ready)
   function request()
      place = place % #ready + 1
      return ready[place]
   end
end

function init(args)
   local what, file, seed = args[1], args[2], args[3]
   if what == "get" then
      return
   end
   math.randomseed(tonumber(seed) * 1000 + number)
   read(file)
   if what == "requests" then
      in_turn()
      return
   end
   session_prefix = "bench-" .. seed .. "-" .. number .. "-"
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   if what == "handoff" then
      cut_to(FIELD_WORDS)
   end
   local make = body[what]
   function request()
      return wrk.format(nil, nil, nil, make())
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"seconds":%.6f,"p50_ms":%.4f,"p95_ms":%.4f,"p99_ms":%.4f,"max_ms":%.4f,"bad_status":%d,"broken":%d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
      latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout
   ))
end
