-- Puts jobs back that were not sent: later (a temporary failure), or at once (handed back by a worker that stops). The last
-- holder is heard however late: a job in doubt of which it is now known that it was not sent is in doubt no more.
--
-- Keys:    job `<id>` and `h:<id>`, `leases`, `deferred:<class>`, `ready:<priority>`, counters, `wake`
-- ARGV:    version, worker, then for each job: id, fence, delay_ms, attempt (counted so far), error_code, error_message,
--          recipients (JSON), lines of its story (may be empty), ms
-- Replies: for each job: deferred | queued | cancelled | expired | too_old | lost; said again: deferred
-- States:  sending, queued, deferred, unknown -> deferred | queued (delay 0) | cancelled | failed
-- Includes: prelude job
local worker, replies = ARGV[2], {}

local function defer(at)
  local id, fence, delay = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local job = load(id)
  if not job then return 'lost' end
  local stands = standing(job, worker, fence)
  if stands == 'past' then return 'lost' end
  if stands == 'ahead' then job.fence = fence end
  if is_settled(job, fence) then return 'deferred' end
  if not is_open(job) then return 'lost' end
  note_attempt(job, ARGV[at + 7])
  note(job, 'fence', fence)
  note(job, 'settled', fence)
  set_notes(job)
  if ARGV[at + 7] ~= '' then
    set(job, 'attempt', ARGV[at + 3], 'error_code', ARGV[at + 4], 'error_message', ARGV[at + 5], 'recipients', ARGV[at + 6])
    count(minute_key(), 'tries', 1)
    count(minute_key(), 'ms', tonumber(ARGV[at + 8]))
    count(minute_key(), 'deferred', 1)
  end
  local ended = end_if_overdue(job)
  if ended then return ended end
  if delay == 0 then
    -- One that was rescued meanwhile stands in its list already.
    if job.state ~= 'queued' then to_queued(job, true) end
    return 'queued'
  end
  if now + delay >= dies_ms(job) then
    to_finished(job, 'failed', 'too_old')
    return 'too_old'
  end
  to_deferred(job, delay)
  return 'deferred'
end

for at = 3, #ARGV, 9 do replies[#replies + 1] = harmless(ARGV[at], defer, at) or 'lost' end
settle()
return replies
