-- Renews the leases of a worker's jobs.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `scheduled:<class>`, `leases`, `n`,
--          `run`, `workers`, counters, damage
-- ARGV:    version, worker, then for each job: id, fence
-- Replies: for each job: renewed | lost
-- States:  sending -> sending
-- Includes: prelude job time
local worker, replies = ARGV[2], {}
check_clock()
record_alive(worker)
local function renew(id, fence)
  local job = load(id)
  local holds = job and job.state == 'sending' and job.worker == worker and job.fence == tonumber(fence)
  if holds then redis.call('ZADD', key('leases'), int(now + job.lease_ms), job.id) end
  return holds and 'renewed' or 'lost'
end
for index = 3, #ARGV, 2 do
  replies[#replies + 1] = isolated(ARGV[index], renew, ARGV[index], ARGV[index + 1]) or 'lost'
end
flush_writes()
return replies
