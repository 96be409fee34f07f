-- Records the outcome of an attempt that settles its job. Known outcomes are never discarded: the
-- last holder is accepted at any time, and `sent` is accepted from any worker unless another one
-- has begun since.
--
-- Keys:    `<id>`, `h:<id>`, `f:<id>`, `t:<ref>`, `b:<batch>`, `a:<hash>`, `ready:<priority>`,
--          `lines`, `line:<name>:<priority>`, `scheduled:<class>`, `deferred:<class>`, `leases`,
--          `expiring`, `sent`, `sent:<hour>`, `failed`, `cancelled`, `unknown`, `n`, `run`, `wake`,
--          `wake:urgent`, counters, damage
-- ARGV:    version, worker, then for each job: id, fence, outcome (sent | failed | unknown),
--          reason, attempt (counted so far), error_code, error_message, receipt, recipients (JSON;
--          [] when all accepted it, or nothing is known), lines of its history, ms
-- Replies: for each job: finished (also when repeated) | late (accepted after the lease was lost) |
--          twice (another worker is sending it or has sent it too) | lost
-- States:  sending -> sent | failed | unknown | queued (on_unknown = resend); queued, deferred,
--          unknown -> sent | failed (from the last holder); failed, cancelled -> sent
-- Includes: prelude job
local worker, replies = ARGV[2], {}

-- A job without retention has left a tombstone.
local function reply_for_tombstone(id, fence, outcome)
  local known = redis.call('HMGET', hash_key(id), 'state', 'fence')
  return known[1] == outcome and tonumber(known[2]) == fence and 'finished' or 'lost'
end

-- Returns the reply for an outcome that changes nothing, or nil.
local function reply_without_effect(job, status, outcome, line)
  if status ~= 'superseded' and general.is_settled(job, job.fence) then return 'finished' end
  if outcome ~= 'sent' then
    if status == 'superseded' or not general.is_unfinished(job) then return 'lost' end
    -- The job is already in doubt, and its policy was applied.
    return status == 'last_holder' and outcome == 'unknown' and 'finished' or nil
  end
  if job.state == 'sent' and status == 'last_holder' then return 'finished' end
  if job.state == 'sent' or (status == 'superseded' and job.state == 'sending' and job.begun_ms) then
    if job.is_sent_record then rare.split_sent_record(job) end
    rare.record_attempt(job, line)
    general.set(job, 'sent_twice', '1')
    return 'twice'
  end
end

-- Notes the last error, and the recipients unless all accepted the mail. A first attempt has no
-- earlier values to clear.
local function note_error(job, is_first, code, message, recipients)
  if recipients == '[]' then recipients = '' end
  if not is_first or recipients ~= '' then general.note(job, 'recipients', recipients) end
  if not is_first or code ~= '' or message ~= '' then
    general.note(job, 'error_code', code)
    general.note(job, 'error_message', message)
  end
end

local PER_JOB = 11
local flights, flight_keys = flights_of(3, PER_JOB)
local payloads = {}
-- Returns the payload up to the size that a sent record may have: a large mail is not copied.
local function payload_of(id, place)
  if not payloads[place] then
    local found = server.pcall('GETRANGE', payload_key(id), 0, SENT_RECORD_BYTES)
    payloads[place] = type(found) == 'string' and found or ''
  end
  return payloads[place]
end

-- Counts of the fast path: the number of jobs of each batch, and the duration of all attempts.
local sent, sent_ms = {}, 0
local function count_sent()
  for batch, jobs in pairs(sent) do
    move(batch, 'sending', 'sent', jobs)
    count(queue_counters, 'sent_total', jobs)
    count(minute_key(), 'sent', jobs)
    count(minute_key(), 'tries', jobs)
  end
  count(minute_key(), 'ms', sent_ms)
  sent, sent_ms = {}, 0
end

local handled = {}
local function load_in_call(id, place)
  -- If a call names a job twice, the second outcome is judged by the effect of the first.
  if handled[id] then
    -- Counts of other jobs do not belong in the journal of this one.
    local of_this = journal
    journal = nil
    count_sent()
    flush_writes()
    journal = of_this
    return general.load(id, redis.call('GETRANGE', payload_key(id), 0, SENT_RECORD_BYTES))
  end
  handled[id] = true
  local flight = flights[place]
  local facts = flight and (general.parse_flight(flight) or damage.raise_damage('the flight is malformed'))
  local payload = payload_of(id, place)
  return general.load(id, payload ~= '' and payload or nil, facts, flight and true)
end

-- Rows that were enqueued together share their header. Returns its retention and the terms for a
-- sent record, or false if their end needs more than a sent record.
local plain_rows = {}
local function plain_row(header)
  local known = plain_rows[header]
  if known == nil then
    local row = parse_header(header .. '\n')
    local is_plain = row and row.expires_ms == 0 and not row.sensitive and row.retention_ms >= TOMBSTONE_MS
    known = is_plain and { retention_ms = row.retention_ms, terms = row_terms(header) } or false
    plain_rows[header] = known
  end
  return known
end

local function is_plain_acceptance(at)
  local recipients, history = ARGV[at + 8], ARGV[at + 9]
  return ARGV[at + 2] == 'sent' and ARGV[at + 3] == '' and ARGV[at + 5] == '' and ARGV[at + 6] == ''
    and (recipients == '[]' or recipients == '') and history ~= ''
    and not string.find(history, '\n', 1, true) and not string.find(ARGV[at + 7], '\n', 1, true)
end

-- Fast path: records `sent` for a begun row of a batch whose holder reports a first attempt that
-- was accepted. Returns false if the job needs the general path.
local holder_prefixes = {}
local function finish_row(at, place)
  local id, fence, flight = ARGV[at], ARGV[at + 1], flights[place]
  if handled[id] or not flight or not is_plain_acceptance(at) then return false end
  holder_prefixes[fence] = holder_prefixes[fence] or holder_prefix(fence, worker)
  local holder = holder_prefixes[fence]
  local batch, message_id = begun_by(flight, holder)
  if not batch then return false end
  local payload = payload_of(id, place)
  if not is_row(payload) or #payload > SENT_RECORD_BYTES then return false end
  local header_end = string.find(payload, '\n', 1, true)
  if not header_end or string.find(payload, '\n', header_end + 1, true) then return false end
  local row = plain_row(string.sub(payload, 1, header_end - 1))
  local line = row and sent_record_line(id, now_text, fence, ARGV[at + 4], '1', worker, message_id, row.terms)
  if not line then return false end
  handled[id] = true
  local receipt, history = ARGV[at + 7], shorten_line(ARGV[at + 9], now)
  local mail = string.sub(payload, header_end)
  write_later('MSET', nil, payload_key(id), line .. mail .. '\n' .. receipt .. '\n' .. history)
  write_later('UNLINK', nil, flight_keys[place])
  write_later('ZREM', leases_key, id)
  index_sent(id, row.retention_ms)
  sent[batch] = (sent[batch] or 0) + 1
  sent_ms = sent_ms + tonumber(ARGV[at + 10])
  return true
end

local function finish_job(at, place)
  local id, fence, outcome = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local job = load_in_call(id, place)
  if not job then return reply_for_tombstone(id, fence, outcome) end
  local status = general.claim_status(job, worker, fence)
  if status == 'forgotten' then job.fence = fence end
  local word = reply_without_effect(job, status, outcome, ARGV[at + 9])
  if word then return word end
  local is_first = (tonumber(job.tries) or 0) == 0
  general.note_attempt(job, ARGV[at + 9])
  general.note(job, 'fence', job.fence)
  general.note(job, 'settled', job.fence)
  if status ~= 'superseded' then general.note(job, 'attempt', ARGV[at + 4]) end
  if ARGV[at + 7] ~= '' then general.note(job, 'receipt', ARGV[at + 7]) end
  note_error(job, is_first, ARGV[at + 5], ARGV[at + 6], ARGV[at + 8])
  count(minute_key(), 'tries', 1)
  count(minute_key(), 'ms', tonumber(ARGV[at + 10]))
  if outcome == 'unknown' then
    general.set_notes(job)
    rare.to_unknown(job)
  else
    general.to_finished(job, outcome, ARGV[at + 3])
  end
  return (status == 'holder' or status == 'forgotten') and 'finished' or 'late'
end

-- A job with a damaged record is still recorded as sent.
local function finish(at)
  local id, place = ARGV[at], (at - 3) / PER_JOB + 1
  if finish_row(at, place) then return 'finished' end
  local fine, word = try_job(finish_job, at, place)
  if fine then return word end
  damage.set_aside(id, word, ARGV[at + 2] == 'sent' and 'sent' or nil)
  return 'finished'
end

for at = 3, #ARGV, PER_JOB do replies[#replies + 1] = finish(at) end
count_sent()
flush_writes()
return replies
