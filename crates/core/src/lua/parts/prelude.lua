-- Prelude of every script. `general.name`, `rare.name` and `damage.name` call a function of a group
-- that is created at its first use, so that a script that does not need it saves the time. KEYS[1]
-- is the queue's base key, ARGV[1] the caller's protocol version. All other keys of the queue are
-- derived from the base key, under its hash tag.
local VERSION = 1
local base = KEYS[1]

-- A write that frees memory and never allocates. After it, Redis lets the script finish even at its
-- memory limit. Scripts that add data must be refused then, and omit it (`allocates` is set by the
-- line before the prelude).
if not allocates then redis.call('UNLINK', base .. ':none') end

local function key(name) return base .. ':' .. name end
-- A job's keys end in the 26 characters of its ULID; the base key names the queue.
local function payload_key(id) return base .. ':' .. string.sub(id, -26) end
local function hash_key(id) return base .. ':h:' .. string.sub(id, -26) end
local function batch_key(batch) return base .. ':b:' .. batch end
local function terms_key(batch) return base .. ':t:' .. string.sub(batch, -10) end

-- Formats a whole number for Redis. Cached, since a script formats the same numbers many times.
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

-- Damage: a key of the wrong type, or a counter that is not a number. It does not fail the script.
-- The key is moved to `damaged:<name>`, and the script continues as if the key were empty. The
-- counter is calculated again or restarts. `damaged` lists the damage found. The record of a job is
-- not repaired here: an error is raised, and the job is set aside (aside.lua).
local server = redis
local DAMAGED_MS, DAMAGED_MOST = 2592000000, 1000
local function note_damage(what, why)
  local list = base .. ':damaged'
  if server.call('TYPE', list).ok ~= 'zset' then server.call('UNLINK', list) end
  server.call('ZADD', list, now_text, what .. ': ' .. why)
  server.call('ZREMRANGEBYRANK', list, 0, -DAMAGED_MOST - 1)
  server.call('PEXPIRE', list, DAMAGED_MS)
end

-- The states of an unfinished job.
local UNFINISHED = { 'scheduled', 'queued', 'sending', 'deferred', 'unknown' }

-- Counts the queue's jobs of a state from its indexes. The lists of `queued` may name jobs in
-- another state.
local function lists_length(list)
  local sum = 0
  for priority = 0, 9 do
    local length = server.pcall('LLEN', base .. ':' .. list .. ':' .. priority)
    if type(length) == 'number' then sum = sum + length end
  end
  return sum
end
local function zset_size(name)
  local size = server.pcall('ZCARD', base .. ':' .. name)
  return type(size) == 'number' and size or 0
end
local function count_from_indexes(state)
  if state == 'sending' then return zset_size('leases') end
  if state == 'unknown' then return zset_size('unknown') end
  if state ~= 'queued' then
    return zset_size(state .. ':urgent') + zset_size(state .. ':normal') + zset_size(state .. ':low')
  end
  local sum, lines = lists_length('ready'), server.pcall('ZRANGE', base .. ':lines', 0, 99)
  for _, line in ipairs(lines.err and {} or lines) do sum = sum + lists_length('line:' .. line) end
  return sum
end
local function recount()
  for _, state in ipairs(UNFINISHED) do server.call('HSET', base .. ':n', state, int(count_from_indexes(state))) end
end

local function move_aside(where, why)
  local name = string.sub(where, #base + 2)
  server.call('RENAME', where, base .. ':damaged:' .. name)
  server.call('PEXPIRE', base .. ':damaged:' .. name, DAMAGED_MS)
  note_damage('key ' .. name, why)
  if name == 'n' then recount() end
end

-- Returns whether the key is the payload, hash or flight of a job.
local function is_of_job(where)
  local name = string.sub(where, #base + 2)
  if #name == 28 then name = string.match(name, '^[hf]:(.*)$') or '' end
  return #name == 26 and not string.find(name, '[^0-9A-Z]')
end

local function is_not_a_number(why)
  return string.find(why, 'not an integer', 1, true) or string.find(why, 'would overflow', 1, true)
end

-- Repairs a key after a failed command. A content whose number of jobs is lost is kept until its
-- expiry.
local UNKNOWN_JOBS = 1000000
local function repair(why, command, where, field)
  if type(where) ~= 'string' or string.sub(where, 1, #base + 1) ~= base .. ':' or is_of_job(where) then return end
  if string.find(why, 'WRONGTYPE', 1, true) then return move_aside(where, why) end
  if not is_not_a_number(why) then return end
  if string.find(command, '^[ID][NE]CRBY$') then
    -- The key is intact if the argument is what was wrong.
    if not tonumber(server.call('GET', where)) then move_aside(where, why) end
    return
  end
  if command ~= 'HINCRBY' then return end
  note_damage('counter ' .. field .. ' of ' .. string.sub(where, #base + 2), why)
  server.call('HSET', where, field, string.sub(where, #base + 1, #base + 3) == ':a:' and UNKNOWN_JOBS or 0)
end

local redis = {
  call = function(command, where, ...)
    local reply = server.pcall(command, where, ...)
    if type(reply) ~= 'table' or not reply.err then return reply end
    damage.repair(reply.err, command, where, ...)
    return server.call(command, where, ...)
  end,
}

local TOMBSTONE_MS = 86400000

local function class_of(priority)
  priority = tonumber(priority)
  if priority <= 2 then return 'urgent' elseif priority <= 6 then return 'normal' else return 'low' end
end
local CLASSES = { 'urgent', 'normal', 'low' }

-- Writes of the same kind for many jobs: collected, and sent as one command by `flush_writes`.
-- Reads before that do not see them.
local pending_writes = {}
local function write_later(command, place, word, more)
  local name = place or command
  local write = pending_writes[name]
  if not write then
    write = { command, place }
    pending_writes[name] = write
  end
  write[#write + 1] = word
  write[#write + 1] = more
end

-- Keys of counters: `t:<ref>`, `b:<batch>`, `c:<batch>`, `n`, `m:<minute>`, `sweeping`, `notices`

-- Counters are collected too. During an act on one job (`try_job`) the journal records its counts,
-- so that they can be taken back.
local deltas, journal = {}, nil
local function count(where, field, by)
  local fields = deltas[where]
  if not fields then fields = {}; deltas[where] = fields end
  fields[field] = (fields[field] or 0) + by
  if journal then
    local size = #journal
    journal[size + 1], journal[size + 2], journal[size + 3] = where, field, by
  end
end

local this_minute
local function minute_key()
  this_minute = this_minute or base .. ':m:' .. math.floor(now / 60000)
  return this_minute
end

local FINISHED = { sent = true, failed = true, cancelled = true }

-- Counts a change of state of one or several jobs: in the counters of their batch and, for
-- unfinished states, of their queue.
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

local function unfinished(record)
  local counts = redis.call('HMGET', record, unpack(UNFINISHED))
  local sum = 0
  for _, value in ipairs(counts) do sum = sum + (tonumber(value) or 0) end
  return sum
end

-- Adds a notice for a batch that is done, once in its life, if a notification was requested.
local function add_notice(record, batch)
  if redis.call('HEXISTS', record, 'notify') == 0 then return end
  if redis.call('HSETNX', record, 'noticed_ms', int(now)) == 0 then return end
  redis.call('ZADD', key('notices'), int(now), batch)
end

-- Marks a sealed batch without unfinished jobs as done, and sets the expiry of its record to its
-- retention. The record stays while the jobs of a cancelled batch are being freed: without it they
-- would read as waiting.
local function update_completion(record)
  local facts, id = redis.call('HMGET', record, 'sealed', 'done_ms', 'retention_ms'), string.sub(record, #base + 4)
  if facts[1] ~= '1' then return end
  local shared, terms = base .. ':c:' .. id, terms_key(id)
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
    add_notice(record, id)
  end
  if redis.call('ZSCORE', key('sweeping'), id) then return end
  local keep = int(math.max(tonumber(facts[3]) or 0, TOMBSTONE_MS))
  redis.call('PEXPIRE', record, keep)
  redis.call('PEXPIRE', shared, keep)
  -- The sent records that need the terms are freed by the hour.
  redis.call('PEXPIRE', terms, int(keep + 2 * 3600000))
end

-- Returns whether the change leaves the batch's number of unfinished jobs as it was.
local function keeps_unfinished(fields)
  local sum = 0
  for _, state in ipairs(UNFINISHED) do sum = sum + (fields[state] or 0) end
  return sum == 0
end

-- Calculates a lost counter of a batch: the counters of the states add up to the total. `done`
-- names the counters that this flush has already changed.
local STATES = { 'scheduled', 'queued', 'sending', 'deferred', 'unknown', 'sent', 'failed', 'cancelled' }
local function derive_batch_counter(where, field, fields, done)
  local function before(name)
    local value = tonumber(redis.call('HGET', where, name)) or 0
    return done[name] and value - fields[name] or value
  end
  local sum = 0
  for _, state in ipairs(STATES) do
    if state ~= field then sum = sum + before(state) end
  end
  return field == 'total' and sum or before('total') - sum
end

-- Sets a counter that could not be changed, and returns its new value. The indexes are up to date
-- by now, so counters calculated from them include the change.
local function recover_counter(why, where, field, by, fields, done)
  if where == queue_counters and string.find(why, 'WRONGTYPE', 1, true) then
    move_aside(where, why)
    for _, state in ipairs(UNFINISHED) do done[state] = true end
    return done[field] and by or server.call('HINCRBY', where, field, by)
  end
  if not is_not_a_number(why) then return redis.call('HINCRBY', where, field, by) end
  note_damage('counter ' .. field .. ' of ' .. string.sub(where, #base + 2), why)
  local value = by
  if where == queue_counters and not string.find(field, '_total$') then value = count_from_indexes(field) end
  if string.sub(where, #base + 1, #base + 3) == ':b:' then
    value = math.max(derive_batch_counter(where, field, fields, done) + by, 0)
  end
  server.call('HSET', where, field, int(value))
  return value
end

-- Applies a change to a counter and returns its new value.
local function apply_delta(where, field, by, fields, done)
  local reply = server.pcall('HINCRBY', where, field, by)
  if type(reply) == 'number' then return reply end
  return damage.recover_counter(reply.err, where, field, by, fields, done)
end

-- Sends the collected writes and counts.
local function flush_writes()
  for _, write in pairs(pending_writes) do redis.call(unpack(write)) end
  pending_writes = {}
  local prefix = batch_key('')
  for where, fields in pairs(deltas) do
    local done = {}
    for field, by in pairs(fields) do
      local is_new = by ~= 0 and not done[field] and apply_delta(where, field, by, fields, done) == by
      done[field] = true
      if is_new and where == this_minute then redis.call('PEXPIRE', where, 90000000) end
    end
    if string.sub(where, 1, #prefix) == prefix and not keeps_unfinished(fields) then rare.update_completion(where) end
  end
  deltas = {}
end

-- Wakes one idle worker. A token for urgent jobs also wakes a worker that keeps its last slots for
-- these. Each list holds at most one token.
local function wake(priority)
  local tokens = key(priority and class_of(priority) == 'urgent' and 'wake:urgent' or 'wake')
  if redis.call('LLEN', tokens) == 0 then redis.call('RPUSH', tokens, '1') end
end
