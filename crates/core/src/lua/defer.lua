-- Puts jobs back that were not sent: with a delay after a temporary failure, or at once from a
-- worker that stops. The last holder is accepted at any time. A job in doubt that was not sent, as
-- its holder now reports, is no longer in doubt.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`,
--          `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`, `run`, `wake`,
--          `wake:urgent`, counters, damage
-- ARGV:    version, worker, then for each job: id, fence, delay_ms, attempt (counted so far),
--          error_code, error_message, recipients (JSON), lines of its history (may be empty), ms
-- Replies: for each job: deferred | queued | cancelled | expired | too_old | lost; repeated:
--          deferred
-- States:  sending, queued, deferred, unknown -> deferred | queued (delay 0) | cancelled | failed
-- Includes: prelude job
local worker, replies = ARGV[2], {}

local function defer(at)
  local id, fence, delay = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local job = load(id)
  if not job then return 'lost' end
  local status = claim_status(job, worker, fence)
  if status == 'superseded' then return 'lost' end
  if status == 'forgotten' then job.fence = fence end
  if is_settled(job, fence) then return 'deferred' end
  if not is_unfinished(job) then return 'lost' end
  note_attempt(job, ARGV[at + 7])
  note(job, 'fence', fence)
  note(job, 'settled', fence)
  set_notes(job)
  if ARGV[at + 7] ~= '' then
    set(job, 'attempt', ARGV[at + 3], 'error_code', ARGV[at + 4], 'error_message', ARGV[at + 5],
      'recipients', ARGV[at + 6])
    count(minute_key(), 'tries', 1)
    count(minute_key(), 'ms', tonumber(ARGV[at + 8]))
    count(minute_key(), 'deferred', 1)
  end
  local ended = end_if_overdue(job)
  if ended then return ended end
  if delay == 0 then
    -- A rescued job is in its list already.
    if job.state ~= 'queued' then to_queued(job, true) end
    return 'queued'
  end
  if now + delay >= too_old_at_ms(job) then
    to_finished(job, 'failed', 'too_old')
    return 'too_old'
  end
  to_deferred(job, delay)
  return 'deferred'
end

for at = 3, #ARGV, 9 do replies[#replies + 1] = isolated(ARGV[at], defer, at) or 'lost' end
flush_writes()
return replies
