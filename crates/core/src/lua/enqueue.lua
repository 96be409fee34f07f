-- Enqueues jobs that share one header: one mail, or a chunk of a batch. A known id is left
-- unchanged.
--
-- Keys:    `<id>`, `h:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`, `lines`,
--          `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `expiring`, `n`,
--          `wake`, `wake:urgent`, counters
-- ARGV:    version, priority, delay_ms, at_ms, expires_in_ms, expires_at_ms, max_age_ms, attempts,
--          lease_ms, on_unknown, retention_ms, backoff_ms, backoff_max_ms, batch or -, flags
--          (sensitive or -), then for each job: its id, followed by the hashes of its contents if
--          it has any (each after a space), and its content
-- Replies: enqueued <added> <known> <due_ms> | cancelled | sealed | missing (the batch) | bad_id
--          <id> | wants <hash>... (contents that are not stored: call `content_keep` first)
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

-- Splits an id from the hashes of the job's contents.
local files = {}
local function split_files(text)
  local id, hashes = string.match(text, '^(%S+) (.+)$')
  if id then files[id] = hashes end
  return id or text
end

-- Readers parse ids: a canonical ULID after the name of the queue.
local ids = {}
for index = 16, #ARGV, 2 do
  local id = ARGV[index]
  if string.find(id, ' ', 1, true) then id = split_files(id) end
  local ulid = string.match(id, '^[a-z0-9_-]+%-([0-7][0-9A-HJKMNP-TV-Z]+)$')
  if not ulid or #ulid ~= 26 then return { 'bad_id', ARGV[index] } end
  ids[#ids + 1] = id
end

-- Returns the header line of these jobs. The first chunk of a batch stores its terms for all rows
-- that share them.
local function header()
  if batch == '-' then return full_header(terms, now) .. '\n' end
  local text = table.concat(ARGV, ' ', 2, 13) .. ' ' .. ARGV[15]
  local known = redis.call('GET', terms_key(batch))
  local start = known and terms_start_ms(known)
  -- Terms that can't be read are written again, which also makes their rows readable.
  if not start then
    known, start = terms_text(batch, now, text), now
    redis.call('SET', terms_key(batch), known)
  end
  if start > now or known ~= terms_text(batch, start, text) then return full_header(terms, now) .. '\n' end
  return row_header(batch, now - start)
end

local function is_known(id) return redis.call('EXISTS', payload_key(id), hash_key(id)) > 0 end

-- Usually all ids are new, which one command shows.
local function any_is_known()
  local keys = {}
  for index, id in ipairs(ids) do
    keys[2 * index - 1], keys[2 * index] = payload_key(id), hash_key(id)
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) > 0
end

-- A job is enqueued only if all its contents are stored.
local wanted = { 'wants' }
local function want(hashes)
  for hash in string.gmatch(hashes, '%x+') do
    if not wanted[hash] and redis.call('HEXISTS', content_key(hash), 'content') == 0 then
      wanted[#wanted + 1] = hash
      wanted[hash] = true
    end
  end
end

local function count_files(id)
  redis.call('HSET', hash_key(id), 'files', files[id])
  rare.add_references(files[id], due + tonumber(ARGV[7]) + tonumber(ARGV[11]))
end

local state = due > now and 'scheduled' or 'queued'
local new, contents, known, any_known = {}, {}, 0, any_is_known()
for index, id in ipairs(ids) do
  if contents[id] or (any_known and is_known(id)) then
    known = known + 1
    -- After a lost second of writes, a resync may have restored the job without its contents.
    if files[id] then want(files[id]) end
  else
    new[#new + 1] = id
    contents[id] = ARGV[15 + 2 * index]
    if files[id] then want(files[id]) end
  end
end
if #new > 0 and sealed then return { 'sealed' } end
if #wanted > 1 then return wanted end

local function add_jobs()
  local first_line, payloads = header(), {}
  for index, id in ipairs(new) do
    payloads[2 * index - 1], payloads[2 * index] = payload_key(id), first_line .. contents[id]
    if files[id] then count_files(id) end
    if state == 'scheduled' then rare.wait_until({ id = id, priority = priority }, 'scheduled', due) end
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
  flush_writes()
  if state == 'queued' then wake(priority) end
end

if #new > 0 then add_jobs() end
return { 'enqueued', #new, known, due == now and now_text or int(due) }
