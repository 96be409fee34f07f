-- Sent record: one string in place of the payload and hash of a sent job. Most of the data in Redis
-- is sent jobs.
--   version sent <finished_ms> <fence>.<attempt>.<tries> <worker> <message_id> <terms>
--   <the mail, unchanged>
--   <receipt, or nothing>
--   <history: the lines of `attempts`, with the ms from the attempt to finished_ms as time>
-- `worker` is the last four characters of the id. A `message_id` that begins with @ has the job's
-- id in front of it. The terms are those of a row (row.lua), or `<priority> <ms from enqueueing to
-- finished_ms> <attempts>` and optionally `d<due_ms>`, `e<expires_ms>`, `b<batch>`, `s`
-- (sensitive).
-- The list `sent:<hour since 1970>` names the jobs of that hour in order. The zset `sent` holds for
-- each hour when all of its jobs may be freed.
local SENT_RECORD = '^(%d+) sent (%d+) (%d+)%.(%d+)%.(%d+) (%S+) (%S+) ([^\n]+)\n'
local HOUR_MS = 3600000
local SENT_RECORD_BYTES = 16384

local function is_sent_record(payload) return payload and string.find(payload, '^%d+ sent ') ~= nil end

local function short_id(id) return string.sub(id, -26) end

-- Returns the terms of a sent record as a full header. Policies that no longer apply are zero.
local function sent_record_header(terms, finished)
  local ref, since = parse_row_terms(terms)
  if ref then
    local known = terms_by_ref(ref)
    return known and full_header(known, known.start + tonumber(since))
  end
  local priority, ago, attempts, more = string.match(terms .. ' ', '^(%d) (%-?%d+) (%d+) (.*)$')
  if not priority then return nil end
  local enqueued = int(finished - ago)
  local due, expires = string.match(more, 'd(%d+) ') or enqueued, string.match(more, 'e(%d+) ') or '0'
  local batch, flags = string.match(more, 'b(%S+) ') or '-', string.match(' ' .. more, ' s ') and 'sensitive' or '-'
  return table.concat({ VERSION, priority, enqueued, due, expires, '0', attempts, '0 hold 1 0 0', batch, flags }, ' ')
end

-- Parses the first line into a header and the fields of a hash; nil if it is invalid.
local function parse_sent_record(id, payload)
  local version, finished, fence, attempt, tries, worker, message_id, terms = string.match(payload, SENT_RECORD)
  local header = version and tonumber(version) <= VERSION and sent_record_header(terms, finished)
  if not header then return nil end
  if string.sub(message_id, 1, 1) == '@' then message_id = id .. message_id end
  return header, {
    state = 'sent', reason = '', finished_ms = finished, fence = fence, settled = fence, attempt = attempt,
    tries = tries, worker = worker ~= '-' and worker or nil,
    message_id = message_id ~= '-' and message_id or '',
  }
end

local function relative_time(line, finished)
  local front, at, rest = string.match(line, '^(%d+ [+-] )(%-?%d+)( .*)$')
  return front and front .. int(finished - at) .. rest or line
end

-- Shortens the most common history line to `!- at_ms ms transport reply`.
local function shorten_line(line, finished)
  local counted, at, ms, transport, reply = string.match(line, '^1 ([+-]) (%-?%d+) (%d+) accepted (%S+) dot = = (.*)$')
  if not at then return relative_time(line, finished) end
  return '!' .. counted .. ' ' .. int(finished - at) .. ' ' .. ms .. ' ' .. transport .. ' ' .. reply
end

local function expand_line(line, finished)
  local counted, at, ms, transport, reply = string.match(line, '^!([+-]) (%-?%d+) (%d+) (%S+) (.*)$')
  if not at then return relative_time(line, finished) end
  return '1 ' .. counted .. ' ' .. int(finished - at) .. ' ' .. ms .. ' accepted ' .. transport .. ' dot = = ' .. reply
end

local function map_lines(history, change, finished)
  if not string.find(history, '\n', 1, true) then return change(history, finished) end
  return (string.gsub(history, '[^\n]+', function(line) return change(line, finished) end))
end

-- Returns the payload and hash (as a table) that the record was made from.
local function expand_sent_record(id, payload)
  local header, hash = parse_sent_record(id, payload)
  if not header then return nil end
  local mail, receipt, history = string.match(payload, '^[^\n]*\n([^\n]*)\n([^\n]*)\n(.*)$')
  hash.receipt, hash.attempts = receipt, map_lines(history or '', expand_line, hash.finished_ms)
  return header .. '\n' .. (mail or ''), hash
end

local function sent_record_terms(job, header, finished)
  local row = row_terms(header)
  if row then return row end
  local terms = { job.priority, int(finished - job.enqueued_ms), int(job.attempts) }
  if job.due_ms ~= job.enqueued_ms then terms[#terms + 1] = 'd' .. int(job.due_ms) end
  if job.expires_ms > 0 then terms[#terms + 1] = 'e' .. int(job.expires_ms) end
  if job.batch ~= '-' then terms[#terms + 1] = 'b' .. job.batch end
  if job.sensitive then terms[#terms + 1] = 's' end
  return table.concat(terms, ' ')
end

-- Adds the job to the list of jobs that were sent in this hour.
local indexed_until
local hour = int(math.floor(now / HOUR_MS))
local sent_this_hour = key('sent:' .. hour)
local function index_sent(id, retention_ms)
  local over = now + math.max(retention_ms, TOMBSTONE_MS)
  write_later('RPUSH', sent_this_hour, short_id(id))
  if indexed_until ~= over then
    redis.call('ZADD', key('sent'), 'GT', int(over), hour)
    indexed_until = over
  end
end

-- Returns the first line of a sent record, or nil if it is too long. Readers fetch the first 256
-- bytes of a payload to see the whole line.
local FIRST_LINE_BYTES = 250
local SENT_PREFIX = VERSION .. ' sent '
local function sent_record_line(id, finished, fence, attempt, tries, worker, message_id, terms)
  if message_id == '' then message_id = '-' end
  if string.find(message_id, id .. '@', 1, true) == 1 then message_id = string.sub(message_id, #id + 1) end
  local counts, holder = fence .. '.' .. attempt .. '.' .. tries, string.sub(worker, -4)
  local line = SENT_PREFIX .. finished .. ' ' .. counts .. ' ' .. holder .. ' ' .. message_id .. ' ' .. terms
  return #line <= FIRST_LINE_BYTES and line or nil
end

local UNUSUAL = { 'reason', 'recipients', 'generation', 'sent_twice', 'resends' }

-- Replaces payload and hash of a job that was just sent by a sent record. Returns false, and leaves
-- both unchanged, if the hash has unusual fields.
local function store_sent_record(job, finished)
  local notes, hash = job.notes or {}, job.hash
  local function fact(field) return notes[field] or hash[field] or '' end
  for _, field in ipairs(UNUSUAL) do
    if fact(field) ~= '' then return false end
  end
  -- A large mail is not copied.
  local payload = job.payload or redis.call('GETRANGE', payload_key(job.id), 0, SENT_RECORD_BYTES)
  if #payload > SENT_RECORD_BYTES then return false end
  local first = string.find(payload, '\n', 1, true)
  if not first then return false end
  local second = string.find(payload, '\n', first + 1, true)
  local header, mail = string.sub(payload, 1, first - 1), string.sub(payload, first + 1, second and second - 1)
  local receipt = fact('receipt')
  if string.find(receipt, '\n', 1, true) then receipt = string.gsub(receipt, '\n', ' ') end
  local line = sent_record_line(job.id, int(finished), job.fence, notes.attempt or job.attempt or '0', job.tries or '0',
    job.worker or '-', fact('message_id'), sent_record_terms(job, header, finished))
  if not line then return false end
  local history = map_lines(fact('attempts'), shorten_line, finished)
  write_later('MSET', nil, payload_key(job.id), table.concat({ line, mail, receipt, history }, '\n'))
  write_later('UNLINK', nil, job.in_flight and flight_key(job.id) or hash_key(job.id))
  return true
end

-- Splits a sent record into payload and hash again, to add unusual fields.
local function split_sent_record(job)
  local payload, hash = expand_sent_record(job.id, redis.call('GET', payload_key(job.id)))
  local flat = {}
  for field, value in pairs(hash) do
    flat[#flat + 1] = field
    flat[#flat + 1] = value
  end
  redis.call('SET', payload_key(job.id), payload)
  redis.call('HSET', hash_key(job.id), unpack(flat))
  job.is_sent_record, job.hash = false, hash
end
