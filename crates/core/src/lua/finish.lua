-- The outcome of a try that settles the job.
--
-- Keys:    job `j:` and `h:`, `leases`, index `<state>`, counters
-- ARGV:    version, worker, then for each job: id, fence, outcome (sent | failed | unknown), reason, attempt (counted so far),
--          error_code, error_message, receipt, recipients (JSON), attempt line (JSON), ms
-- Replies: for each job: finished | late (accepted after the lease was lost) | twice (somebody else sent it too) | lost
-- States:  sending -> sent | failed | unknown | queued (on_unknown = resend); a late `sent` is taken from any state but `sent`
-- Includes: prelude job
local worker, replies = ARGV[2], {}

local function finish(at)
  local id, fence, outcome = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local job = load(id)
  if not job then return 'lost' end
  local holds = job.state == 'sending' and job.worker == worker and job.fence == fence
  if not holds and outcome ~= 'sent' then return 'lost' end
  if not holds and job.fence == fence and job.state == 'sent' then return 'finished' end
  if job.fence ~= fence then
    -- Known to be sent by two: the story says so.
    record_attempt(job, ARGV[at + 9])
    set(job, 'sent_twice', '1')
    return 'twice'
  end
  record_attempt(job, ARGV[at + 9])
  set(job, 'attempt', ARGV[at + 4])
  if ARGV[at + 8] ~= '[]' then set(job, 'recipients', ARGV[at + 8]) end
  if ARGV[at + 5] ~= '' or ARGV[at + 6] ~= '' then
    set(job, 'error_code', ARGV[at + 5], 'error_message', ARGV[at + 6])
  else
    redis.call('HDEL', hash_key(id), 'error_code', 'error_message')
  end
  if ARGV[at + 7] ~= '' then set(job, 'receipt', ARGV[at + 7]) end
  count(minute_key(), 'tries', 1)
  count(minute_key(), 'ms', tonumber(ARGV[at + 10]))
  if outcome == 'unknown' then to_unknown(job) else to_finished(job, outcome, ARGV[at + 3]) end
  return holds and 'finished' or 'late'
end

for at = 3, #ARGV, 11 do replies[#replies + 1] = finish(at) end
settle_counters()
return replies
