-- The mark before the committing bytes: from here on a lost worker leaves the job in doubt.
--
-- Keys:    job `h:<id>` and `f:<id>`, `leases`, batch `b:<id>`
-- ARGV:    version, worker, then for each job: id, fence, message_id, date_ms
-- Replies: for each job: begun | lost | cancelled | expired | too_old
-- States:  sending -> sending (marked) | cancelled | failed
-- Includes: prelude job
local worker, replies, leases = ARGV[2], {}, {}

-- What there is to know of a flight, read once for all that were claimed together: what is kept of it, and until when its lease goes from
-- now on. False where it is not its holder who speaks, or something may be against it.
local read = {}
local function read_flight(flight)
  local fence, holder, _, lease_ms, until_ms, batch, more = string.match(flight, FLIGHT)
  if holder ~= worker or now >= tonumber(until_ms) then return false end
  if batch ~= '-' and (batch_facts(batch).cancelled or batch_facts(batch).one_at_a_time) then return false end
  return { fence = fence, claimed = string.sub(flight, 1, #flight - #more) .. ' ' .. now_text .. ' ', over_ms = int(now + lease_ms) }
end

-- The usual case, in a moment. Answers whether it was that.
local flights, flight_keys = flights_of(3, 4)
local function begin_flight(place, id, fence, message_id, date_ms)
  local flight = flights[place]
  if not flight then return false end
  local facts = read[flight]
  if facts == nil then
    facts = read_flight(flight)
    read[flight] = facts
  end
  if not facts or facts.fence ~= fence then return false end
  write_later('MSET', nil, flight_keys[place], facts.claimed .. date_ms .. ' ' .. message_id)
  leases[#leases + 1] = facts.over_ms
  leases[#leases + 1] = id
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
  leases[#leases + 1] = int(now + job.lease_ms)
  leases[#leases + 1] = id
  return 'begun'
end

for place = 1, #flights do
  local at = 4 * place - 1
  local id, fence, message_id, date_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  replies[place] = begin_flight(place, id, fence, message_id, date_ms) and 'begun'
    or harmless(id, begin, id, fence, message_id, date_ms) or 'lost'
end
if #leases > 0 then redis.call('ZADD', key('leases'), unpack(leases)) end
settle()
return replies
