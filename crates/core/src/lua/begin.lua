-- The mark before the committing bytes: from here on a lost worker leaves the job in doubt.
--
-- Keys:    job `h:<id>` and `f:<id>`, `leases`, batch `b:<id>`
-- ARGV:    version, worker, then for each job: id, fence, message_id, date_ms
-- Replies: for each job: begun | lost | cancelled | expired | too_old
-- States:  sending -> sending (marked) | cancelled | failed
-- Includes: prelude job
local worker, replies, leases = ARGV[2], {}, {}

local function lease(id, ms)
  leases[#leases + 1] = int(now + ms)
  leases[#leases + 1] = id
end

-- The usual case, in a moment: it is in flight, its holder speaks, and nothing of its batch is against it. Answers whether it was that.
local function begin_flight(id, fence, flight, message_id, date_ms)
  local its_fence, holder, _, lease_ms, until_ms, batch, more = string.match(flight, FLIGHT)
  if its_fence ~= fence or holder ~= worker or now >= tonumber(until_ms) then return false end
  if batch ~= '-' and (batch_facts(batch).cancelled or batch_facts(batch).one_at_a_time) then return false end
  local claimed = string.sub(flight, 1, #flight - #more)
  write_later('MSET', nil, flight_key(id), claimed .. ' ' .. now_text .. ' ' .. date_ms .. ' ' .. message_id)
  lease(id, lease_ms)
  return true
end

local function begin(id, fence, message_id, date_ms)
  local job = load(id)
  if job and (job.state == 'cancelled' or job.swept) then return 'cancelled' end
  if not job or job.state ~= 'sending' or job.worker ~= worker or job.fence ~= tonumber(fence) then return 'lost' end
  local ended = end_if_overdue(job)
  if ended then return ended end
  if job.batch ~= '-' and batch_facts(job.batch).one_at_a_time then
    -- The delay to the next mail of its batch counts from here.
    redis.call('HSET', batch_key(job.batch), 'next_us', int(now_us + batch_facts(job.batch).pace_us))
  end
  set(job, 'begun_ms', now_text, 'message_id', message_id, 'date_ms', date_ms)
  lease(id, job.lease_ms)
  return 'begun'
end

for place, flight in ipairs(flights_of(3, 4)) do
  local at = 4 * place - 1
  local begun = flight and begin_flight(ARGV[at], ARGV[at + 1], flight, ARGV[at + 2], ARGV[at + 3])
  replies[place] = begun and 'begun' or begin(ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
end
if #leases > 0 then redis.call('ZADD', key('leases'), unpack(leases)) end
settle()
return replies
