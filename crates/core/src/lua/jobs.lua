-- Reads jobs. A job that has expired is cancelled here, so that it does not read as waiting.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `scheduled:<class>`,
--          `deferred:<class>`, `newer`, `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`,
--          `cancelled`, `unknown`, `n`, counters
-- ARGV:    version, then ids (at most 200)
-- Replies: for each job: state, payload, hash (field, value, …) | '' '' {} when there is none |
--          later … (damaged, and this call has searched too much: call again with the rest)
-- States:  scheduled, queued, deferred (expired) -> cancelled
-- Includes: prelude job checked
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
  if waits and not job.cancelled_with_batch and job.expires_ms > 0 and now >= job.expires_ms then
    to_finished(job, 'cancelled', 'expired')
    flush_writes()
  end
end

local function with_error(hash, code, message)
  for _, word in ipairs({ 'error_code', code, 'error_message', message }) do hash[#hash + 1] = word end
  return hash
end

-- Returns the readable parts of a damaged record.
local function report_damaged(id, why)
  local payload, hash = server.pcall('GET', payload_key(id)), server.pcall('HGETALL', hash_key(id))
  local state = server.pcall('HGET', hash_key(id), 'state')
  local is_known = type(state) == 'string' and string.find(WORDS, ' ' .. state .. ' ', 1, true)
  hash = hash.err and {} or hash
  payload = type(payload) == 'string' and payload or ''
  if is_known then return { state, payload, hash } end
  return { state_by_index(id) or 'later', payload, with_error(hash, 'damaged', why) }
end

local function report_unreadable(id, why, version)
  if why == 'newer' then
    local message = 'written by a newer version (protocol ' .. int(version) .. '), waits for a worker that can read it'
    return { state_by_index(id) or 'later', '', with_error({}, 'newer', message) }
  end
  if why == 'unreadable' then return { 'sent', '', with_error({}, 'damaged', 'the sent record is malformed') } end
  return { redis.call('HGET', hash_key(id), 'state') or '', '', redis.call('HGETALL', hash_key(id)) }
end

local function report(id)
  local fine, job, why, version = try_job(load_checked, id)
  if not fine then return report_damaged(id, job) end
  if not job then return report_unreadable(id, why, version) end
  end_if_expired(job)
  local payload = redis.call('GET', payload_key(id)) or ''
  if job.is_sent_record then
    local whole_payload, hash = expand_sent_record(id, payload)
    return { 'sent', whole_payload, flat(hash) }
  end
  local hash = flat(job.hash)
  if job.cancelled_with_batch then
    hash[#hash + 1] = 'reason'
    hash[#hash + 1] = 'batch'
  end
  return { job.cancelled_with_batch and 'cancelled' or job.state, expand_payload(payload), hash }
end

local reply = {}
for index = 2, #ARGV do reply[#reply + 1] = report(ARGV[index]) end
return reply
