-- Reads jobs, each whole. A job that has expired is ended here, so that nobody is told that it still waits.
--
-- Keys:    job `j:` and `h:`
-- ARGV:    version, then ids (at most 200)
-- Replies: for each job: state, payload, hash (field, value, …) | '' '' {} when there is none
-- States:  scheduled, queued, deferred (expired) -> cancelled
-- Includes: prelude job
local reply = {}
for index = 2, #ARGV do
  local id = ARGV[index]
  local job, why = load(id)
  if job then
    local waits = job.state == 'scheduled' or job.state == 'queued' or job.state == 'deferred'
    if waits and not job.swept and job.expires_ms > 0 and now >= job.expires_ms then
      to_finished(job, 'cancelled', 'expired')
      settle_counters()
    end
    local payload = redis.call('GET', payload_key(id)) or ''
    local hash = redis.call('HGETALL', hash_key(id))
    if job.swept then
      hash[#hash + 1] = 'reason'
      hash[#hash + 1] = 'batch'
    end
    reply[#reply + 1] = { job.swept and 'cancelled' or job.state, payload, hash }
  else
    local hash = redis.call('HGETALL', hash_key(id))
    local state = redis.call('HGET', hash_key(id), 'state') or ''
    reply[#reply + 1] = { state, why == 'unreadable' and redis.call('GET', payload_key(id)) or '', hash }
  end
end
return reply
