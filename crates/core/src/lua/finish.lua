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

local PER_JOB = 11
local flights, flight_keys = flights_of(3, PER_JOB)
local payloads = {}
-- As much of it as is put together with the rest: a large mail is not moved about.
local function payload_of(id, place)
  if not payloads[place] then
    local found = server.pcall('GETRANGE', payload_key(id), 0, FOLDED_BYTES)
    payloads[place] = type(found) == 'string' and found or ''
  end
  return payloads[place]
end

-- Of what went the short way, each batch's number of jobs, and how long all of them took.
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

local seen = {}
local function loaded(id, place)
  -- Told twice at once, the second is judged by what the first has done.
  if seen[id] then
    -- What the others have counted is theirs.
    local of_this = journal
    journal = nil
    count_sent()
    settle()
    journal = of_this
    return load(id, redis.call('GETRANGE', payload_key(id), 0, FOLDED_BYTES))
  end
  seen[id] = true
  local flight = flights[place]
  local facts = flight and (parse_flight(flight) or broken('its flight can not be read'))
  local payload = payload_of(id, place)
  return load(id, payload ~= '' and payload or nil, facts, flight and true)
end

-- Rows that were put in together share their first line: for how long they are kept when there is nothing else to see to, or false.
local kept_rows = {}
local function keeps_row_ms(header)
  local known = kept_rows[header]
  if known == nil then
    local row = parse_header(header .. '\n')
    local is_plain = row and row.expires_ms == 0 and not row.sensitive and row.retention_ms >= TOMBSTONE_MS
    known = is_plain and row.retention_ms or false
    kept_rows[header] = known
  end
  return known
end

local function says_only_that_it_was_sent(at)
  local recipients, story = ARGV[at + 8], ARGV[at + 9]
  return ARGV[at + 2] == 'sent' and ARGV[at + 3] == '' and ARGV[at + 5] == '' and ARGV[at + 6] == '' and (recipients == '[]' or recipients == '')
    and story ~= '' and not string.find(story, '\n', 1, true) and not string.find(ARGV[at + 7], '\n', 1, true)
end

-- What nearly all of them come to, by a short way to the same end: a row in flight whose holder says of its first try that it was sent, and
-- no more. Answers whether it was that.
local ROW = VERSION .. ' @'
local held = {}
local function finish_row(at, place)
  local id, fence, flight = ARGV[at], ARGV[at + 1], flights[place]
  if seen[id] or not flight or not says_only_that_it_was_sent(at) then return false end
  held[fence] = held[fence] or fence .. ' ' .. worker .. ' '
  local holder = held[fence]
  if string.sub(flight, 1, #holder) ~= holder then return false end
  local payload = payload_of(id, place)
  if string.sub(payload, 1, #ROW) ~= ROW or #payload > FOLDED_BYTES then return false end
  local batch, from = string.match(flight, '^%d+ %d+ %d+ (%S+) %d+ %-?%d+ ()', #holder + 1)
  local header_end = string.find(payload, '\n', 1, true)
  if not batch or not header_end or string.find(payload, '\n', header_end + 1, true) then return false end
  local header = string.sub(payload, 1, header_end - 1)
  local keep_ms = keeps_row_ms(header)
  local line = keep_ms and kept_line(id, now_text, fence, ARGV[at + 4], '1', worker, string.sub(flight, from), string.sub(header, #ROW))
  if not line then return false end
  seen[id] = true
  write_later('MSET', nil, payload_key(id), line .. string.sub(payload, header_end) .. '\n' .. ARGV[at + 7] .. '\n' .. shortened(ARGV[at + 9], now))
  write_later('UNLINK', nil, flight_keys[place])
  write_later('ZREM', leases_key, id)
  file_sent(id, keep_ms)
  sent[batch] = (sent[batch] or 0) + 1
  sent_ms = sent_ms + tonumber(ARGV[at + 10])
  return true
end

local function finish_job(at, place)
  local id, fence, outcome = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
  local job = loaded(id, place)
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

-- Of a job whose record is damaged it stays known that it was sent.
local function finish(at)
  local id, place = ARGV[at], (at - 3) / PER_JOB + 1
  if finish_row(at, place) then return 'finished' end
  local fine, word = guarded(finish_job, at, place)
  if fine then return word end
  set_aside(id, word, ARGV[at + 2] == 'sent' and 'sent' or nil)
  return 'finished'
end

for at = 3, #ARGV, PER_JOB do replies[#replies + 1] = finish(at) end
count_sent()
settle()
return replies
