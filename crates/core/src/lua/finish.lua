-- What came of a try, where it settles the job. What is known is never thrown away: the last holder is heard however late, and
-- `sent` from anybody as long as nobody else has begun.
--
-- Keys:    job `<id>`, `h:<id>` and `f:<id>`, `leases`, index `<state>`, `sent:<hour>`, batch `t:<ref>`, counters
-- ARGV:    version, worker, then for each job: id, fence, outcome (sent | failed | unknown), reason, attempt (counted so far),
--          error_code, error_message, receipt, recipients (JSON; [] when all of them accepted it, or nothing is known), lines of its story, ms
-- Replies: for each job: finished (also when said again) | late (taken after the lease was lost) | twice (somebody else sends it
--          or has sent it too) | lost
-- States:  sending -> sent | failed | unknown | queued (on_unknown = resend); queued, deferred, unknown -> sent | failed (the last
--          holder's word); failed, cancelled -> sent
-- Includes: prelude job
local worker, replies = ARGV[2], {}

-- What is left of a job whose result is not kept.
local function of_tombstone(id, fence, outcome)
  local known = redis.call('HMGET', hash_key(id), 'state', 'fence')
  return known[1] == outcome and tonumber(known[2]) == fence and 'finished' or 'lost'
end

-- The word for what is not taken, or nil.
local function turned_away(job, stands, outcome, line)
  if stands ~= 'past' and is_settled(job, job.fence) then return 'finished' end
  if outcome ~= 'sent' then
    if stands == 'past' or not is_open(job) then return 'lost' end
    -- It is in doubt already, and its policy has decided.
    return stands == 'last' and outcome == 'unknown' and 'finished' or nil
  end
  if job.state == 'sent' and stands == 'last' then return 'finished' end
  if job.state == 'sent' or (stands == 'past' and job.state == 'sending' and job.begun_ms) then
    if job.kept then unfold(job) end
    record_attempt(job, line)
    set(job, 'sent_twice', '1')
    return 'twice'
  end
end

-- The last error, and the recipients where not simply all of them accepted it. At a first try there is nothing to take back.
local function note_trouble(job, is_first, code, message, recipients)
  if recipients == '[]' then recipients = '' end
  if not is_first or recipients ~= '' then note(job, 'recipients', recipients) end
  if not is_first or code ~= '' or message ~= '' then
    note(job, 'error_code', code)
    note(job, 'error_message', message)
  end
end

-- Most of them are in flight.
local PER_JOB = 11
local flights, seen = flights_of(3, PER_JOB), {}
local function loaded(id, place)
  -- Told twice at once, the second is judged by what the first has done.
  if seen[id] then settle() end
  local flight = not seen[id] and flights[place]
  seen[id] = true
  return load(id, redis.call('GETRANGE', payload_key(id), 0, FOLDED_BYTES), flight and parse_flight(flight), flight and true)
end

local function finish(at)
  local id, fence, outcome = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local job = loaded(id, (at - 3) / PER_JOB + 1)
  if not job then return of_tombstone(id, fence, outcome) end
  local stands = standing(job, worker, fence)
  if stands == 'ahead' then job.fence = fence end
  local word = turned_away(job, stands, outcome, ARGV[at + 9])
  if word then return word end
  local is_first = (tonumber(job.tries) or 0) == 0
  note_attempt(job, ARGV[at + 9])
  note(job, 'fence', job.fence)
  note(job, 'settled', job.fence)
  if stands ~= 'past' then note(job, 'attempt', ARGV[at + 4]) end
  if ARGV[at + 7] ~= '' then note(job, 'receipt', ARGV[at + 7]) end
  note_trouble(job, is_first, ARGV[at + 5], ARGV[at + 6], ARGV[at + 8])
  count(minute_key(), 'tries', 1)
  count(minute_key(), 'ms', tonumber(ARGV[at + 10]))
  if outcome == 'unknown' then
    set_notes(job)
    to_unknown(job)
  else
    to_finished(job, outcome, ARGV[at + 3])
  end
  return (stands == 'holds' or stands == 'ahead') and 'finished' or 'late'
end

for at = 3, #ARGV, PER_JOB do replies[#replies + 1] = finish(at) end
settle()
return replies
