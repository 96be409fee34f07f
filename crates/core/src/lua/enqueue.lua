-- Puts jobs in that share one header: one mail, or a chunk of a batch. An id that is known is left as it is.
--
-- Keys:    payload `j:<id>`, `ready:<priority>`, `lines`, `line:<batch>:<priority>`, `scheduled:<class>`, `expiring`, batch `b:<id>`, content `a:<hash>`, counters `n`, `wake`
-- ARGV:    version, priority, delay_ms, at_ms, expires_in_ms, expires_at_ms, max_age_ms, attempts, lease_ms, on_unknown, retention_ms,
--          backoff_ms, backoff_max_ms, batch or -, flags (sensitive or -), then for each job: its id, followed by the hashes of its files if it has
--          any (all behind a space), and its content
-- Replies: enqueued <added> <known> <due_ms> | cancelled | sealed | missing (the batch) | bad_id <id> | wants <hash>... (of files that are not
--          kept: `content_keep` first)
-- States:  none -> queued | scheduled
-- Includes: prelude job
local priority, batch = ARGV[2], ARGV[14]
local due = tonumber(ARGV[4]) > 0 and tonumber(ARGV[4]) or now + tonumber(ARGV[3])
local expires = tonumber(ARGV[6])
if tonumber(ARGV[5]) > 0 then expires = now + tonumber(ARGV[5]) end
local header = table.concat({
  int(VERSION), priority, int(now), int(due), int(expires), ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11], ARGV[12], ARGV[13], batch, ARGV[15],
}, ' ') .. '\n'

local sealed = false
if batch ~= '-' then
  local facts = redis.call('HMGET', batch_key(batch), 'id', 'cancelled_ms', 'sealed')
  if not facts[1] then return { 'missing' } end
  if facts[2] then return { 'cancelled' } end
  sealed = facts[3] == '1'
end

-- Every reader takes an id apart: a canonical ULID behind the queue's name.
local function id_of(told) return string.match(told, '^%S*') end
for index = 16, #ARGV, 2 do
  local ulid = string.match(id_of(ARGV[index]), '^[a-z0-9_-]+%-([0-7][0-9A-HJKMNP-TV-Z]+)$')
  if not ulid or #ulid ~= 26 then return { 'bad_id', ARGV[index] } end
end

-- A job comes with its files or not at all.
local files, wanted = {}, { 'wants' }
for index = 16, #ARGV, 2 do
  local id, hashes = string.match(ARGV[index], '^(%S+) (.+)$')
  if hashes and redis.call('EXISTS', payload_key(id), hash_key(id)) == 0 then
    files[id] = hashes
    for hash in string.gmatch(hashes, '%x+') do
      if not wanted[hash] and redis.call('EXISTS', content_key(hash)) == 0 then
        wanted[#wanted + 1] = hash
        wanted[hash] = true
      end
    end
  end
end
if #wanted > 1 then return wanted end

local function note_files(id)
  redis.call('HSET', hash_key(id), 'files', files[id])
  refer(files[id], due + tonumber(ARGV[7]) + tonumber(ARGV[11]))
end

local state = due > now and 'scheduled' or 'queued'
local added, known = 0, 0
for index = 16, #ARGV, 2 do
  local id = id_of(ARGV[index])
  if redis.call('EXISTS', payload_key(id), hash_key(id)) > 0 then
    known = known + 1
  else
    if sealed then return { 'sealed' } end
    redis.call('SET', payload_key(id), header .. ARGV[index + 1])
    if files[id] then note_files(id) end
    if state == 'queued' then
      make_ready({ priority = priority, batch = batch }, false, id)
    else
      wait_until({ id = id, priority = priority }, 'scheduled', due)
    end
    if expires > 0 then redis.call('ZADD', key('expiring'), int(expires), id) end
    added = added + 1
  end
end
if added > 0 then
  count(key('n'), state, added)
  count(key('n'), 'enqueued_total', added)
  count(minute_key(), 'enqueued', added)
  if batch ~= '-' then
    count(batch_key(batch), state, added)
    count(batch_key(batch), 'total', added)
  end
  settle_counters()
  if state == 'queued' then wake() end
end
return { 'enqueued', added, known, int(due) }
