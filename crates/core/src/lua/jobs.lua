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

local function told(id)
  local job, why = load(id)
  if not job then
    local hash = redis.call('HGETALL', hash_key(id))
    local state = redis.call('HGET', hash_key(id), 'state') or ''
    return { state, why == 'unreadable' and redis.call('GET', payload_key(id)) or '', hash }
  end
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
