-- A worker says that it still works on its jobs.
--
-- Keys:    job `h:<id>`, `leases`, `workers`
-- ARGV:    version, worker, then for each job: id, fence
-- Replies: for each job: renewed | lost
-- States:  sending -> sending
-- Includes: prelude job time
local worker, replies = ARGV[2], {}
watch_time()
heard(worker)
for index = 3, #ARGV, 2 do
  local job = load(ARGV[index])
  local holds = job and job.state == 'sending' and job.worker == worker and job.fence == tonumber(ARGV[index + 1])
  if holds then redis.call('ZADD', key('leases'), int(now + job.lease_ms), job.id) end
  replies[#replies + 1] = holds and 'renewed' or 'lost'
end
return replies
