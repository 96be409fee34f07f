-- Marks jobs as begun, right before the bytes that commit the mail. If the worker is lost after
-- this mark, the job is in doubt.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `scheduled:<class>`,
--          `deferred:<class>`, `leases`, `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`,
--          `unknown`, `n`, counters, damage
-- ARGV:    version, worker, then for each job: id, fence, message_id, date_ms
-- Replies: for each job: begun | lost | cancelled | expired | too_old
-- States:  sending -> sending (marked) | cancelled | failed
-- Includes: prelude job
local worker, replies, leases = ARGV[2], {}, {}

-- Reads a flight once for all jobs of one claim. Returns the part of it that is kept and the new
-- end of the lease. Returns false if another worker holds the job or something may prevent its
-- begin.
local known_flights = {}
local function read_flight(flight)
  local fence, holder, lease_ms, until_ms, batch, claim = parse_claim(flight)
  if holder ~= worker or now >= tonumber(until_ms) then return false end
  if batch ~= '-' and (batch_facts(batch).cancelled or batch_facts(batch).one_at_a_time) then return false end
  return { fence = fence, claim = claim, lease_until_ms = int(now + lease_ms) }
end

-- Fast path: marks the flight of a job. Returns false if the job needs the general path.
local flights, flight_keys = flights_of(3, 4)
local function begin_flight(place, id, fence, message_id, date_ms)
  local flight = flights[place]
  if not flight then return false end
  local facts = known_flights[flight]
  if facts == nil then
    facts = read_flight(flight)
    known_flights[flight] = facts
  end
  if not facts or facts.fence ~= fence then return false end
  write_later('MSET', nil, flight_keys[place], begun_flight(facts.claim, date_ms, message_id))
  leases[#leases + 1] = facts.lease_until_ms
  leases[#leases + 1] = id
  return true
end

local function begin(id, fence, message_id, date_ms)
  local job = general.load(id)
  if job and (job.state == 'cancelled' or job.cancelled_with_batch) then return 'cancelled' end
  if not job or job.state ~= 'sending' or job.worker ~= worker or job.fence ~= tonumber(fence) then return 'lost' end
  local ended = general.end_if_overdue(job)
  if ended then return ended end
  if job.batch ~= '-' and batch_facts(job.batch).one_at_a_time then
    -- The delay to the next mail of the batch starts now.
    redis.call('HSET', batch_key(job.batch), 'next_us', int(now_us + batch_facts(job.batch).pace_us))
  end
  general.set(job, 'begun_ms', now_text, 'message_id', message_id, 'date_ms', date_ms)
  leases[#leases + 1] = int(now + job.lease_ms)
  leases[#leases + 1] = id
  return 'begun'
end

for place = 1, #flights do
  local at = 4 * place - 1
  local id, fence, message_id, date_ms = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  replies[place] = begin_flight(place, id, fence, message_id, date_ms) and 'begun'
    or isolated(id, begin, id, fence, message_id, date_ms) or 'lost'
end
if #leases > 0 then redis.call('ZADD', key('leases'), unpack(leases)) end
flush_writes()
return replies
