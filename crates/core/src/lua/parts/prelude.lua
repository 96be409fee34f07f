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

-- Damage: a key of another type than it should have, a counter that is not a number. It does not fail the script: the key is moved to
-- `damaged:<name>` and the script continues as if there had been none; the counter is worked out again or restarts. `damaged` lists
-- what was found. The record of a single job is not repaired here: the error is raised, and the job is set aside (aside.lua).
local server = redis
local DAMAGED_MS, DAMAGED_MOST = 2592000000, 1000
local function note_damage(what, why)
  local list = base .. ':damaged'
  if server.call('TYPE', list).ok ~= 'zset' then server.call('UNLINK', list) end
  server.call('ZADD', list, now_text, what .. ': ' .. why)
  server.call('ZREMRANGEBYRANK', list, 0, -DAMAGED_MOST - 1)
  server.call('PEXPIRE', list, DAMAGED_MS)
end

-- The states of a job that has not come to its end.
local UNFINISHED = { 'scheduled', 'queued', 'sending', 'deferred', 'unknown' }

-- The queue's counters as its indexes have them. `queued` may count ids that have moved on.
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
local function counted_anew(state)
  if state == 'sending' then return zset_size('leases') end
  if state == 'unknown' then return zset_size('unknown') end
  if state ~= 'queued' then return zset_size(state .. ':urgent') + zset_size(state .. ':normal') + zset_size(state .. ':low') end
  local sum, lines = lists_length('ready'), server.pcall('ZRANGE', base .. ':lines', 0, 99)
  for _, line in ipairs(lines.err and {} or lines) do sum = sum + lists_length('line:' .. line) end
  return sum
end
local function recount()
  for _, state in ipairs(UNFINISHED) do server.call('HSET', base .. ':n', state, int(counted_anew(state))) end
end

local function move_aside(where, why)
  local name = string.sub(where, #base + 2)
  server.call('RENAME', where, base .. ':damaged:' .. name)
  server.call('PEXPIRE', base .. ':damaged:' .. name, DAMAGED_MS)
  note_damage('key ' .. name, why)
  if name == 'n' then recount() end
end

-- Whether it is the payload, hash or flight of one job.
local function is_of_job(where)
  local name = string.sub(where, #base + 2)
  if #name == 28 then name = string.match(name, '^[hf]:(.*)$') or '' end
  return #name == 26 and not string.find(name, '[^0-9A-Z]')
end

local function is_no_number(why) return string.find(why, 'not an integer', 1, true) or string.find(why, 'would overflow', 1, true) end

-- A content whose count of jobs is lost is kept until the time of all of them is over.
local UNKNOWN_JOBS = 1000000
local function repair(why, command, where, field)
  if type(where) ~= 'string' or string.sub(where, 1, #base + 1) ~= base .. ':' or is_of_job(where) then return end
  if string.find(why, 'WRONGTYPE', 1, true) then return move_aside(where, why) end
  if not is_no_number(why) then return end
  if string.find(command, '^[ID][NE]CRBY$') then
    -- Unless an argument is wrong.
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
    repair(reply.err, command, where, ...)
    return server.call(command, where, ...)
  end,
}

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

-- Counters: collected as well. While one job is looked at by itself, what is counted for it is kept in the journal too, so that it
-- can be taken back.
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
  local facts, id = redis.call('HMGET', record, 'sealed', 'done_ms', 'retention_ms'), string.sub(record, #base + 4)
  if facts[1] ~= '1' then return end
  local shared, terms = base .. ':c:' .. id, base .. ':t:' .. string.sub(id, -10)
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
    note_done(record, id)
  end
  if redis.call('ZSCORE', key('sweeping'), id) then return end
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

-- A batch's counter that was lost: with the others it adds up to the total. `done` are the counters that this settling has changed already.
local STATES = { 'scheduled', 'queued', 'sending', 'deferred', 'unknown', 'sent', 'failed', 'cancelled' }
local function added_up(where, field, fields, done)
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

-- What the counter is with the change. The indexes of the queue have changed by now, so counters taken from them are complete.
local function changed(where, field, by, fields, done)
  local reply = server.pcall('HINCRBY', where, field, by)
  if type(reply) == 'number' then return reply end
  if where == queue_counters and string.find(reply.err, 'WRONGTYPE', 1, true) then
    move_aside(where, reply.err)
    for _, state in ipairs(UNFINISHED) do done[state] = true end
    return done[field] and by or server.call('HINCRBY', where, field, by)
  end
  if not is_no_number(reply.err) then return redis.call('HINCRBY', where, field, by) end
  note_damage('counter ' .. field .. ' of ' .. string.sub(where, #base + 2), reply.err)
  local value = by
  if where == queue_counters and not string.find(field, '_total$') then value = counted_anew(field) end
  if string.sub(where, #base + 1, #base + 3) == ':b:' then value = math.max(added_up(where, field, fields, done) + by, 0) end
  server.call('HSET', where, field, int(value))
  return value
end

-- Makes what was collected.
local function settle()
  for _, write in pairs(later) do redis.call(unpack(write)) end
  later = {}
  local prefix = base .. ':b:'
  for where, fields in pairs(deltas) do
    local done = {}
    for field, by in pairs(fields) do
      local is_new = by ~= 0 and not done[field] and changed(where, field, by, fields, done) == by
      done[field] = true
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
