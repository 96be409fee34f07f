-- Shared by every script. KEYS[1] is the queue's base key, ARGV[1] the caller's protocol version.
-- All other keys of the queue are derived from the base key, under its one hash tag.
local VERSION = 1
local base = KEYS[1]

-- A write that frees and never allocates: after it Redis lets the script finish even when it is full.
-- Scripts that put something in must be refused then, and do without (`allocates` is set before this line).
if not allocates then redis.call('UNLINK', base .. ':none') end

local function key(name) return base .. ':' .. name end
-- A job's keys end in the 26 characters of its id: the queue is named by the base key.
local function payload_key(id) return base .. ':' .. string.sub(id, -26) end
local function hash_key(id) return base .. ':h:' .. string.sub(id, -26) end
local function batch_key(batch) return base .. ':b:' .. batch end

-- A whole number as Redis takes it; the same ones come again and again in a script.
local ints = {}
local function int(number)
  local text = ints[number]
  if not text then
    text = string.format('%.0f', number)
    ints[number] = text
  end
  return text
end

local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now = math.floor(now_us / 1000)
local now_text = int(now)

local TOMBSTONE_MS = 86400000

local function class_of(priority)
  priority = tonumber(priority)
  if priority <= 2 then return 'urgent' elseif priority <= 6 then return 'normal' else return 'low' end
end
local CLASSES = { 'urgent', 'normal', 'low' }

-- Writes that many jobs of a script need alike: collected, and made at once by `settle`. What is read before sees nothing of them.
local later = {}
local function write_later(command, place, word, more)
  local name = place or command
  local write = later[name]
  if not write then
    write = { command, place }
    later[name] = write
  end
  write[#write + 1] = word
  write[#write + 1] = more
end

-- Counters: collected as well.
local deltas = {}
local function count(where, field, by)
  local fields = deltas[where]
  if not fields then fields = {}; deltas[where] = fields end
  fields[field] = (fields[field] or 0) + by
end

local this_minute
local function minute_key()
  this_minute = this_minute or base .. ':m:' .. math.floor(now / 60000)
  return this_minute
end

local FINISHED = { sent = true, failed = true, cancelled = true }

-- One job, or so many, go from a state to another, in their batch's counters and, while they are unfinished, in their queue's.
local queue_counters = key('n')
local function move(batch, from, to, jobs)
  local queue, by = queue_counters, jobs or 1
  if from and not FINISHED[from] then count(queue, from, -by) end
  if to and not FINISHED[to] then count(queue, to, by) end
  if batch ~= '-' then
    local record = batch_key(batch)
    if from then count(record, from, -by) end
    if to then count(record, to, by) end
  end
end

-- The states of a job that has not come to its end.
local UNFINISHED = { 'scheduled', 'queued', 'sending', 'deferred', 'unknown' }
local function unfinished(record)
  local counts = redis.call('HMGET', record, unpack(UNFINISHED))
  local sum = 0
  for _, value in ipairs(counts) do sum = sum + (tonumber(value) or 0) end
  return sum
end

-- Once in its life: a batch is done, and somebody wants to be told.
local function note_done(record, batch)
  if redis.call('HEXISTS', record, 'notify') == 0 or redis.call('HSETNX', record, 'noticed_ms', int(now)) == 0 then return end
  redis.call('ZADD', key('notices'), int(now), batch)
end

-- A batch that is sealed with nothing unfinished is done; its record is then kept as long as results are. While the jobs of a
-- cancelled one are still being freed it is not let go: without it they would look alive.
local function settle_batch(record)
  local facts = redis.call('HMGET', record, 'sealed', 'done_ms', 'retention_ms', 'id')
  if facts[1] ~= '1' then return end
  local shared, terms = base .. ':c:' .. facts[4], base .. ':t:' .. string.sub(facts[4], -10)
  if unfinished(record) > 0 then
    if not facts[2] then return end
    redis.call('HDEL', record, 'done_ms')
    redis.call('PERSIST', record)
    redis.call('PERSIST', shared)
    redis.call('PERSIST', terms)
    return
  end
  if not facts[2] then
    redis.call('HSET', record, 'done_ms', int(now))
    note_done(record, facts[4])
  end
  if redis.call('ZSCORE', key('sweeping'), facts[4]) then return end
  local keep = int(math.max(tonumber(facts[3]) or 0, TOMBSTONE_MS))
  redis.call('PEXPIRE', record, keep)
  redis.call('PEXPIRE', shared, keep)
  -- What was sent is let go by the hour.
  redis.call('PEXPIRE', terms, int(keep + 2 * 3600000))
end

-- Whether a batch has as many unfinished jobs as before.
local function keeps_its_number(fields)
  local sum = 0
  for _, state in ipairs(UNFINISHED) do sum = sum + (fields[state] or 0) end
  return sum == 0
end

-- Makes what was collected.
local function settle()
  for _, write in pairs(later) do redis.call(unpack(write)) end
  later = {}
  local prefix = base .. ':b:'
  for where, fields in pairs(deltas) do
    for field, by in pairs(fields) do
      local is_new = by ~= 0 and redis.call('HINCRBY', where, field, by) == by
      if is_new and where == this_minute then redis.call('PEXPIRE', where, 90000000) end
    end
    if string.sub(where, 1, #prefix) == prefix and not keeps_its_number(fields) then settle_batch(where) end
  end
  deltas = {}
end

-- Tells one idle worker that there is something to claim; of what is urgent also one that keeps a slot for it. The lists never
-- hold more than one token.
local function wake(priority)
  local bell = key(priority and class_of(priority) == 'urgent' and 'wake:urgent' or 'wake')
  if redis.call('LLEN', bell) == 0 then redis.call('RPUSH', bell, '1') end
end
