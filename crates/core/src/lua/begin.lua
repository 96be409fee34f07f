-- The mark before the committing bytes: from here on a lost worker leaves the job in doubt.
--
-- Keys:    job `h:<id>`, `leases`, batch `b:<id>`
-- ARGV:    version, worker, then for each job: id, fence, message_id, date_ms
-- Replies: for each job: begun | lost | cancelled | expired | too_old
-- States:  sending -> sending (marked) | cancelled | failed
-- Includes: prelude job
local worker, replies, leases = ARGV[2], {}, {}
for index = 3, #ARGV, 4 do
  local job = load(ARGV[index])
  local word = 'lost'
  if job and (job.state == 'cancelled' or job.swept) then
    word = 'cancelled'
  elseif job and job.state == 'sending' and job.worker == worker and job.fence == tonumber(ARGV[index + 1]) then
    word = end_if_overdue(job)
    if not word then
      if job.batch ~= '-' and batch_facts(job.batch).one_at_a_time then
        -- The delay to the next mail of its batch counts from here.
        redis.call('HSET', batch_key(job.batch), 'next_us', int(now_us + batch_facts(job.batch).pace_us))
      end
      set(job, 'begun_ms', int(now), 'message_id', ARGV[index + 2], 'date_ms', ARGV[index + 3])
      leases[#leases + 1] = int(now + job.lease_ms)
      leases[#leases + 1] = job.id
      word = 'begun'
    end
  end
  replies[#replies + 1] = word
end
if #leases > 0 then redis.call('ZADD', key('leases'), unpack(leases)) end
settle_counters()
return replies
