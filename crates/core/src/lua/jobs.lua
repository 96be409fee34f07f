-- Reads jobs, each whole. A job that has expired is ended here, so that nobody is told that it still waits.
--
-- Keys:    job `<id>` and `h:<id>`, batch `b:<id>` and `t:<ref>`
-- ARGV:    version, then ids (at most 200)
-- Replies: for each job: state, payload, hash (field, value, …) | '' '' {} when there is none
-- States:  scheduled, queued, deferred (expired) -> cancelled
-- Includes: prelude job
local function flat(hash)
  local fields = {}
  for field, value in pairs(hash) do
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  return fields
end

local function end_if_expired(job)
  local waits = job.state == 'scheduled' or job.state == 'queued' or job.state == 'deferred'
  if waits and not job.swept and job.expires_ms > 0 and now >= job.expires_ms then
    to_finished(job, 'cancelled', 'expired')
    settle()
  end
end

local function with_error(hash, code, message)
  for _, word in ipairs({ 'error_code', code, 'error_message', message }) do hash[#hash + 1] = word end
  return hash
end

-- Of a record that is damaged as much as can be read.
local function told_damaged(id, why)
  local payload, hash = server.pcall('GET', payload_key(id)), server.pcall('HGETALL', hash_key(id))
  local state = server.pcall('HGET', hash_key(id), 'state')
  local is_known = type(state) == 'string' and string.find(WORDS, ' ' .. state .. ' ', 1, true)
  hash = hash.err and {} or hash
  return { is_known and state or indexed_as(id), type(payload) == 'string' and payload or '', is_known and hash or with_error(hash, 'damaged', why) }
end

local function told_without(id, why, version)
  if why == 'newer' then
    return { indexed_as(id), '', with_error({}, 'newer', 'a newer version wrote it (protocol ' .. int(version) .. '): it waits for a worker that can read it') }
  end
  if why == 'unreadable' then return { 'sent', '', with_error({}, 'damaged', 'what is kept of it can not be read') } end
  return { redis.call('HGET', hash_key(id), 'state') or '', '', redis.call('HGETALL', hash_key(id)) }
end

local function told(id)
  local fine, job, why, version = guarded(load, id)
  if not fine then return told_damaged(id, job) end
  if not job then return told_without(id, why, version) end
  end_if_expired(job)
  local payload = redis.call('GET', payload_key(id)) or ''
  if job.kept then
    local whole_payload, hash = unfolded(id, payload)
    return { 'sent', whole_payload, flat(hash) }
  end
  local hash = flat(job.hash)
  if job.swept then
    hash[#hash + 1] = 'reason'
    hash[#hash + 1] = 'batch'
  end
  return { job.swept and 'cancelled' or job.state, whole(payload), hash }
end

local reply = {}
for index = 2, #ARGV do reply[#reply + 1] = told(ARGV[index]) end
return reply
