-- Puts jobs in that share one header: one mail, or a chunk of a batch. An id that is known is left as it is.
--
-- Keys:    payload `<id>`, `ready:<priority>`, `lines`, `line:<batch>:<priority>`, `scheduled:<class>`, `expiring`, batch `b:<id>` and `t:<ref>`, content `a:<hash>`, counters `n`, `wake`
-- ARGV:    version, priority, delay_ms, at_ms, expires_in_ms, expires_at_ms, max_age_ms, attempts, lease_ms, on_unknown, retention_ms,
--          backoff_ms, backoff_max_ms, batch or -, flags (sensitive or -), then for each job: its id, followed by the hashes of its contents if it has
--          any (all behind a space), and its content
-- Replies: enqueued <added> <known> <due_ms> | cancelled | sealed | missing (the batch) | bad_id <id> | wants <hash>... (of contents that are not
--          kept: `content_keep` first)
-- States:  none -> queued | scheduled
-- Includes: prelude job
local priority, batch = ARGV[2], ARGV[14]
local terms = terms_of(priority, ARGV[3], ARGV[4], ARGV[5], ARGV[6], table.concat(ARGV, ' ', 7, 13), batch, ARGV[15])
local due, expires = due_of(terms, now), expiry_of(terms, now)

local sealed = false
if batch ~= '-' then
  local facts = redis.call('HMGET', batch_key(batch), 'id', 'cancelled_ms', 'sealed')
  if not facts[1] then return { 'missing' } end
  if facts[2] then return { 'cancelled' } end
  sealed = facts[3] == '1'
end

-- A job's files are named behind its id.
local files = {}
local function with_files(told)
  local id, hashes = string.match(told, '^(%S+) (.+)$')
  if id then files[id] = hashes end
  return id or told
end

-- Every reader takes an id apart: a canonical ULID behind the queue's name.
local ids = {}
for index = 16, #ARGV, 2 do
  local id = ARGV[index]
  if string.find(id, ' ', 1, true) then id = with_files(id) end
  local ulid = string.match(id, '^[a-z0-9_-]+%-([0-7][0-9A-HJKMNP-TV-Z]+)$')
  if not ulid or #ulid ~= 26 then return { 'bad_id', ARGV[index] } end
  ids[#ids + 1] = id
end

-- What stands before the content of each. The first chunk of a batch leaves its terms for the rows that share them.
local function header()
  if batch == '-' then return full_header(terms, now) .. '\n' end
  local told = table.concat(ARGV, ' ', 2, 13) .. ' ' .. ARGV[15]
  local known = redis.call('GET', terms_key(batch))
  local start = known and tonumber(string.match(known, '^%S+ (%d+) '))
  -- What can't be read is written anew: rows that rely on it can be read again.
  if not start then
    known, start = batch .. ' ' .. now_text .. ' ' .. told, now
    redis.call('SET', terms_key(batch), known)
  end
  if start > now or known ~= batch .. ' ' .. int(start) .. ' ' .. told then return full_header(terms, now) .. '\n' end
  return VERSION .. ' @' .. string.sub(batch, -10) .. ' ' .. int(now - start) .. '\n'
end

local function is_known(id) return redis.call('EXISTS', payload_key(id), hash_key(id)) > 0 end

-- Usually all are new, and that is told in one question.
local function any_is_known()
  local keys = {}
  for index, id in ipairs(ids) do
    keys[2 * index - 1], keys[2 * index] = payload_key(id), hash_key(id)
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

-- A job comes with its files or not at all.
local wanted = { 'wants' }
local function want(hashes)
  for hash in string.gmatch(hashes, '%x+') do
    if not wanted[hash] and redis.call('HEXISTS', content_key(hash), 'content') == 0 then
      wanted[#wanted + 1] = hash
      wanted[hash] = true
    end
  end
end

local function note_files(id)
  redis.call('HSET', hash_key(id), 'files', files[id])
  refer(files[id], due + tonumber(ARGV[7]) + tonumber(ARGV[11]))
end

local state = due > now and 'scheduled' or 'queued'
local new, contents, known, to_ask = {}, {}, 0, any_is_known()
for index, id in ipairs(ids) do
  if contents[id] or (to_ask and is_known(id)) then
    known = known + 1
    -- A Redis that forgot its last second may have its job again, from a worker, but not its files.
    if files[id] then want(files[id]) end
  else
    new[#new + 1] = id
    contents[id] = ARGV[15 + 2 * index]
    if files[id] then want(files[id]) end
  end
end
if #new > 0 and sealed then return { 'sealed' } end
if #wanted > 1 then return wanted end

local function put_in()
  local first_line, payloads = header(), {}
  for index, id in ipairs(new) do
    payloads[2 * index - 1], payloads[2 * index] = payload_key(id), first_line .. contents[id]
    if files[id] then note_files(id) end
    if state == 'scheduled' then wait_until({ id = id, priority = priority }, 'scheduled', due) end
    if expires > 0 then redis.call('ZADD', key('expiring'), int(expires), id) end
  end
  redis.call('MSET', unpack(payloads))
  if state == 'queued' then make_ready({ priority = priority, batch = batch }, false, unpack(new)) end
  count(key('n'), state, #new)
  count(key('n'), 'enqueued_total', #new)
  count(minute_key(), 'enqueued', #new)
  if batch ~= '-' then
    count(batch_key(batch), state, #new)
    count(batch_key(batch), 'total', #new)
  end
  settle()
  if state == 'queued' then wake(priority) end
end

if #new > 0 then put_in() end
return { 'enqueued', #new, known, due == now and now_text or int(due) }
